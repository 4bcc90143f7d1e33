package logs

import (
	"bytes"
	"log/slog"
	"testing"
)

// printer returns a logger that prints the level, the text and the attributes.
func printer(to *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}

			return a
		},
	}))
}

func TestARelayPrintsThroughALoggerThatIsThere(t *testing.T) {
	var (
		relay         Relay
		first, second bytes.Buffer
	)

	a, b := printer(&first), printer(&second)
	log := Tenant(relay.Logger(), "contoso")

	log.Warn("thrown away")
	relay.Add(a)
	relay.Add(b)
	log.Info("one")
	relay.Remove(a)
	log.Error("two", "code", 3)
	relay.Remove(b)
	log.Error("thrown away")

	if want := "level=INFO msg=one tenant=contoso\n"; first.String() != want {
		t.Errorf("the first logger printed %q, not %q", first.String(), want)
	}

	if want := "level=ERROR msg=two tenant=contoso code=3\n"; second.String() != want {
		t.Errorf("the second logger printed %q, not %q", second.String(), want)
	}
}
