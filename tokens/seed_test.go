package tokens_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/testbed/loglines"
	"fluent-bit-defender/tokens"
)

func TestASeedThatIsRefusedDoesNotStopALivingChain(t *testing.T) {
	for name, tc := range map[string]struct {
		refusal string
		sent    string
		fate    advice.Fate // of the error; -1: none
	}{
		"half written":                   {refusal("invalid_request", 9002313), "0.AXk rt0", -1},
		"of a user who is not let in":    {refusal("invalid_grant", 53003), "0.AXk rt0", -1},
		"the application's secret":       {refusal("invalid_client", 7000215), "0.AXk", advice.NeedsFix},
		"the application is unknown":     {refusal("unauthorized_client", 700016), "0.AXk", advice.NotAuthorised},
		"the service has a fault itself": {refusal("temporarily_unavailable", 90033), "0.AXk", advice.TryAgain},
	} {
		f, c, store := &fake{}, newClock(), stored(t, "rt0", "")
		f.set(func(a asked) (int, string) {
			if a.form.Get("refresh_token") == "0.AXk" {
				return 400, tc.refusal
			}

			return f.rotate(a)
		})

		var lines loglines.Lines

		current := "0.AXk"
		s := newSource(t, tokens.SourceConfig{
			App:   app(tokens.V2),
			Store: store,
			Seed:  func() (secret.Text, error) { return secret.New(current), nil },
			HTTP:  f.client(),
			Now:   c.Now,
			Log:   lines.Logger(),
		})
		_, err := s.Token(t.Context())

		var e *tokens.Error
		if f.refreshes() != tc.sent || (err == nil) != (tc.fate < 0) ||
			err != nil && (!errors.As(err, &e) || e.Fate != tc.fate) {
			t.Errorf("%s: %v, sent %s", name, err, f.refreshes())
		}

		if err != nil {
			continue
		}

		c.Advance(time.Hour)
		token(t, s)

		warnings := lines.With("WARN")
		if len(warnings) != 1 || !strings.Contains(warnings[0], "the stored one stays in use") {
			t.Errorf("%s: warnings %q", name, warnings)
		}

		seen, _ := store.SeedSeen(t.Context(), app(tokens.V2).ChainKey(), secret.New(current).Fingerprint())
		if seen {
			t.Errorf("%s: the seed is given up, though it may be accepted later", name)
		}

		c.Advance(time.Hour)
		f.set(nil)
		f.newest, current = 70, "rt70" // written whole

		token(t, s)

		if got := load(t, store).Refresh.Reveal(); got != "rt71" {
			t.Errorf("%s: stored %s after the new one was written whole", name, got)
		}
	}
}

func TestARefusedSeedIsNamedWhenTheChainHasDiedToo(t *testing.T) {
	f, store := &fake{}, stored(t, "gone", "")
	f.set(func(a asked) (int, string) {
		if a.form.Get("refresh_token") == "0.AXk" {
			return 400, refusal("invalid_request", 9002313)
		}

		return 400, refusal("invalid_grant", 700082)
	})

	s := newSource(t, tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: store,
		Seed:  seed("0.AXk"),
		HTTP:  f.client(),
	})
	for range 2 {
		if e := fails(t, s); e.Code != 9002313 {
			t.Errorf("%v", e)
		}
	}

	if f.refreshes() != "0.AXk gone 0.AXk" {
		t.Errorf("sent %s", f.refreshes())
	}
}
