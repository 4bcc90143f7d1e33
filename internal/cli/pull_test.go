package cli_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/testbed/simulator"
)

// pulled are the records of a pull, as maps.
func pulled(t *testing.T, out string) []map[string]any {
	t.Helper()

	var all []map[string]any

	for line := range strings.Lines(out) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v in %s", err, line)
		}

		all = append(all, m)
	}

	return all
}

func TestPullPrintsEveryAlertOnceOldestFirst(t *testing.T) {
	times := map[string]string{
		"siem":     "LastProcessedTimeUtc",
		"endpoint": "lastUpdateTime",
		"graph":    "lastUpdateDateTime",
	}

	for _, api := range simulator.APIs() {
		t.Run(api, func(t *testing.T) {
			w := newWorld(t, func(c *simulator.Config) { c.Tenants[0].Generated = 400 })
			r := w.expect(
				w.run("pull", "contoso", "--config", w.conf(api, "grant client_credentials"), "--since", "7d"),
				0,
			)

			all := pulled(t, r.out)
			if want := len(w.Ledger(contoso, api).Exists); len(all) != want {
				t.Errorf("%d records; the API listed %d", len(all), want)
			}

			ids := map[string]bool{}
			last := ""

			for _, m := range all {
				mssp := m["mssp"].(map[string]any)

				id := mssp["record_id"].(string)
				if ids[id] || mssp["api"] != api || mssp["tenant"] != "contoso" {
					t.Fatalf("record %v comes twice, or is another's", mssp)
				}

				ids[id] = true

				if key := times[api]; key != "" && mssp["kind"] == "alert" {
					at, err := time.Parse(time.RFC3339Nano, strings.TrimSuffix(m[key].(string), "Z")+"Z")
					if err != nil {
						t.Fatal(err)
					}

					text := at.Format("2006-01-02T15:04:05.000000000")
					if text < last {
						t.Fatalf("%s comes after %s", text, last)
					}

					last = text
				}
			}

			noSecret(t, result{err: r.err})

			again := w.expect(
				w.run("pull", "contoso", "--config", w.conf(api, "grant client_credentials"), "--since", "7d"),
				0,
			)
			if again.out != r.out {
				t.Error("a second pull prints something else")
			}
		})
	}
}

func TestPullTakesSinceAndLeavesUntil(t *testing.T) {
	for _, api := range []string{"siem", "endpoint", "graph"} {
		t.Run(api, func(t *testing.T) {
			w := newWorld(t, func(c *simulator.Config) { c.Tenants[0].Generated = 0 })
			base := time.Now().UTC().Add(-3 * time.Hour).Truncate(time.Second)
			minute := func(n int) time.Time { return base.Add(time.Duration(n) * time.Minute) }

			for i := range 6 {
				w.Add(contoso, simulator.Alert{
					ID:      fmt.Sprintf("da%d", i),
					Title:   fmt.Sprintf("alert %d", i),
					Created: minute(i),
					Updated: minute(i),
				})
			}

			args := []string{
				"pull", "contoso", "--config", w.conf(api, "grant client_credentials"),
				"--since", minute(1).Format(time.RFC3339), "--until", minute(4).Format(time.RFC3339),
			}
			want := []string{"alert 1", "alert 2", "alert 3"}

			if got := titles(t, w.expect(w.run(args...), 0).out); !slices.Equal(got, want) {
				t.Errorf("printed %v; want %v", got, want)
			}

			args = append(args, "--limit", "2")
			if got := titles(t, w.expect(w.run(args...), 0).out); !slices.Equal(got, want[:2]) {
				t.Errorf("--limit 2 printed %v; want %v", got, want[:2])
			}
		})
	}
}

// titles returns the titles of the alerts that pull printed.
func titles(t *testing.T, out string) (list []string) {
	t.Helper()

	for _, m := range pulled(t, out) {
		for _, key := range []string{"AlertTitle", "title"} {
			if v, ok := m[key].(string); ok {
				list = append(list, v)
			}
		}
	}

	return list
}

