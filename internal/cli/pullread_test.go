package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/tick"
)

// scripted is a reader that does one step after the other; the last one again and again.
type scripted struct {
	steps    []func(w defender.Window, sink defender.Sink) error
	deferred []error // the errors of ReadDeferred
	asked    []defender.Window
}

func (s *scripted) Read(_ context.Context, w defender.Window, sink defender.Sink) error {
	s.asked = append(s.asked, w)

	step := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}

	return step(w, sink)
}

func (s *scripted) ReadDeferred(_ context.Context, _ defender.Window, sink defender.Sink) error {
	err := s.deferred[0]
	if len(s.deferred) > 1 {
		s.deferred = s.deferred[1:]
	}

	if err == nil {
		return sink.Row(alertAt(5))
	}

	return err
}

func (s *scripted) Avoid(defender.Window) {}

var pullNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// minute is a time some minutes after the pull's --since.
func minute(n int) tick.Tick {
	return tick.FromTime(pullNow.Add(-time.Hour)) + tick.Tick(n)*tick.Minute
}

func alertAt(n int) []byte {
	return []byte(fmt.Sprintf(`{"id":"a%d","lastUpdateDateTime":"%s"}`, n, minute(n).Time().Format(time.RFC3339)))
}

// alerts hands alerts over, says up to where all have come, and fails so.
func alerts(safe int, err error, list ...int) func(defender.Window, defender.Sink) error {
	return func(_ defender.Window, sink defender.Sink) error {
		for _, n := range list {
			if err := sink.Row(alertAt(n)); err != nil {
				return err
			}
		}

		if err := sink.Safe(minute(safe)); err != nil {
			return err
		}

		return err
	}
}

func pullWith(t *testing.T, reader *scripted) (out string, slept time.Duration, err error) {
	t.Helper()

	var printed, said bytes.Buffer

	c := newCLI(Env{
		Out: &printed,
		Err: &said,
		Now: func() time.Time { return pullNow.Add(slept) },
		Sleep: func(_ context.Context, d time.Duration) error {
			slept += d
			return nil
		},
	})
	tenant := config.Tenant{
		TenantID:  "contoso.example",
		API:       alert.Graph,
		Updates:   true,
		TimeField: "updated",
		Format:    record.FormatJSON,
	}
	identifier, encoder := partsOf(t, tenant)
	sink := newPullSink(identifier, encoder, c.Out, minute(0), 0, 0, pullNow)
	err = (&pullRead{
		c:      c,
		tenant: tenant,
		reader: reader,
		sink:   sink,
	}).run(t.Context())

	for line := range strings.Lines(printed.String()) {
		_, after, _ := strings.Cut(line, `"id":"`)
		id, _, _ := strings.Cut(after, `"`)
		out += id + " "
	}

	return strings.TrimSpace(out), slept, err
}

func broken() error {
	return &defender.Error{Fault: advice.Fault{Problem: "the answer broke off"}, Smaller: true}
}

func TestAPullGoesOnWhereItHadGotTo(t *testing.T) {
	reader := &scripted{steps: []func(defender.Window, defender.Sink) error{
		alerts(2, broken(), 1, 2, 3), alerts(2, broken()), alerts(9, nil, 2, 3, 4),
	}}

	out, slept, err := pullWith(t, reader)
	if err != nil || out != "a1 a2 a3 a4" || slept == 0 {
		t.Errorf("printed %q after %v, %v", out, slept, err)
	}

	if reader.asked[0].From != minute(0) || reader.asked[1].From != minute(2) {
		t.Errorf("asked for %v", reader.asked)
	}
}

func TestAPullThatGivesUpSaysWhatIsMissing(t *testing.T) {
	out, slept, err := pullWith(t, &scripted{
		steps: []func(defender.Window, defender.Sink) error{alerts(2, broken(), 1, 2, 3), alerts(2, broken())},
	})
	if out != "a1 a2 a3" || err == nil || exitCode(err) != exitFailed {
		t.Fatalf("printed %q, %v", out, err)
	}

	if !strings.Contains(err.Error(), "go on with --since "+minute(2).String()) || slept > maxWaiting {
		t.Errorf("%v after %v", err, slept)
	}

	if at, err := when("--since", minute(2).String(), pullNow); err != nil || at != minute(2) {
		t.Errorf("the time it names is read as %v, %v", at, err)
	}
}

func TestAPullTriesDeferredWindowsAgain(t *testing.T) {
	deferring := func(_ defender.Window, sink defender.Sink) error {
		if err := sink.(defender.DeferringSink).Defer(
			defender.Window{From: minute(5), To: minute(6)},
			"HTTP 500",
		); err != nil {
			return err
		}

		return alerts(9, nil, 1, 7)(defender.Window{}, sink)
	}

	reader := &scripted{
		steps:    []func(defender.Window, defender.Sink) error{deferring},
		deferred: []error{broken(), nil},
	}
	if out, _, err := pullWith(t, reader); err != nil || out != "a1 a7 a5" {
		t.Errorf("printed %q, %v", out, err)
	}

	reader = &scripted{steps: []func(defender.Window, defender.Sink) error{deferring}, deferred: []error{broken()}}

	out, _, err := pullWith(t, reader)
	if out != "a1 a7" || err == nil || !strings.Contains(err.Error(), minute(5).String()) ||
		exitCode(err) != exitFailed {
		t.Errorf("printed %q, %v", out, err)
	}
}
