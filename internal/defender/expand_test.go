package defender

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/testbed/simulator"
)

// incidents is a rig with incidents of several alerts, which turn up in another order
// than they were created in. Some fields have values that only this API sends.
func incidents(t *testing.T, faults string) *rig {
	t.Helper()
	r := newRig(t, alert.GraphIncidents, func(c *simulator.Config, _ *Settings) { c.Faults = faults })

	for i := range 6 {
		for j, ago := range []time.Duration{20, 40, 30, 40} {
			created := start.Add(-ago*time.Minute + time.Duration(i)*time.Second)
			r.Add(contoso, simulator.Alert{
				ID:         "da" + string(rune('a'+i)) + string(rune('z'-j)),
				IncidentID: int64(70 + i),
				Created:    created,
				Escapes:    simulator.EscapeMode(j % 3),
				Title:      "<a> & 'b'",
				Fields: map[string]map[string]json.RawMessage{
					"graph": {"customDetails": json.RawMessage(`{"x":1.50}`)},
				},
			})
		}
	}

	return r
}

// whole reads the last hours and reports rows that differ from what $expand gives.
func (r *rig) whole() *basket {
	r.t.Helper()

	b := newBasket(r.t, r.api)
	rows := map[string][]byte{}
	b.before = func(raw []byte) error {
		rows[r.keyOf(raw)] = bytes.Clone(raw)
		return nil
	}

	r.readOn(r.window(2*time.Hour), b, &b.safe)
	r.complete(b)

	exists := r.Ledger(contoso, string(r.api)).Exists
	for key, row := range rows {
		if want := exists[key]; !bytes.Equal(row, want) {
			r.t.Errorf("%q differs from what $expand gives:\n%s\n%s", key, row, want)
		}
	}

	return b
}

// keyOf returns what the simulator's ledger knows a row by.
func (r *rig) keyOf(raw []byte) string {
	describer, err := alert.NewDescriber(r.api)
	if err != nil {
		r.t.Fatal(err)
	}

	row := describer.Describe(raw)

	return string(row.Identity) + "\n" + string(row.Version)
}

// TestWithoutExpandAnIncidentIsTheSame: byte for byte, from its own address where that
// works with $expand, and else from the list of alerts.
func TestWithoutExpandAnIncidentIsTheSame(t *testing.T) {
	for name, faults := range map[string]string{
		"no fault":            "",
		"pages only":          "expand:id=72",
		"every incident":      "expand",
		"and pages are short": "expand,clamp:size=2;api=graph",
		"now and then":        "expand:p=0.4,502:p=0.2",
	} {
		t.Run(name, func(t *testing.T) { incidents(t, faults).whole() })
	}
}

// TestAnIncidentThatChangesMeanwhileIsReadAgain: the alerts of one version must not come
// with the incident of another one, or the record_id of the next version would be used
// up.
func TestAnIncidentThatChangesMeanwhileIsReadAgain(t *testing.T) {
	for _, faults := range []string{"expand:id=72", "expand"} {
		for _, path := range []string{"/alerts_v2", "/incidents/72"} {
			r := incidents(t, faults)
			r.clock.Advance(time.Minute)

			changed := 0
			r.reader.(*odata).client.HTTP = &http.Client{Transport: seeing(func(q *http.Request) {
				if !strings.HasSuffix(q.URL.Path, path) || changed == 2 {
					return
				}

				changed++

				r.clock.Advance(time.Second)
				r.Update(contoso, "dacz", r.clock.Now(), func(a *simulator.Alert) { a.Status = "Resolved" })
				r.clock.Advance(time.Second)
			})}

			r.whole()

			if changed == 0 && (faults == "expand" || path != "/alerts_v2") {
				t.Errorf("%s: nothing changed at %s", faults, path)
			}
		}
	}
}

// TestAnAccidentDoesNotEndExpand: a page whose incidents can each be read with $expand is
// asked for with it again, and without it only after it failed twice in a row. Each of
// its incidents costs a call then.
func TestAnAccidentDoesNotEndExpand(t *testing.T) {
	for fails, want := range map[int]int{1: 0, 2: 6, 3: 18} {
		r := incidents(t, "")
		pages, own := 0, 0
		r.reader.(*odata).client.HTTP = &http.Client{Transport: answering(func(
			q *http.Request,
		) (*http.Response, error) {
			switch path, expand := q.URL.Path, q.URL.Query().Has("$expand"); {
			case strings.Contains(path, "/incidents/"):
				own++
			case expand && pages < fails && !strings.Contains(q.URL.RawQuery, "T11"): // but at the list's end
				pages++
				return &http.Response{StatusCode: http.StatusInternalServerError, Body: http.NoBody, Request: q}, nil
			}

			return http.DefaultTransport.RoundTrip(q)
		})}

		for range 3 {
			r.whole()
		}

		if own != want {
			t.Errorf("%d failures: %d incidents were read alone, want %d", fails, own, want)
		}
	}
}

