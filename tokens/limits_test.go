package tokens_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

// silent takes every request and never answers.
func silent(r *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()

	return nil, r.Context().Err()
}

// dripping answers with a few bytes at a time, for ever.
type dripping struct {
	ctx   context.Context
	pause time.Duration
	bytes int
}

func (d dripping) Read(p []byte) (int, error) {
	select {
	case <-time.After(d.pause):
		for i := range p[:min(d.bytes, len(p))] {
			p[i] = ' '
		}

		return min(d.bytes, len(p)), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (dripping) Close() error { return nil }

func drip(pause time.Duration, bytes int) tripper {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200,
			Header:     http.Header{},
			Body:       dripping{r.Context(), pause, bytes},
			Request:    r,
		}, nil
	}
}

func TestASilentServiceIsGivenUpAfterTheTimeout(t *testing.T) {
	for name, tc := range map[string]struct {
		service tripper
		least   time.Duration
		most    time.Duration
		says    string
	}{
		"no answer": {silent, 20 * time.Second, 20 * time.Second, "sent nothing for 20s"},
		"a body that stops": {drip(time.Hour, 1), 20 * time.Second, 20 * time.Second,
			"sent less than 1024 bytes in 20s"},
		"a body that drips": {drip(5*time.Second, 1),
			20 * time.Second, 20 * time.Second, "sent less than 1024 bytes in 20s"},
		"a body that never ends": {drip(5*time.Second, 512), 40 * time.Second, 40 * time.Second,
			"did not answer whole within 40s"},
	} {
		for _, g := range []grant.Grant{grant.ClientCredentials, grant.RefreshToken} {
			t.Run(name+", "+string(g), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSource(t, tokens.SourceConfig{
						App:     app(tokens.V2),
						Grant:   g,
						Seed:    seed("rt0"),
						Store:   tokenstest.New(),
						HTTP:    &http.Client{Transport: tc.service},
						Timeout: 20 * time.Second,
					})

					ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
					defer cancel()

					began := time.Now()
					_, err := s.Token(ctx)
					took := time.Since(began)

					var e *tokens.Error
					if !errors.As(err, &e) || e.Fate != advice.TryAgain || !strings.Contains(e.Error(), tc.says) ||
						took < tc.least ||
						took > tc.most {
						t.Errorf("after %v: %v", took, err)
					}
				})
			})
		}
	}
}

func TestALostAnswerIsAskedForAgainOnlyWhileThereIsTime(t *testing.T) {
	for life, requests := range map[time.Duration]int{0: 3, 9 * time.Second: 2, 19500 * time.Millisecond: 1} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			breaks := tripper(func(r *http.Request) (*http.Response, error) {
				n++

				time.Sleep(life)

				return &http.Response{
					StatusCode: 200,
					Header:     http.Header{},
					Body:       cutBody{errReader{}},
					Request:    r,
				}, nil
			})

			s := newSource(t, tokens.SourceConfig{
				App:     app(tokens.V2),
				Seed:    seed("rt0"),
				Store:   tokenstest.New(),
				HTTP:    &http.Client{Transport: breaks},
				Timeout: 20 * time.Second,
			})
			if _, err := s.Token(t.Context()); err == nil || n != requests {
				t.Errorf("each answer lost after %v: %d requests, want %d; %v", life, n, requests, err)
			}
		})
	}
}

func TestAChainThatIsHeldForLongIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, f := tokenstest.New(), &fake{}
		key := app(tokens.V2).ChainKey()
		stopped, err := store.Lock(t.Context(), key) // a defenderctl that was stopped in the middle
		if err != nil {
			t.Fatal(err)
		}

		s := newSource(t, tokens.SourceConfig{
			App:   app(tokens.V2),
			Seed:  seed("rt0"),
			Store: store,
			HTTP:  f.client(),
		})
		began := time.Now()

		e := fails(t, s)
		took := time.Since(began)
		if e.Fate != advice.TryAgain || took > time.Minute || !strings.Contains(e.Error(), "another process") ||
			!strings.Contains(e.Error(), "defenderctl") {
			t.Errorf("after %v: %v", took, e)
		}

		stopped()
		token(t, s)
	})
}

func TestAChainThatIsInUseHereIsWaitedForAndThenReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keeper := tokens.NewKeeper(tokenstest.New(), nil)
		slow := tripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(50 * time.Second)
			return (&fake{}).RoundTrip(r)
		})

		cfg := tokens.SourceConfig{
			App:   app(tokens.V2),
			Seed:  seed("rt0"),
			Store: keeper,
			HTTP:  &http.Client{Transport: slow},
		}
		go newSource(t, cfg).Token(t.Context())

		synctest.Wait()

		e := fails(t, newSource(t, cfg))
		if e.Fate != advice.TryAgain || !strings.Contains(e.Error(), "another sign-in") ||
			strings.Contains(e.Error(), "process") {
			t.Errorf("%v", e)
		}

		time.Sleep(time.Minute)
	})
}

func TestACancelledWaitForAChainGivesTheContextsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := tokenstest.New()
		unlock, err := store.Lock(t.Context(), app(tokens.V2).ChainKey())
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		s := newSource(t, tokens.SourceConfig{App: app(tokens.V2), Grant: grant.RefreshToken, Store: store})
		if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// A device code is polled for a quarter of an hour; the limit is one request's.
func TestTheTimeoutIsOneRequestsNotAWholeSignIns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		service := &fake{answer: func(a asked) (int, string) {
			if strings.Contains(a.path, "devicecode") {
				return 200, `{"device_code":"dc","user_code":"AB","verification_uri":"https://x.test",` +
					`"expires_in":900,"interval":5}`
			}

			if n++; n < 100 {
				return 400, refusal("authorization_pending", 70016)
			}

			return 200, granted("at", "rt", 3600)
		}}
		c := tokens.Client{App: app(tokens.V2), HTTP: service.client(), Timeout: 10 * time.Second}

		d, err := c.DeviceAuth(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		if got, err := c.DevicePoll(t.Context(), d); err != nil || !got.Refresh.Equal(secret.New("rt")) {
			t.Errorf("%v", err)
		}
	})
}
