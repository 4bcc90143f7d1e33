package defender

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/tokens"
)

// slowToken is a TokenSource that takes its time.
type slowToken time.Duration

func (s slowToken) Token(ctx context.Context) (tokens.Access, error) {
	time.Sleep(time.Duration(s))
	return fixedToken("t").Token(ctx)
}

func (slowToken) Invalidate(tokens.Access) {}

// TestWaitingIsToldAboutEveryWait: sign-in, headers and body are waits, the caller's
// own work is none.
func TestWaitingIsToldAboutEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := &slowly{
			parts: []string{`[` + row(alert.Graph, "a", start), `,` + row(alert.Graph, "b", start) + `]`},
			pause: 5 * time.Second,
		}
		client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
			time.Sleep(3 * time.Second)

			body.ctx = r.Context()

			return &http.Response{
				StatusCode: 200,
				Header:     http.Header{},
				Body:       io.NopCloser(body),
				Request:    r,
			}, nil
		})}

		reader, err := NewReader(alert.SIEM, Settings{
			BaseURL:     "http://x.example",
			Path:        "/alerts",
			HTTP:        client,
			Tokens:      slowToken(time.Second),
			Now:         time.Now,
			IdleTimeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}

		var waited time.Duration

		waits, open := 0, false
		ctx := WithWaiting(t.Context(), func() func() {
			if open {
				t.Error("a wait within a wait")
			}

			waits, open = waits+1, true
			began := time.Now()

			return func() {
				waited += time.Since(began)
				open = false
			}
		})
		b := newBasket(t, alert.Graph)
		b.before = func([]byte) error {
			if open {
				t.Error("a row arrives during a wait")
			}

			time.Sleep(time.Hour)

			return nil
		}

		err = reader.Read(ctx, lastHour(), b)
		if err != nil || waited != 9*time.Second || waits < 4 || open {
			t.Errorf("%d waits of %v in all, open: %t; %v", waits, waited, open, err)
		}
	})
}