// TestAnOddAnswerIsNoIncident: what answers at an incident's own address in its place is
// not taken for it, and the incident's alerts are asked for elsewhere.
func TestAnOddAnswerIsNoIncident(t *testing.T) {
	at := start.Add(-time.Minute)
	plain := row(alert.GraphIncidents, "7", at)
	one := `{"id":"a","incidentId":"7","createdDateTime":"2026-03-01T11:00:00Z"}`
	two := `{"id":"b","incidentId":"7"}`
	want := strings.TrimSuffix(plain, "}") + `,"alerts":[` + two + "," + one + `]}`

	for name, odd := range map[string]string{
		"empty":           "",
		"html":            "<html>",
		"an error":        `{"error":{"code":"x"}}`,
		"another one":     row(alert.GraphIncidents, "8", at),
		"without alerts":  plain,
		"no list":         strings.TrimSuffix(plain, "}") + `,"alerts":null}`,
		"cut":             strings.TrimSuffix(plain, "}") + `,"alerts":[`,
		"with another":    plain + "," + plain,
		"something after": plain + "x",
		"a number":        "7",
	} {
		t.Run(name, func(t *testing.T) {
			reader, _ := fake(t, alert.GraphIncidents, func(w http.ResponseWriter, r *http.Request) {
				answer := pageOf()

				switch q := r.URL.Query(); {
				case r.URL.Path == "/alerts/7" && q.Has("$expand"):
					answer = odd
				case r.URL.Path == "/alerts/7":
					answer = `{"@odata.context": "https://x/$metadata" ,` + plain[1:]
				case strings.HasSuffix(r.URL.Path, "/alerts_v2"):
					answer = pageOf(one, two, one, `{"id":"c","incidentId":"8"}`)
				case strings.Contains(q.Get("$filter"), " lt ") && q.Get("$top") == "1": // a canary
				case q.Has("$expand"):
					w.WriteHeader(http.StatusInternalServerError)
					return
				default:
					answer = pageOf(plain)
				}

				_, _ = w.Write([]byte(answer))
			})

			var got []string

			b := newBasket(t, alert.GraphIncidents)
			b.before = func(raw []byte) error {
				got = append(got, string(raw))
				return nil
			}

			for try := 0; ; try++ {
				err := reader.Read(t.Context(), lastHour(), b)
				if err == nil {
					break
				}

				if try == 5 {
					t.Fatal(err)
				}
			}

			for _, g := range got {
				if g != want {
					t.Errorf("got  %s\nwant %s", g, want)
				}
			}

			if len(got) == 0 {
				t.Error("no incident came")
			}
		})
	}
}

func TestTheContextOfAnAnswerIsNoPartOfTheIncident(t *testing.T) {
	for raw, want := range map[string]string{
		`{"@odata.context":"x","id":"7"}`:             `{"id":"7"}`,
		"{ \"@odata.context\" : \"}\" ,\n \"a\":{} }": `{"a":{} }`,
		`{"@odata.context":"x"}`:                      `{}`,
		`{"id":"7","@odata.context":"x"}`:             `{"id":"7","@odata.context":"x"}`,
		`{"@odata.contexts":"x"}`:                     `{"@odata.contexts":"x"}`,
		`{}`:                                          `{}`,
		`7`:                                           `7`,
	} {
		if got := string(withoutContext([]byte(raw))); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

// TestLargeIncidentsShareOnePermit: parts and whole of an incident may each need the
// permit for large rows, and it is free afterwards.
func TestLargeIncidentsShareOnePermit(t *testing.T) {
	r := incidents(t, "expand")
	for i, size := range []int{3, 3, 6} {
		r.Add(contoso, simulator.Alert{
			IncidentID:  80 + int64(i/2),
			Created:     start.Add(-time.Minute),
			Description: strings.Repeat("x", size<<20),
		})
	}

	r.whole()

	if len(largeRows) > 0 {
		t.Error("the permit was not given back")
	}
}
