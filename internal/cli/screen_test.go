package cli_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fluent-bit-defender/internal/cli"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/testbed/simulator"
)

// onScreen runs a command whose output goes to a terminal of a width.
func (w *world) onScreen(columns int, args ...string) result {
	var out, errs lockedBuffer

	env := cli.Env{
		In:          strings.NewReader(""),
		Out:         &out,
		Err:         &errs,
		Now:         w.now,
		OpenBrowser: w.browser,
		OutTerminal: true,
		Columns:     func() int { return columns },
		LookupEnv:   func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
	}
	code := cli.Run(w.t.Context(), env, append([]string{"--data-dir", w.dir}, args...))

	return result{code, out.String(), errs.String()}
}

func TestATerminalGetsNoControlsOfAlertTexts(t *testing.T) {
	const title = "evil\u009b31m \u202egnp.exe \u2066 \x7f end"

	w := newWorld(t, func(c *simulator.Config) { c.Tenants[0].Generated = 0 })
	at := time.Now().Add(-time.Hour)
	w.Add(contoso, simulator.Alert{
		ID:      "da1",
		Title:   title,
		Created: at,
		Updated: at,
	})
	args := []string{"pull", "contoso", "--config", w.conf("graph", "grant client_credentials")}

	shown := w.expect(w.onScreen(80, args...), 0).out
	if strings.ContainsAny(shown, "\u009b\u202e\u2066\x7f") {
		t.Errorf("a terminal obeys: %q", shown)
	}

	contains(t, shown, `evil\u009b31m \u202egnp.exe \u2066`)

	if got := pulled(t, shown); len(got) != 1 || got[0]["title"] != title {
		t.Errorf("what is shown is another record: %q", shown)
	}

	if piped := w.expect(w.run(args...), 0).out; !strings.Contains(piped, title) {
		t.Errorf("a pipe does not get the bytes as they are: %q", piped)
	}

	// The status holds names of a configuration and reasons of servers.
	s, keys := w.polled("graph")
	w.report(s, keys[0], store.Status{State: "failing", Trouble: health.Trouble{Message: title}})

	if shown := w.onScreen(80, "status", "--json").out; strings.ContainsAny(shown, "\u009b\u202e") {
		t.Errorf("a terminal obeys: %q", shown)
	}
}

func TestANameIsNeverCutInAPipe(t *testing.T) {
	names := []string{
		"Northwind Traders Retail EMEA, Middle East and Africa",
		"Northwind Traders Retail EMEA, Middle East and Asia",
	}

	w := newWorld(t)
	for i, tenant := range []string{contoso, fabrikam} {
		args := w.acquire("siem")
		for j := range args {
			switch args[j] {
			case "contoso":
				args[j] = names[i]
			case contoso:
				args[j] = tenant
			}
		}

		w.expect(w.run(args...), 0)
	}

	out := w.expect(w.run("tokens", "list"), 0).out
	contains(t, out, append(names, client, "soc@contoso.example")...)

	// On a terminal the two can still be told apart, and each row fits.
	for _, columns := range []int{80, 100, 132} {
		shown := w.expect(w.onScreen(columns, "tokens", "list"), 0).out

		lines := strings.Split(strings.TrimSpace(shown), "\n")
		if len(lines) != 3 || !strings.Contains(lines[1]+lines[2], "ica ") ||
			!strings.Contains(lines[1]+lines[2], "sia ") {
			t.Errorf("%d columns:\n%s", columns, shown)
		}

		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > columns {
				t.Errorf("%d columns of %d: %s", n, columns, line)
			}
		}
	}
}

func TestTextsFitATerminalOf80Columns(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	w.RevokeRefreshTokens(contoso, 50173)

	for _, args := range [][]string{
		{"tokens", "acquire", "--help"}, {"tokens", "list"}, {"tokens", "import", "nothing"},
	} {
		r := w.onScreen(80, args...)
		for line := range strings.Lines(r.out + r.err) {
			line = strings.TrimRight(line, "\n")
			if n := utf8.RuneCountInString(line); n > 80 && !strings.Contains(line, "://") &&
				!strings.Contains(line, "defenderctl tokens") {
				t.Errorf("%v: %d columns: %s", args, n, line)
			}
		}
	}
}

func TestAStatusFitsANarrowTerminal(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	s, keys := w.polled("siem")
	w.report(s, keys[0], store.Status{
		State:       "failing",
		LastSuccess: time.Now(),
		LastAlert:   time.Now(),
		Emitted:     123_456,
		Repeats:     1234,
	})

	for line := range strings.Lines(w.expect(w.onScreen(80, "status"), 0).out) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}

	contains(t, w.onScreen(80, "status").out, "contoso", "failing", "123456")
	contains(t, w.onScreen(120, "status").out, "REPEATS", "1234")
	contains(t, w.run("status").out, "REPEATS", "ERRORS")
}
