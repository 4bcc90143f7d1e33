package cli_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cli"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/sqlite"
)

// write writes the status of a unit of its own tenant as an input does.
func (w *world) write(s store.Store, name string, st store.Status) alert.UnitKey {
	w.t.Helper()

	key := alert.UnitKey{LoginHost: "login.test", TenantID: alert.TenantID(name + ".example"), API: "graph"}
	st.TenantName = name

	if st.UpdatedAt.IsZero() {
		st.UpdatedAt = w.now()
	}

	if st.Since.IsZero() {
		st.Since = w.now()
	}

	if err := s.SetStatus(context.Background(), map[alert.UnitKey]store.Status{key: st}); err != nil {
		w.t.Fatal(err)
	}

	return key
}

var noRole = health.Trouble{
	Reason:  advice.RoleMissing,
	Message: "not authorised",
	Remedy:  "give the role",
}

func TestStatusShowsTheTenantsThatAreNamed(t *testing.T) {
	w := newWorld(t)
	s, _ := w.polled("siem")
	w.write(s, "fabrikam", store.Status{State: health.OK, Emitted: 34})
	w.write(s, "contoso", store.Status{State: health.Failing, Trouble: noRole})

	r := w.expect(w.run("status", "FABRIKAM"), 0)
	contains(t, r.out, "fabrikam graph ok", "1 in all: 1 ok; no poll was read to its end yet; 34 emitted, 0 deferred")

	if strings.Contains(r.out, "contoso") {
		t.Errorf("another tenant is shown:\n%s", r.out)
	}

	list := parse[[]map[string]any](t, w.run("status", "contoso.example", "fabrikam", "-o", "json").out)
	if len(list) != 2 || list[0]["reason"] != "role_missing" {
		t.Errorf("%v", list)
	}

	contains(t, w.expect(w.run("status", "nobody"), 2).err, "there is no tenant", "contoso", "fabrikam")
	contains(t, w.expect(w.run("status", "-o", "yaml"), 2).err, "json or wide")
	contains(t, w.expect(w.run("status", "-o", "wide"), 0).out, "REASON", "role_missing", "TENANT_ID",
		"fabrikam.example")
}

func TestStatusSumsUpAndSharesLines(t *testing.T) {
	w := newWorld(t)
	now := time.Now() // stands still, so that the age of the success does
	w.now = func() time.Time { return now }
	s, _ := w.polled("siem")

	for i := range 30 {
		w.write(s, fmt.Sprintf("customer%02d", i), store.Status{State: health.Failing, Trouble: health.Trouble{
			Reason:  advice.ChainDead,
			Message: "the sign-in has ended",
			Remedy:  "sign in again",
			Trace:   fmt.Sprintf("trace id %d", i), // another one with each poll
		}})
	}

	w.write(s, "fabrikam", store.Status{
		State:       health.OK,
		LastSuccess: w.now(),
		Emitted:     5,
		Deferred:    2,
	})
	w.write(s, "contoso", store.Status{State: health.Failing, Trouble: noRole})

	r := w.expect(w.run("status"), 0)
	contains(t, r.out, "customer00 graph, customer01 graph, customer02 graph and 27 more: the sign-in has ended",
		"32 in all: 31 failing (30 chain_dead, role_missing), 1 ok; last success 0s ago; 5 emitted, 2 deferred")

	if n := strings.Count(r.out, "the sign-in has ended"); n != 1 {
		t.Errorf("the same fault is told %d times", n)
	}
}

// checkLine is what `status --check` prints and returns for the states of units.
type checkLine struct {
	units map[string]store.Status
	names []string
	code  int
	want  string
}

