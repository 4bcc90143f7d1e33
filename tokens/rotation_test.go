package tokens_test

import (
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/testbed/clock"
	"fluent-bit-defender/internal/testbed/loglines"
	"fluent-bit-defender/tokens"
)

// rotations are ways in which a secret is replaced while a sign-in is under way.
var rotations = map[string]struct {
	accepted func(form string) bool
	// file is what the file holds at each reading, the last one from then on.
	file  []string
	wants []string // the secrets that are sent at the second sign-in
	fails bool
	warns bool
}{
	"the file has changed between reading and refusal": {
		accepted: func(s string) bool { return s == "new" },
		file:     []string{"old", "new"},
		wants:    []string{"old", "new"},
	},
	"the service does not know the new one yet": {
		accepted: func(s string) bool { return s == "old" },
		file:     []string{"new"},
		wants:    []string{"new", "old"},
		warns:    true,
	},
	"nothing is accepted": {
		accepted: func(string) bool { return false },
		file:     []string{"new"},
		wants:    []string{"new", "old"},
		fails:    true,
	},
	"only the old one is there, and it has ended": {
		accepted: func(string) bool { return false },
		file:     []string{"old"},
		wants:    []string{"old"},
		fails:    true,
	},
}

// rotating is a source whose secret is read from a file and accepted by a service, which
// both change.
type rotating struct {
	fake     *fake
	read     func() string
	accepted func(secret string) bool
	clock    *clock.Manual
	log      loglines.Lines
	source   *tokens.Source
}

func newRotating(t *testing.T) *rotating {
	t.Helper()

	r := &rotating{
		fake:     &fake{},
		read:     func() string { return "old" },
		accepted: func(s string) bool { return s == "old" },
		clock:    newClock(),
	}
	r.fake.answer = func(a asked) (int, string) {
		if !r.accepted(a.form.Get("client_secret")) {
			return 401, refusal("invalid_client", 7000215)
		}

		return r.fake.rotate(a)
	}

	a := app(tokens.V2)
	a.Credential = tokens.Secret(func() (secret.Text, error) { return secret.New(r.read()), nil })
	r.source = newSource(t, tokens.SourceConfig{
		App:  a,
		HTTP: r.fake.client(),
		Now:  r.clock.Now,
		Log:  r.log.Logger(),
	})

	return r
}

// While a secret is rotated, file and service may change in either order.
func TestARotatedSecretFailsNoSignIn(t *testing.T) {
	for name, c := range rotations {
		t.Run(name, func(t *testing.T) {
			r := newRotating(t)
			token(t, r.source)

			before := len(r.fake.requests)
			readings := 0
			// The first reading is the one that notes what a failure depended on.
			r.read = func() string {
				n := max(0, readings-1)
				readings++

				return c.file[min(n, len(c.file)-1)]
			}
			r.accepted = c.accepted

			r.clock.Advance(2 * time.Hour)

			if _, err := r.source.Token(t.Context()); (err != nil) != c.fails {
				t.Errorf("%v", err)
			}

			var sent []string
			for _, r := range r.fake.requests[before:] {
				sent = append(sent, r.form.Get("client_secret"))
			}

			if got, want := strings.Join(sent, " "), strings.Join(c.wants, " "); got != want {
				t.Errorf("sent %s; want %s", got, want)
			}

			if warned := strings.Contains(r.log.String(), "is refused"); warned != c.warns {
				t.Errorf("logged:\n%s", r.log.String())
			}
		})
	}
}

func TestATokenThatServesOutlivesARefusedSecret(t *testing.T) {
	clock := newClock()
	good := true

	f := &fake{}
	f.answer = func(a asked) (int, string) {
		if !good {
			return 401, refusal("invalid_client", 7000222)
		}

		return f.rotate(a)
	}

	a := app(tokens.V2)
	a.Credential = tokens.Secret(func() (secret.Text, error) { return secret.New("s"), nil })

	s, err := tokens.NewSource(tokens.SourceConfig{App: a, HTTP: f.client(), Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}

	first, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	good = false

	clock.Advance(first.Expiry.Sub(clock.Now()) - time.Minute)

	if _, err := s.Token(t.Context()); err != nil {
		t.Errorf("a minute before its end: %v", err)
	}

	clock.Advance(2 * time.Minute)

	if _, err := s.Token(t.Context()); err == nil {
		t.Error("an ended token serves")
	}
}