// TestPullNeverPassesOverAlertsSilently: what cannot be read is named and is a failure;
// all else is printed.
func TestPullNeverPassesOverAlertsSilently(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.Tenants[0].Generated = 0 })
	now := time.Now().UTC()

	bulk, later := now.Add(-2*time.Hour).Truncate(time.Second), now.Add(-time.Hour)
	for range 1600 {
		w.Add(contoso, simulator.Alert{Created: bulk, Updated: bulk})
	}

	w.Add(contoso, simulator.Alert{Created: later, Updated: later})

	if err := w.SetFaults("link:kind=none,skip:kind=refused"); err != nil {
		t.Fatal(err)
	}

	r := w.expect(
		w.run("pull", "contoso", "--config", w.conf("graph", "grant client_credentials"), "--since", "7d"),
		1,
	)
	if n := len(pulled(t, r.out)); n != 1001 {
		t.Errorf("%d records", n)
	}

	if said := strings.Join(strings.Fields(r.err), " "); !strings.Contains(said, "are missing") ||
		!strings.Contains(said, "narrow --filter") {
		t.Errorf("says %q", r.err)
	}
}

func TestPullWritesCEF(t *testing.T) {
	w := newWorld(t)
	for _, m := range pulled(t,
		w.expect(w.run("pull", "contoso", "--config", w.conf("siem", "grant client_credentials"),
			"--format", "cef"), 0).out) {
		if line, _ := m["cef"].(string); !strings.HasPrefix(line, "CEF:0|Microsoft|") || len(m) != 2 {
			t.Errorf("record %v", m)
		}
	}
}

func TestPullWithACredentialTouchesNothing(t *testing.T) {
	w := newWorld(t)

	r := w.expect(
		w.run("pull", contoso, "--client-id", client, "--client-secret-file", w.secretFile(), "--api",
			"graph", "--login-url", w.LoginURL(), "--api-url", w.APIURL("graph"), "--limit", "1"),
		0,
	)
	if len(pulled(t, r.out)) != 1 {
		t.Errorf("printed:\n%s", r.out)
	}

	if out := w.run("status", "--json").out; strings.TrimSpace(out) != "[]" {
		t.Errorf("status: %s", out)
	}

	contains(t, w.run("tokens", "list").err, "there is no directory")
}

func TestPullRefusesWhatIsNoTimeNumberOrFormat(t *testing.T) {
	w := newWorld(t)

	conf := w.conf("graph", "grant client_credentials")
	for _, more := range [][]string{{"--since", "yesterday"}, {"--until", "x"}, {"--limit", "-1"}, {"--format", "xml"},
		{"--since", "1h", "--until", "2h"}, {"--limit", "many"}, {"--sincee", "1h"}} {
		w.expect(w.run(append([]string{"pull", "contoso", "--config", conf}, more...)...), 2)
	}

	w.expect(w.run("pull", "contoso", "--config", w.file("none.conf", "[INPUT]\n    Name cpu\n")), 1)

	if err := w.SetFaults("403:api=graph"); err != nil {
		t.Fatal(err)
	}

	w.expect(w.run("pull", "contoso", "--config", conf), 4)

	if err := w.SetFaults("503:api=graph"); err != nil {
		t.Fatal(err)
	}

	w.expect(w.run("pull", "contoso", "--config", conf), 1)
}

func TestPullGoesOnThroughPassingTrouble(t *testing.T) {
	for _, api := range simulator.APIs() {
		for _, faults := range []string{
			"cut:count=1", "503:count=2", "429:count=1;wait=20s", "refuse:count=2", "reset:every=3",
			"429:every=7;wait=5s,503:every=5,cut:every=6,junk:every=11,401:every=9",
		} {
			t.Run(api+" "+faults, func(t *testing.T) {
				w := newWorld(t, func(c *simulator.Config) { c.Tenants[0].Generated = 120 })
				if err := w.SetFaults(faults); err != nil {
					t.Fatal(err)
				}

				more := []string{"grant client_credentials"}
				if api != "siem" {
					more = append(more, "page_size 15")
				}

				r := w.expect(w.run("pull", "contoso", "--config", w.conf(api, more...), "--since", "7d"), 0)
				if got, want := len(pulled(t, r.out)), len(w.Ledger(contoso, api).Exists); got != want {
					t.Errorf("%d records; the API listed %d: %s", got, want, r.err)
				}
			})
		}
	}
}