func checkLines() map[string]checkLine {
	old := time.Now().Add(-time.Hour)

	return map[string]checkLine{
		"all is well": {
			units: map[string]store.Status{"a": {State: health.OK}, "b": {State: health.Starting}},
			want:  "DEFENDER OK - 2 in all",
		},
		"one fails": {
			units: map[string]store.Status{"a": {State: health.OK}, "b": {State: health.Failing, Trouble: noRole}},
			code:  2,
			want:  "DEFENDER CRITICAL - b graph failing role_missing; 2 in all",
		},
		"another one is asked for": {
			units: map[string]store.Status{"a": {State: health.OK}, "b": {State: health.Failing, Trouble: noRole}},
			names: []string{"a"},
			want:  "DEFENDER OK - 1 in all",
		},
		"throttled": {
			units: map[string]store.Status{"a": {
				State:   health.Failing,
				Trouble: health.Trouble{Reason: advice.Throttled},
			}},
			code: 1,
			want: "DEFENDER WARNING - a graph throttled",
		},
		"Fluent Bit takes nothing": {
			units: map[string]store.Status{"a": {
				State:   health.Waiting,
				Trouble: health.Trouble{Reason: advice.Blocked},
			}},
			code: 2,
			want: "DEFENDER CRITICAL - a graph waiting blocked",
		},
		"nobody writes": {
			units: map[string]store.Status{"a": {State: health.OK, UpdatedAt: old}},
			code:  2,
			want:  "DEFENDER CRITICAL - a graph stale",
		},
		"deferred": {
			units: map[string]store.Status{"a": {State: health.OK, Deferred: 3}},
			code:  1,
			want:  "DEFENDER WARNING - a graph 3 deferred",
		},
		"starting for long": {
			units: map[string]store.Status{"a": {State: health.Starting, Since: old}},
			code:  1,
			want:  "DEFENDER WARNING - a graph starting for 60m",
		},
		"removed, while others run": {
			units: map[string]store.Status{"a": {State: health.OK}, "b": {State: health.Stopped}},
			want:  "DEFENDER OK",
		},
		"all ended": {
			units: map[string]store.Status{"b": {State: health.Stopped}},
			code:  2,
			want:  "DEFENDER CRITICAL - no input runs",
		},
		"a refused tenants file": {
			units: map[string]store.Status{"a": {State: health.OK, Notice: &health.Trouble{
				Reason:  advice.CredentialWrong,
				Message: "tenants_file is refused",
				Remedy:  "correct it",
			}}},
			code: 1,
			want: "DEFENDER WARNING - tenants_file is refused; correct it",
		},
		"an unknown name": {
			units: map[string]store.Status{"a": {State: health.OK}},
			names: []string{"nobody"},
			code:  3,
			want:  "DEFENDER UNKNOWN - there is no tenant",
		},
		"nothing was written": {code: 3, want: "DEFENDER UNKNOWN - no input has written"},
	}
}

func TestStatusCheckIsALineForMonitoring(t *testing.T) {
	for name, c := range checkLines() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, _ := w.polled("siem")

			for name, st := range c.units {
				w.write(s, name, st)
			}

			r := w.expect(w.run(append([]string{"status", "--check"}, c.names...)...), c.code)
			if !strings.HasPrefix(r.out, c.want) || strings.Count(r.out, "\n") != 1 {
				t.Errorf("%q; want %q", r.out, c.want)
			}

			_, data, ok := strings.Cut(r.out, " | ")

			counted := fmt.Sprintf("units=%d failing=", max(len(c.units)*(1-len(c.names)), len(c.names)))
			if ok != (c.code != 3) || ok && !strings.Contains(data, counted) {
				t.Errorf("performance data %q", data)
			}
		})
	}

	w := newWorld(t)
	contains(t, w.expect(w.run("status", "--check"), 3).out, "DEFENDER UNKNOWN - there is no directory")
	contains(t, w.expect(w.run("status", "--check", "--json"), 3).out, "DEFENDER UNKNOWN")
}

func TestACustomerWhoWasRemovedLeavesAfterADay(t *testing.T) {
	w := newWorld(t)
	s, _ := w.polled("siem")
	w.write(s, "fabrikam", store.Status{State: health.OK})
	w.write(s, "yesterday", store.Status{State: health.Stopped, UpdatedAt: time.Now().Add(-23 * time.Hour)})
	w.write(s, "gone", store.Status{State: health.Stopped, UpdatedAt: time.Now().Add(-25 * time.Hour)})

	r := w.expect(w.run("status"), 0)
	contains(t, r.out, "fabrikam", "yesterday graph stopped", "2 in all")
	contains(t, r.err, "1 more have not been polled for a day", "tenants forget NAME")

	if strings.Contains(r.out, "gone") {
		t.Errorf("still shown:\n%s", r.out)
	}

	contains(t, w.run("status", "--all").out, "gone")
	contains(t, w.run("status", "gone").out, "gone")

	// Fluent Bit that is down for days forgets nobody.
	w.now = func() time.Time { return time.Now().Add(72 * time.Hour) }
	contains(t, w.run("status").out, "fabrikam", "yesterday")
}

