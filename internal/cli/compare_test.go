package cli_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/testbed/simulator"
)

// renamed is an alert that one API lists under another id, as if it were another alert.
func renamed(w *world, api, key, id string) {
	w.Add(contoso, simulator.Alert{
		ID:      id,
		Title:   "Title of " + id,
		Created: w.now().Add(-2 * time.Hour),
		Fields:  map[string]map[string]json.RawMessage{api: {key: json.RawMessage(`"other-` + id + `"`)}},
	})
}

func TestCompareFindsWhatOneAPILacks(t *testing.T) {
	for _, from := range simulator.APIs() {
		for _, to := range simulator.APIs() {
			if from == to || strings.HasSuffix(to, "incidents") {
				continue
			}

			if from == simulator.GraphIncidents && to == simulator.Graph {
				continue // an alert has the same fields in both
			}

			t.Run(from+" to "+to, func(t *testing.T) {
				w := newWorld(t, func(c *simulator.Config) { c.Tenants[0].Generated = 0 })
				for i := range 30 {
					at := w.now().Add(-time.Duration(i+1) * time.Hour)
					w.Add(contoso, simulator.Alert{ID: fmt.Sprintf("a%02d", i), Created: at})
				}

				facts, err := alert.API(to).Descriptor()
				if err != nil {
					t.Fatal(err)
				}

				renamed(w, to, facts.Alert.ID, "lost")

				args := []string{
					"compare", "contoso", "--config", w.conf(from, "grant client_credentials"), "--json",
					"--from", from, "--to", to, "--to-api-url", w.APIURL(to),
				}
				if to == "siem" {
					args = append(args, "--to-region", "us")
				}

				r := w.expect(w.run(args...), 1)

				for path, want := range map[string]string{
					"from_alerts":          "31",
					"to_alerts":            "31",
					"both":                 "30",
					"only_from.#":          "1",
					"only_from.0.alert_id": "lost",
					"only_from.0.title":    "Title of lost",
					"only_to.#":            "1",
					"only_to.0.alert_id":   "other-lost",
				} {
					if got := gjson.Get(r.out, path).String(); got != want {
						t.Errorf("%s is %s, want %s", path, got, want)
					}
				}

				if !strings.Contains(r.err, "does not list 1 of the alerts") {
					t.Error(r.err)
				}

				noSecret(t, r)
			})
		}
	}
}

func TestCompareOfEqualListsEndsWellForPeople(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.Tenants[0].Generated = 40 })
	conf := w.conf("endpoint", "grant client_credentials")

	r := w.expect(w.run("compare", "contoso", "--config", conf, "--from", "endpoint", "--to", "graph", "--to-api-url",
		w.APIURL("graph")), 0)
	for _, want := range []string{"contoso", "endpoint", "graph", "both", "only endpoint            0"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s", want, r.out)
		}
	}

	w.expect(w.run("compare", "contoso", "--config", conf, "--from", "endpoint", "--to", "grpah"), 2)
	w.expect(w.run("compare", "nobody", "--config", conf, "--from", "endpoint", "--to", "graph"), 2)
	w.expect(w.run("compare", "contoso", "--config", conf, "--from", "endpoint"), 2)
}
