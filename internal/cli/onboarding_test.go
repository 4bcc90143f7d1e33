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

// onboarding is the transcript of one, by the parts of docs/onboarding.md.
type onboarding struct {
	*world

	show  func(args []string, r result) string
	parts map[string]string
	file  string // the configuration
	want  int    // how many alerts the customer has
}

// TestGoldenOnboarding onboards a customer in the three ways, runs
// the plugin on the stored token alone, and holds the transcript against
// docs/onboarding.md.
func TestGoldenOnboarding(t *testing.T) {
	var ahead atomic.Int64

	w := newWorld(t, func(c *simulator.Config) {
		c.Tenants[0].MSSPAuthorised = false
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	o := &onboarding{world: w, show: w.shower(), parts: map[string]string{}}

	o.signInThreeWays(&ahead)
	o.configure()

	host := o.runPlugin()
	o.sameAsPull(must(host.Records()))
	o.look()
	o.everythingAgain(host)

	if _, err := host.Stop(t.Context()); err != nil {
		t.Error(err)
	}

	var page strings.Builder
	if err := must(template.ParseFiles("../../testdata/cli/onboarding.tmpl")).Execute(&page, o.parts); err != nil {
		t.Fatal(err)
	}

	noSecret(t, result{out: page.String()})
	golden.File(t, "../../docs/onboarding.md", page.String())
}

// signInThreeWays signs in before and after the step in the portal: with a browser,
// with an address that is pasted, and on another device.
func (o *onboarding) signInThreeWays(ahead *atomic.Int64) {
	o.t.Helper()

	args := o.acquire("siem")
	r := o.expect(o.run(args...), 4)
	o.parts["Refused"], o.parts["RefusedCode"] = o.show(args, r), fmt.Sprint(r.code)

	o.SetMSSPAuthorised(contoso, true)
	o.parts["Ready"] = o.showCheck(o.conf("siem"))

	browser := o.acquire("graph")
	o.parts["Browser"] = o.show(browser, o.expect(o.run(browser...), 0))

	paste := o.acquire("graph", "--paste", "--redirect-uri", redirect)
	o.parts["Paste"] = o.show(paste, o.expect(o.answered(paste), 0))

	// A public client needs no secret. The service's pauses between polls are made short.
	o.SetAutoConsent(false)
	o.quickPolls(o.t, func() { ahead.Add(int64(6 * time.Second)) })
	device := slices.Insert(o.signIn(public, "graph"), 2, "--device-code")
	device = append(device, "--data-dir", o.dir+"-device")
	o.parts["Device"] = o.show(device, o.expect(o.entered(device), 0))
	o.login = ""
}

// showCheck shows what `check` says of a file. It is named by its name alone: where lines
// break must not depend on how long the path is here.
func (o *onboarding) showCheck(conf string) string {
	o.t.Helper()

	args := []string{"check", filepath.Base(conf)}

	return o.show(args, o.expect(o.runIn(filepath.Dir(conf), args...), 0))
}

func (o *onboarding) configure() {
	o.t.Helper()

	o.file = o.conf("graph", "poll_interval 1s")

	text := string(must(os.ReadFile(o.file)))
	if strings.Contains(text, "refresh_token") {
		o.t.Fatal("the configuration names a refresh token")
	}

	o.parts["Config"] = o.block(text)
	o.parts["Check"] = o.showCheck(o.file)
}

// runPlugin runs the plugin until it has emitted every alert.
func (o *onboarding) runPlugin() *flbhost.Host {
	o.t.Helper()

	host, err := flbhost.Start(o.t.Context(), flbhost.Config{
		Plugin:     setup.Plugin(o.t),
		StorageDir: o.t.TempDir(),
		Tick:       100 * time.Millisecond,
		Instances: []flbhost.Instance{{Tag: "defender.contoso", Props: flbhost.Props(
			"tenant_id", contoso,
			"tenant_name", "contoso",
			"client_id", client,
			"client_secret_file", o.secretFile(),
			"api", "graph",
			"login_url", o.LoginURL(),
			"api_url", o.APIURL("graph"),
			"data_dir", o.dir,
			"poll_interval", "1s",
		)}},
	})
	if err != nil {
		o.t.Fatal(err)
	}

	o.t.Cleanup(func() { _, _ = host.Kill() })

	o.want = len(o.Ledger(contoso, "graph").Exists)

	var records []flbhost.Record

	setup.Until(o.t, "all records", 0, func() bool {
		records = must(host.Records())
		return len(records) >= o.want
	}, nil)

	if len(records) != o.want {
		o.t.Errorf("%d records; want %d", len(records), o.want)
	}

	first, _, _ := strings.Cut(string(records[0].JSON()), `},`)
	o.parts["Run"] = o.block(
		fmt.Sprintf("$ fluent-bit -e /usr/lib/fluent-bit/in_defender.so -c fluent-bit.conf\n%s},…\n(%d records)",
			first, len(records)),
	)

	return host
}

// sameAsPull: what pull prints is what the plugin emits. (Doubles are compared by value:
// the two sides write 1.0 and 1.)
func (o *onboarding) sameAsPull(records []flbhost.Record) {
	o.t.Helper()

	same := func(record []byte) string {
		var v any
		if err := json.Unmarshal(record, &v); err != nil {
			o.t.Fatal(err)
		}

		return string(must(json.Marshal(v)))
	}

	var emitted, pulled []string
	for _, r := range records {
		emitted = append(emitted, same(r.JSON()))
	}

	for line := range strings.Lines(o.expect(o.run("pull", "contoso", "--config", o.file), 0).out) {
		pulled = append(pulled, same([]byte(line)))
	}

	slices.Sort(emitted)
	slices.Sort(pulled)

	if !slices.Equal(emitted, pulled) {
		o.t.Errorf("emitted:\n%s\npulled:\n%s", strings.Join(emitted, "\n"), strings.Join(pulled, "\n"))
	}
}

// look shows the status of the running input, and the tokens in the store.
func (o *onboarding) look() {
	o.t.Helper()

	setup.Until(o.t, "a status", 0, func() bool {
		list := parse[[]map[string]any](o.t, o.run("status", "--json").out)
		return len(list) == 1 && list[0]["state"] == "ok" && list[0]["emitted"] == float64(o.want)
	}, nil)

	o.parts["Status"] = o.show([]string{"status"}, o.expect(o.run("status"), 0))
	o.parts["List"] = o.show([]string{"tokens", "list"}, o.expect(o.run("tokens", "list"), 0))
}

var recordID = regexp.MustCompile(`"record_id":"[0-9a-f]{32}"`)

// everythingAgain: the SIEM lost its index. The running input emits everything again,
// under the same ids.
func (o *onboarding) everythingAgain(host *flbhost.Host) {
	o.t.Helper()

	o.expect(o.run("rewind", "contoso", "--since", "25h"), 0)

	var records []flbhost.Record

	setup.Until(o.t, "everything again", 0, func() bool {
		records = must(host.Records())
		return len(records) >= 2*o.want
	}, nil)

	ids := map[string]int{}
	for _, r := range records {
		ids[recordID.FindString(string(r.JSON()))]++
	}

	for id, n := range ids {
		if n != 2 || id == "" {
			o.t.Errorf("%s came %d times; want 2", id, n)
		}
	}
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