func TestPullEndsWhenNothingComesAnyMore(t *testing.T) {
	for name, c := range map[string]struct {
		faults string
		least  time.Duration // that is waited
		most   time.Duration
		says   string
	}{
		"a fault that lasts":  {"503:api=graph", 5 * time.Second, 40 * time.Second, "try again later"},
		"a quota of an hour":  {"429:api=graph;wait=3600s", 0, time.Second, "try again in 60m"},
		"a quota of 30 s":     {"429:api=graph;wait=30s", 60 * time.Second, 2 * time.Minute, "try again in"},
		"no connection":       {"refuse:api=graph", time.Second, 40 * time.Second, ""},
		"a person is needed":  {"403:api=graph", 0, 0, "HTTP 403"},
		"a bad request":       {"400:api=graph", 0, 0, "HTTP 400"},
		"cut after some time": {"cut:from=0s", 2 * time.Second, 60 * time.Second, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := w.SetFaults(c.faults); err != nil {
				t.Fatal(err)
			}

			r := w.run("pull", "contoso", "--config", w.conf("graph", "grant client_credentials"))
			if slept := time.Duration(w.slept.Load()); r.code == 0 || slept < c.least || slept > c.most {
				t.Errorf("exit code %d after %v: %s", r.code, slept, r.err)
			}

			contains(t, r.err, c.says)
		})
	}
}

// Each format prints the same alerts under the same ids: with the CEF line, where it has
// one, beside what it prints without; raw ones byte for byte.
func TestPullPrintsEveryFormat(t *testing.T) {
	for _, api := range simulator.APIs() {
		w := newWorld(t, func(c *simulator.Config) { c.Tenants[0].Generated = 40 })
		conf := w.conf(api, "grant client_credentials", "format cef")

		sent := map[string]bool{}
		for _, row := range w.Ledger(contoso, api).Exists {
			sent[string(row)] = true
		}

		printed := map[string]map[string]map[string]any{} // by format and record_id
		for _, format := range record.FormatNames() {
			out := w.expect(w.run("pull", "contoso", "--config", conf, "--since", "7d", "--format", format), 0).out
			printed[format] = byID(t, out)
		}

		for format, records := range printed {
			if len(records) != len(sent) {
				t.Errorf("%s %s: %d records; the API listed %d", api, format, len(records), len(sent))
			}

			for id, m := range records {
				if message, _ := m["message"].(string); strings.HasPrefix(format, "raw") != sent[message] {
					t.Fatalf("%s %s: %.300v", api, format, m)
				}

				if want, ok := expected(printed, format, id); ok && !reflect.DeepEqual(m, want) {
					t.Fatalf("%s %s: printed\n%.600v\nwant\n%.600v", api, format, m, want)
				}
			}
		}
	}
}

// byID returns the records of a pull by their record_id.
func byID(t *testing.T, out string) map[string]map[string]any {
	t.Helper()

	all := map[string]map[string]any{}
	for _, m := range pulled(t, out) {
		all[m["mssp"].(map[string]any)["record_id"].(string)] = m
	}

	return all
}

// expected returns what is known of a record from those of other formats: a line alone is
// that of json+cef, and a record with the line is the one without, with the line. All
// others are known only to have keys of the alert: what they are is for the tests of the
// encoder.
func expected(printed map[string]map[string]map[string]any, format, id string) (want map[string]any, ok bool) {
	line := printed["json+cef"][id]["cef"]

	if format == "cef" {
		return map[string]any{"mssp": printed["json"][id]["mssp"], "cef": line}, true
	}

	alone, ok := strings.CutSuffix(format, "+cef")
	if !ok {
		return nil, false
	}

	want = maps.Clone(printed[alone][id])
	want["cef"] = line

	return want, true
}
