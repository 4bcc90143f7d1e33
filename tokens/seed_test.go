package tokens_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/testbed/clock"
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
		t.Run(name, func(t *testing.T) {
			s := newSeeded(t, tc.refusal)
			_, err := s.source.Token(t.Context())

			var e *tokens.Error
			if s.fake.refreshes() != tc.sent || (err == nil) != (tc.fate < 0) ||
				err != nil && (!errors.As(err, &e) || e.Fate != tc.fate) {
				t.Errorf("%v, sent %s", err, s.fake.refreshes())
			}

			if err == nil {
				s.goesOn()
			}
		})
	}
}

// seeded is a source with a living chain and a seed that the service refuses.
type seeded struct {
	t       *testing.T
	fake    *fake
	clock   *clock.Manual
	store   tokens.ChainStore
	current string
	lines   loglines.Lines
	source  *tokens.Source
}

func newSeeded(t *testing.T, refusal string) *seeded {
	t.Helper()

	s := &seeded{
		t:       t,
		fake:    &fake{},
		clock:   newClock(),
		store:   stored(t, "rt0", ""),
		current: "0.AXk",
	}
	s.fake.set(func(a asked) (int, string) {
		if a.form.Get("refresh_token") == "0.AXk" {
			return 400, refusal
		}

		return s.fake.rotate(a)
	})
	s.source = newSource(t, tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: s.store,
		Seed:  func() (secret.Text, error) { return secret.New(s.current), nil },
		HTTP:  s.fake.client(),
		Now:   s.clock.Now,
		Log:   s.lines.Logger(),
	})

	return s
}

// goesOn: the chain stays in use, with one warning, until the seed is written whole.
func (s *seeded) goesOn() {
	s.t.Helper()

	s.clock.Advance(time.Hour)
	token(s.t, s.source)

	warnings := s.lines.With("WARN")
	if len(warnings) != 1 || !strings.Contains(warnings[0], "the stored one stays in use") {
		s.t.Errorf("warnings %q", warnings)
	}

	key := app(tokens.V2).ChainKey()
	if seen, _ := s.store.SeedSeen(s.t.Context(), key, secret.New(s.current).Fingerprint()); seen {
		s.t.Error("the seed is given up, though it may be accepted later")
	}

	s.clock.Advance(time.Hour)
	s.fake.set(nil)
	s.fake.newest, s.current = 70, "rt70"

	token(s.t, s.source)

	if got := load(s.t, s.store).Refresh.Reveal(); got != "rt71" {
		s.t.Errorf("stored %s after the new one was written whole", got)
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