func TestStatusSaysWhatIsWrongWithInputsAsAWhole(t *testing.T) {
	w := newWorld(t)
	s, _ := w.polled("siem")
	notice := &health.Trouble{
		Reason:  advice.CredentialWrong,
		Message: "the new version of tenants_file is refused as a whole",
		Remedy:  "correct the file",
	}
	w.write(s, "fabrikam", store.Status{State: health.OK, Notice: notice})
	w.write(s, "contoso", store.Status{
		State:   health.Failing,
		Trouble: health.Trouble{Reason: advice.Unreachable, Trace: "trace id 1"},
		Notice:  notice,
	})

	r := w.expect(w.run("status"), 0)
	contains(t, r.out, "inputs: the new version of tenants_file is refused as a whole; correct the file")

	if n := strings.Count(r.out, "refused"); n != 1 {
		t.Errorf("told %d times:\n%s", n, r.out)
	}

	input := parse[[]map[string]any](t, w.run("status", "--json").out)[0]["input"]
	if m, ok := input.(map[string]any); !ok || m["remedy"] != "correct the file" {
		t.Errorf("input %v", input)
	}

	// The store of the test runs inputs; in ten minutes it has written nothing.
	w.now = func() time.Time { return time.Now().Add(10 * time.Minute) }
	r = w.expect(w.run("status"), 0)
	contains(t, r.out, "stale", "has not been able to write their status for 10m", "make room on the disk of "+w.dir)

	if strings.Contains(r.out, "trace id") {
		t.Errorf("the trace of an answer is beside the store's fault:\n%s", r.out)
	}

	if got := parse[[]map[string]any](t, w.run("status", "--json").out)[0]; got["reason"] != "store" {
		t.Errorf("%v", got)
	}
}

func TestAFailedDiscoveryIsShownWithoutATenant(t *testing.T) {
	w := newWorld(t)

	s, err := sqlite.Open(sqlite.Options{Dir: w.dir, Inputs: true})
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { s.Close() })

	err = s.SetDocument(t.Context(), store.DiscoveryNotice, []byte(`{"Reason":"role_missing",`+
		`"Message":"the provider's customers cannot be listed","Remedy":"sign in as a member of AdminAgents"}`))
	if err != nil {
		t.Fatal(err)
	}

	contains(t, w.expect(w.run("status"), 0).out,
		"inputs: the provider's customers cannot be listed; sign in as a member of AdminAgents")
	contains(t, w.expect(w.run("status", "--check"), 2).out,
		"DEFENDER CRITICAL - the provider's customers cannot be listed")

	if err := s.SetDocument(t.Context(), store.DiscoveryNotice, nil); err != nil {
		t.Fatal(err)
	}

	contains(t, w.expect(w.run("status", "--check"), 3).out, "no input has written its status yet")
}

func TestColourIsForTerminalsOnly(t *testing.T) {
	w := newWorld(t)
	s, _ := w.polled("siem")
	w.write(s, "fabrikam", store.Status{State: health.OK})

	const green = "\x1b[32mok\x1b[0m"

	w.env["TERM"] = "xterm"
	if out := w.onScreen(80, "status").out; !strings.Contains(out, green) {
		t.Errorf("no colour: %q", out)
	}

	if out := w.run("status").out; strings.Contains(out, "\x1b") {
		t.Errorf("a pipe gets colour: %q", out)
	}

	w.env["NO_COLOR"] = "1"
	if out := w.onScreen(80, "status").out; strings.Contains(out, "\x1b") {
		t.Errorf("NO_COLOR is not honoured: %q", out)
	}
}

func TestWatchFitsTheScreen(t *testing.T) {
	w := newWorld(t)
	s, _ := w.polled("siem")

	for i := range 200 {
		w.write(s, fmt.Sprintf("customer%03d", i), store.Status{State: health.OK})
	}

	w.write(s, "zzz", store.Status{State: health.Failing, Trouble: noRole})

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	var out lockedBuffer

	env := cli.Env{
		In:          strings.NewReader(""),
		Out:         io.MultiWriter(&out, endAfter("\x1b[J", cancel)),
		Err:         io.Discard,
		Now:         w.now,
		OutTerminal: true,
		Columns:     func() int { return 60 },
		Rows:        func() int { return 24 },
		LookupEnv:   func(string) (string, bool) { return "", false },
	}
	if code := cli.Run(ctx, env, []string{"--data-dir", w.dir, "status", "--watch"}); code != 130 {
		t.Errorf("exit code %d", code)
	}

	first, _, _ := strings.Cut(out.String(), "\x1b[J")

	lines := strings.Split(strings.TrimSuffix(first, "\n"), "\n")
	if len(lines) > 23 || !strings.Contains(lines[len(lines)-1], "more lines") {
		t.Errorf("%d lines, the last one %q", len(lines), lines[len(lines)-1])
	}

	if table := strings.Join(lines[:8], "\n"); !strings.Contains(table, "zzz") {
		t.Errorf("what needs attention is not on top:\n%s", table)
	}

	for _, line := range lines {
		if line = strings.NewReplacer("\x1b[H", "", "\x1b[K", "").Replace(line); len([]rune(line)) > 60 {
			t.Errorf("%d columns: %s", len([]rune(line)), line)
		}
	}
}

// endAfter calls end when a text was written.
func endAfter(text string, end func()) io.Writer { return &ending{text: text, end: end} }

type ending struct {
	text string
	end  func()
}

func (e *ending) Write(p []byte) (int, error) {
	if strings.Contains(string(p), e.text) {
		e.end()
	}

	return len(p), nil
}
