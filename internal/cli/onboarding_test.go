package cli_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"text/template"
	"time"

	"fluent-bit-defender/internal/test/golden"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// TestGoldenOnboarding onboards a customer in the three ways, runs
// the plugin on the stored token alone, and holds the transcript against
// docs/onboarding.md.
func TestGoldenOnboarding(t *testing.T) {
	var ahead atomic.Int64

	w := newWorld(t, func(c *simulator.Config) {
		c.Tenants[0].MSSPAuthorised = false
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	parts := map[string]string{}
	show := w.shower()

	args := w.acquire("siem")
	r := w.expect(w.run(args...), 4)
	parts["Refused"], parts["RefusedCode"] = show(args, r), fmt.Sprint(r.code)

	w.SetMSSPAuthorised(contoso, true)

	// By its name alone: where lines break must not depend on how long the path is here.
	conf := w.conf("siem")
	check := []string{"check", filepath.Base(conf)}
	parts["Ready"] = show(check, w.expect(w.runIn(filepath.Dir(conf), check...), 0))

	browser := w.acquire("graph")
	parts["Browser"] = show(browser, w.expect(w.run(browser...), 0))

	paste := w.acquire("graph", "--paste", "--redirect-uri", redirect)
	r = w.expect(w.answered(paste), 0)
	parts["Paste"] = show(paste, r)

	// A public client needs no secret. The service's pauses between polls are made short.
	w.SetAutoConsent(false)
	w.quickPolls(t, func() { ahead.Add(int64(6 * time.Second)) })
	device := slices.Insert(w.signIn(public, "graph"), 2, "--device-code")
	device = append(device, "--data-dir", w.dir+"-device")
	r = w.expect(w.entered(device), 0)
	parts["Device"] = show(device, r)
	w.login = ""

	conf = w.conf("graph", "poll_interval 1s")
	if text := string(must(os.ReadFile(conf))); strings.Contains(text, "refresh_token") {
		t.Fatal("the configuration names a refresh token")
	} else {
		parts["Config"] = w.block(text)
	}
	parts["Check"] = show(check, w.expect(w.runIn(filepath.Dir(conf), check...), 0))

	storage := t.TempDir()

	host, err := flbhost.Start(t.Context(), flbhost.Config{
		Plugin:     setup.Plugin(t),
		StorageDir: storage,
		Tick:       100 * time.Millisecond,
		Instances: []flbhost.Instance{{Tag: "defender.contoso", Props: flbhost.Props(
			"tenant_id", contoso,
			"tenant_name", "contoso",
			"client_id", client,
			"client_secret_file", w.secretFile(),
			"api", "graph",
			"login_url", w.LoginURL(),
			"api_url", w.APIURL("graph"),
			"data_dir", w.dir,
			"poll_interval", "1s",
		)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Kill()

	want := len(w.Ledger(contoso, "graph").Exists)

	var records []flbhost.Record

	setup.Until(t, "all records", 0, func() bool {
		records = must(host.Records())
		return len(records) >= want
	}, nil)

	if len(records) != want {
		t.Errorf("%d records; want %d", len(records), want)
	}
	// What pull prints is what the plugin emits. (Doubles are compared by value: the
	// two sides write 1.0 and 1.)
	var emitted, pulled []string

	same := func(record []byte) string {
		var v any
		if err := json.Unmarshal(record, &v); err != nil {
			t.Fatal(err)
		}

		return string(must(json.Marshal(v)))
	}
	for _, r := range records {
		emitted = append(emitted, same(r.JSON()))
	}

	for line := range strings.Lines(w.expect(w.run("pull", "contoso", "--config", conf), 0).out) {
		pulled = append(pulled, same([]byte(line)))
	}

	slices.Sort(emitted)
	slices.Sort(pulled)

	if !slices.Equal(emitted, pulled) {
		t.Errorf("emitted:\n%s\npulled:\n%s", strings.Join(emitted, "\n"), strings.Join(pulled, "\n"))
	}

	first, _, _ := strings.Cut(string(records[0].JSON()), `},`)
	parts["Run"] = w.block(
		fmt.Sprintf("$ fluent-bit -e /usr/lib/fluent-bit/in_defender.so -c fluent-bit.conf\n%s},…\n(%d records)",
			first, len(records)),
	)

	setup.Until(t, "a status", 0, func() bool {
		list := parse[[]map[string]any](t, w.run("status", "--json").out)
		return len(list) == 1 && list[0]["state"] == "ok" && list[0]["emitted"] == float64(want)
	}, nil)

	parts["Status"] = show([]string{"status"}, w.expect(w.run("status"), 0))
	parts["List"] = show([]string{"tokens", "list"}, w.expect(w.run("tokens", "list"), 0))
	// The SIEM lost its index: the running input emits everything again, under the same
	// ids.
	w.expect(w.run("rewind", "contoso", "--since", "25h"), 0)
	setup.Until(t, "everything again", 0, func() bool {
		records = must(host.Records())
		return len(records) >= 2*want
	}, nil)

	ids := map[string]int{}
	for _, r := range records {
		ids[regexp.MustCompile(`"record_id":"[0-9a-f]{32}"`).FindString(string(r.JSON()))]++
	}

	for id, n := range ids {
		if n != 2 || id == "" {
			t.Errorf("%s came %d times; want 2", id, n)
		}
	}

	if _, err := host.Stop(t.Context()); err != nil {
		t.Error(err)
	}

	var page strings.Builder
	if err := must(template.ParseFiles("../../testdata/cli/onboarding.tmpl")).Execute(&page, parts); err != nil {
		t.Fatal(err)
	}

	noSecret(t, result{out: page.String()})
	golden.File(t, "../../docs/onboarding.md", page.String())
}

// runIn runs a command in a directory.
func (w *world) runIn(dir string, args ...string) result {
	w.t.Helper()

	before := must(os.Getwd())

	if err := os.Chdir(dir); err != nil {
		w.t.Fatal(err)
	}

	defer func() {
		if err := os.Chdir(before); err != nil {
			w.t.Fatal(err)
		}
	}()

	return w.run(args...)
}

// answered runs a command that asks for the address the browser ended on.
func (w *world) answered(args []string) result {
	w.t.Helper()

	in, typed := io.Pipe()

	return w.watched(args, in, func(line string) {
		if !strings.HasPrefix(strings.TrimSpace(line), w.LoginURL()) {
			return
		}

		c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

		res, err := c.Get(strings.TrimSpace(line))
		if err != nil {
			w.t.Error(err)
			return
		}

		res.Body.Close()
		go fmt.Fprintln(typed, res.Header.Get("Location"))
	})
}

// entered runs a command that shows a code for another device, and accepts it there.
func (w *world) entered(args []string) result {
	w.t.Helper()

	code := regexp.MustCompile(`enter the code  (\S+)`)

	return w.watched(args, strings.NewReader(""), func(line string) {
		if m := code.FindStringSubmatch(line); m != nil {
			if err := w.DecideDevice(m[1], true); err != nil {
				w.t.Error(err)
			}
		}
	})
}

// watched runs a command and calls see for each line of stderr.
func (w *world) watched(args []string, in io.Reader, see func(string)) result {
	watch, errs := io.Pipe()

	var out, all lockedBuffer

	done := make(chan struct{})
	go func() {
		defer close(done)

		s := bufio.NewScanner(io.TeeReader(watch, &all))
		for s.Scan() {
			see(s.Text())
		}
	}()

	code := w.start(w.t.Context(), in, &out, errs, args...)
	errs.Close()
	<-done

	return result{code, out.String(), all.String()}
}

// block makes a code block in which all that changes from run to run is replaced.
func (w *world) block(text string) string {
	temp := filepath.Dir(w.dir)
	r := strings.NewReplacer(append(slices.Clone(w.hide),
		w.LoginURL(),
		"http://127.0.0.1:7000",
		w.Simulator.LoginURL(),
		"http://127.0.0.1:7000",
		w.APIURL("siem"),
		"http://127.0.0.1:7001",
		strings.TrimPrefix(w.APIURL("siem"), "http://"),
		"127.0.0.1:7001",
		w.APIURL("graph"),
		"http://127.0.0.1:7003",
		filepath.Join(temp, "app.secret"),
		"/run/secrets/mssp-app",
		w.dir+"-device",
		"/var/lib/defender",
		w.dir,
		"/var/lib/defender",
		temp+"/",
		"",
	)...)

	text = r.Replace(text)
	for _, s := range []struct{ expr, to string }{
		{`(?m)^defenderctl: made .*\n(  .*\n)*`, ""}, // said to root only
		{`(?m)^\(No browser was opened.*\n`, ""},
		{`stored in\s+/`, "stored in /"}, // a long path is on a line of its own
		{`localhost(:|%3A)\d+`, "localhost${1}53682"},
		{`code_challenge=[\w-]+`, "code_challenge=CHALLENGE"},
		{`state=[\w-]+`, "state=STATE"},
		{`enter the code  \S+`, "enter the code  F7KQ2MZXR"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "2026-03-01T12:00:00Z"},
		{`([^T\d-])20\d\d-\d\d-\d\d([^T\d-])`, "${1}2026-05-30${2}"},
		{`\d{4}-\d\d-\d\d \d\d:\d\dZ`, "2026-03-01 11:30Z"},
		{`last success \d+s ago`, "last success 2s ago"},
		{`((?:trace|correlation)\s+id\s+)[0-9a-f-]{36}`, "${1}0a0a0a0a-0000-4000-8000-000000000001"},
		{`"record_id":"[0-9a-f]{32}"`, `"record_id":"5f0e6c1a9b7d48c2a3e4f5061728394a"`},
	} {
		text = regexp.MustCompile(s.expr).ReplaceAllString(text, s.to)
	}

	text = fixColumns(text, map[string]string{
		"SUCCESS":   "2s",
		"ALERT":     "4s",
		"LAG":       "2s",
		"REPEATS":   "0", // as many as there were polls meanwhile
		"OBTAINED":  "2m",
		"REFRESHED": "5s",
	})

	return "```\n" + strings.Trim(text, "\n") + "\n```"
}

// fixColumns puts the given cells in the columns of the tables of a text, whatever stood
// there, and sets the tables again: neither the cells nor the widths depend on how long
// things took.
func fixColumns(text string, cells map[string]string) string {
	between := regexp.MustCompile(` {2,}`)
	header := regexp.MustCompile(`^[A-Z_-]+( {2,}[A-Z_-]+)+$`)
	lines := strings.Split(text, "\n")

	for i := 0; i < len(lines); i++ {
		if !header.MatchString(lines[i]) {
			continue
		}

		names := between.Split(lines[i], -1)
		table, widths := [][]string{names}, make([]int, len(names))

		for _, line := range lines[i+1:] {
			row := between.Split(line, -1)
			if len(row) != len(names) {
				break
			}

			for n, name := range names {
				if cell, ok := cells[name]; ok {
					row[n] = cell
				}
			}

			table = append(table, row)
		}

		for _, row := range table {
			for n, cell := range row {
				widths[n] = max(widths[n], len(cell))
			}
		}

		for k, row := range table {
			line := ""
			for n, cell := range row {
				line += fmt.Sprintf("%-*s  ", widths[n], cell)
			}

			lines[i+k] = strings.TrimRight(line, " ")
		}
	}

	return strings.Join(lines, "\n")
}

func TestTablesAreTheSameHoweverLongThingsTook(t *testing.T) {
	cells := map[string]string{"LAG": "2s", "ALERT": "4s"}
	quick := "TENANT   ALERT  LAG  ERRORS\ncontoso  1s     1s   0\n\nLAG is a word"
	slow := "TENANT   ALERT  LAG   ERRORS\ncontoso  never  100s  0\n\nLAG is a word"

	a, b := fixColumns(quick, cells), fixColumns(slow, cells)
	if a != b || !strings.Contains(a, "contoso  4s     2s   0") {
		t.Errorf("%s\nand\n%s", a, b)
	}
}

// shower prints a command and what it left behind, as a terminal would.
func (w *world) shower() func(args []string, r result) string {
	return func(args []string, r result) string {
		var b strings.Builder
		b.WriteString("$ defenderctl")

		n := len("$ defenderctl")
		for i := 0; i < len(args); i++ {
			word := args[i]
			if word == "--data-dir" {
				i++
				continue
			}

			if strings.HasPrefix(word, "--") && i+1 < len(args) && !strings.HasPrefix(args[i+1], "--") {
				word += " " + args[i+1]
				i++
			}

			if shown := len(strings.Trim(w.block(word), "`\n")); n+shown > 95 {
				b.WriteString(" \\\n   ")

				n = 4
			} else {
				n += shown + 1
			}

			b.WriteString(" " + word)
		}

		b.WriteString("\n" + r.err + r.out)

		return w.block(b.String())
	}
}
