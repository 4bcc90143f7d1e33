package cli

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// trickle is a body of an API that goes on for ever: two kilobytes of blanks every five
// seconds.
type trickle struct{ ctx context.Context }

func (b trickle) Read(p []byte) (int, error) {
	select {
	case <-time.After(5 * time.Second):
		return copy(p, strings.Repeat(" ", 2<<10)), nil
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAProbeEndsHoweverAnAnswerDrips: a command does not hang.
func TestAProbeEndsHoweverAnAnswerDrips(t *testing.T) {
	for _, api := range alert.APIs() {
		synctest.Test(t, func(t *testing.T) {
			target, err := cloud.Lookup(cloud.Commercial, api, "")
			if err != nil && api != alert.SIEM {
				t.Fatal(err)
			}

			tenant := config.Tenant{
				API:         api,
				APIURL:      "https://api.example",
				TenantID:    "contoso",
				HTTPTimeout: time.Minute,
				PageSize:    1,
				Updates:     true,
				Endpoint:    target,
			}
			client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				return &http.Response{
					StatusCode: http.StatusOK,
					Header:     http.Header{},
					Body:       io.NopCloser(trickle{r.Context()}),
					Request:    r,
				}, nil
			})}
			parts := wiring.Parts{
				Tenant: &tenant,
				HTTP:   client,
				Now:    time.Now,
				Log:    logs.Discard(),
			}
			source := onlyToken{tokens.Access{Token: secret.New("t")}}

			began := time.Now()
			_, err = probe(t.Context(), parts, source)

			took := time.Since(began)
			if took != 2*time.Minute || err == nil || !strings.Contains(err.Error(), "2m0s of waiting") ||
				exitCode(err) != exitFailed {
				t.Errorf("%s: after %v: %v", api, took, err)
			}
		})
	}
}

// TestAlertsThatComeSlowlyAreNoReasonToGiveUp: only the wait from one to the next counts.
func TestAlertsThatComeSlowlyAreNoReasonToGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := int64(0)
		ctx, explain := limitWaiting(
			t.Context(),
			config.Tenant{HTTPTimeout: time.Minute},
			pullTimes,
			func() int64 { return rows },
		)
		w := &waitLimit{limit: 10 * time.Minute, rows: func() int64 { return rows }, reason: errors.New("no")}
		waiting, giveUp := context.WithCancelCause(t.Context())

		w.giveUp = giveUp
		for range 10 {
			w.begin()()
			done := w.begin()

			time.Sleep(9 * time.Minute)
			done()
			time.Sleep(time.Hour) // its own work

			rows++
		}

		if waiting.Err() != nil {
			t.Error(context.Cause(waiting))
		}

		w.begin()
		time.Sleep(11 * time.Minute)

		if !errors.Is(context.Cause(waiting), w.reason) {
			t.Error("it waits for ever")
		}

		if stop := errors.New("stop"); ctx.Err() != nil || !errors.Is(explain(stop), stop) || ctx.Err() == nil {
			t.Error("another error is not explained away, and the context ends")
		}
	})
}
