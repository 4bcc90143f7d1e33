package cli

import (
	"context"
	"errors"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/internal/wiring"
)

// probeReach is how far back an alert is looked for when an API is only tried.
const probeReach = 24 * time.Hour

// errEnough ends a read: what was wanted is there.
var errEnough = errors.New("enough")

type firstSink struct {
	describer *alert.Describer
	found     bool
	updated   tick.Tick
}

// Row implements defender.Sink.
func (s *firstSink) Row(raw []byte) error {
	s.found, s.updated = true, s.describer.Describe(raw).Updated

	return errEnough
}

// Safe implements defender.Sink.
func (s *firstSink) Safe(tick.Tick) error { return nil }

// advised adds the remedy of an API's passing trouble: an input needs none, since it
// asks again, but a command ends.
func advised(err error) error {
	var e *defender.Error
	if !errors.As(err, &e) || e.Fate != advice.TryAgain || e.Status == 0 || e.Remedy != "" {
		return err
	}

	with := *e

	with.Remedy = "try again later"
	if e.RetryAfter > 0 {
		with.Remedy = "try again in " + span(e.RetryAfter)
	}

	return &with
}

// probe asks the API for one alert, and says what it found.
func probe(ctx context.Context, parts wiring.Parts, source defender.TokenSource) (string, error) {
	if parts.Tenant.PageSize > 0 {
		parts.Tenant.PageSize = 1
	}

	t := parts.Tenant

	reader, err := parts.Reader(source, nil)
	if err != nil {
		return "", err
	}

	describer, err := alert.NewDescriber(t.API)
	if err != nil {
		return "", err
	}

	sink := &firstSink{describer: describer}
	at := tick.FromTime(parts.Now())
	limited, explain := limitWaiting(ctx, *t, probeTimes, func() int64 { return 0 })

	err = explain(reader.Read(limited, defender.Window{From: at - tick.FromDuration(probeReach), Now: at}, sink))
	switch {
	case errors.Is(err, errEnough) && sink.found && sink.updated != 0:
		return "alert of " + sink.updated.Time().Format("2006-01-02 15:04Z"), nil
	case errors.Is(err, errEnough):
		return "alert without a time", nil
	case err != nil:
		return "", advised(err)
	}

	return "no alerts in the last 24 h", nil
}
