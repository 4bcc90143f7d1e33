package defender

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
)

// TestSIEMWhateverTheBoundsMean: adjacent windows of any length hand over every
// detection, which of their bounds ever are inclusive, down to the 100 ns that the
// service keeps and the milliseconds that it is asked in.
func TestSIEMWhateverTheBoundsMean(t *testing.T) {
	for _, bounds := range []string{"[)", "[]", "()", "(]"} {
		r := newRig(t, alert.SIEM, func(c *simulator.Config, _ *Settings) { c.SIEMBounds = bounds })
		random := rand.New(rand.NewPCG(1, 2))

		from := start.Add(-10 * time.Minute)
		for i := range 400 {
			at := from.Add(time.Duration(random.Int64N(int64(8 * time.Minute))))

			switch i % 4 {
			case 0:
				at = at.Truncate(time.Second)
			case 1:
				at = at.Truncate(time.Millisecond)
			case 2:
				at = at.Truncate(time.Millisecond).Add(100)
			}

			r.Add(contoso, simulator.Alert{Created: at, Updated: at})
		}

		r.Add(contoso, simulator.Alert{Created: from, Updated: from})

		b := newBasket(t, alert.SIEM)

		for at := tick.FromTime(from); at < tick.FromTime(start); {
			to := at + []tick.Tick{1, 9_999, 10_000, 10_001, 7 * tick.Second, 70 * tick.Second}[random.IntN(6)]
			if err := r.reader.Read(t.Context(), Window{From: at, To: to, Now: tick.FromTime(start)}, b); err != nil {
				t.Fatal(err)
			}

			if b.safe != to {
				t.Fatalf("%s: safe until %v, not %v", bounds, b.safe, to)
			}

			at = to
		}

		r.complete(b)
	}
}

var siemForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$`)

// TestSIEMWindowsShrinkAndGrow: a service that can only answer short windows is asked
// for shorter and shorter ones, and for longer ones again where that goes well; size
// alone is no reason. Times have milliseconds and no zone, as in the samples.
func TestSIEMWindowsShrinkAndGrow(t *testing.T) {
	for _, longest := range []time.Duration{time.Second * 3, 5 * time.Minute, 7 * time.Hour} {
		var spans []time.Duration

		failures := 0
		reader, _ := fake(t, alert.SIEM, func(w http.ResponseWriter, r *http.Request) {
			q, _ := url.ParseQuery(r.URL.RawQuery)
			for _, name := range []string{"sinceTimeUtc", "untilTimeUtc"} {
				if q.Has(name) && !siemForm.MatchString(q.Get(name)) {
					t.Errorf("%s is %q", name, q.Get(name))
				}
			}

			if q.Has("limit") || q.Has("ago") {
				t.Errorf("asks for %s", r.URL.RawQuery)
			}

			from, to := (&poisoned{api: alert.SIEM}).window(q)
			if span := (min(to, tick.FromTime(start)) - from).Duration(); span > longest {
				failures++

				w.WriteHeader(http.StatusGatewayTimeout)

				return
			} else if span > time.Second {
				spans = append(spans, span)
			}

			_, _ = io.WriteString(w, "[]")
		})
		b := newBasket(t, alert.SIEM)

		w := Window{From: tick.FromTime(start.Add(-10 * time.Hour)), Now: tick.FromTime(start)}
		if longest < time.Minute {
			w.From = tick.FromTime(start.Add(-10 * time.Minute))
		}

		reads := 1
		for ; reads < 200; reads++ {
			if err := reader.Read(t.Context(), w, b); err == nil {
				break
			}

			w.From = max(w.From, b.safe)
		}

		var most time.Duration
		for _, s := range spans {
			most = max(most, s)
		}

		if reads > 130 || failures > 300 || most < longest/fewer/2 {
			t.Errorf("%v: %d reads, %d windows failed, %d were read, the longest %v",
				longest, reads, failures, len(spans), most)
		}
	}
}

// TestLongWindowsThatFailAreNoErrorAtEachSweep: what was too
// long an hour ago is cut at once.
func TestLongWindowsThatFailAreNoErrorAtEachSweep(t *testing.T) {
	now, requests := start, 0
	reader, _ := fake(t, alert.SIEM, func(w http.ResponseWriter, r *http.Request) {
		requests++

		q, _ := url.ParseQuery(r.URL.RawQuery)
		if from, to := (&poisoned{api: alert.SIEM}).window(q); min(to, tick.FromTime(now))-from > 60*tick.Minute {
			w.WriteHeader(http.StatusGatewayTimeout)
			return
		}

		_, _ = io.WriteString(w, "[]")
	})
	failed := 0

	for poll := range 24 * 60 { // a day of polls, one a minute, every sixtieth a sweep
		now = start.Add(time.Duration(poll) * time.Minute)

		back := 10 * time.Minute
		if poll%60 == 0 {
			back = 24 * time.Hour
		}

		w := Window{From: tick.FromTime(now.Add(-back)), Now: tick.FromTime(now)}
		for try := range 5 {
			err := reader.Read(t.Context(), w, newBasket(t, alert.SIEM))
			if err == nil {
				break
			}

			if failed++; try == 4 {
				t.Fatalf("poll %d: %v", poll, err)
			}
		}
	}
	// A sweep is some thirty windows; the polls are one request each.
	if failed > 2 || requests > 24*60+24*100 {
		t.Errorf("%d errors and %d requests in a day", failed, requests)
	}
}

// TestSIEMOpenWindowHasNoUpperBound: what was processed while we asked comes too.
func TestSIEMOpenWindowHasNoUpperBound(t *testing.T) {
	reader, _ := fake(t, alert.SIEM, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("untilTimeUtc") {
			t.Errorf("asks for %s", r.URL.RawQuery)
		}

		_, _ = fmt.Fprintf(w, "[%s]", row(alert.SIEM, "a", start.Add(time.Minute)))
	})

	b := newBasket(t, alert.SIEM)
	if err := reader.Read(t.Context(), lastHour(), b); err != nil || len(b.rows) != 1 || b.safe != 0 {
		t.Errorf("%v, %d rows, safe until %v", err, len(b.rows), b.safe)
	}
}

// TestAClosedWindowEndsWhereItIsAskedTo for every API, and Safe says so.
func TestAClosedWindowEndsWhereItIsAskedTo(t *testing.T) {
	for _, api := range alert.APIs() {
		p := poisoned{api: api, alerts: hundredAlerts()}
		reader, _ := fake(t, api, p.ServeHTTP, func(s *Settings) { s.PageSize = 10 })
		b := newBasket(t, api)

		w := Window{From: tick.FromTime(p.alerts[10]), To: tick.FromTime(p.alerts[50]), Now: tick.FromTime(start)}
		err := reader.Read(t.Context(), w, b)
		if err != nil || b.safe != w.To || len(b.rows) != 40 && api != alert.SIEM || len(b.rows) < 40 {
			t.Errorf("%s: %v, %d rows, safe until %v", api, err, len(b.rows), b.safe)
		}
	}
}

// TestOrderIsAskedForAgainAfterAWhile: a service that did not keep it once may keep it
// later.
func TestOrderIsAskedForAgainAfterAWhile(t *testing.T) {
	c := newClock()

	l := listing{api: alert.Endpoint, desc: true}
	for i := range 20 {
		l.alerts = append(l.alerts, start.Add(-time.Duration(i)*time.Minute))
	}

	ordered := 0
	reader, notices := fake(t, alert.Endpoint, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("$orderby") {
			ordered++
		}

		l.ServeHTTP(w, r)
	}, func(s *Settings) { s.Now = c.Now })

	read := func() int {
		before := ordered

		b := newBasket(t, alert.Endpoint)
		// The last alert is of the present.
		if err := reader.Read(t.Context(), lastHour(), b); err != nil || len(b.rows) < 19 {
			t.Errorf("%d rows, %v", len(b.rows), err)
		}

		return ordered - before
	}
	if first, second := read(), read(); first == 0 || second != 0 {
		t.Errorf("asked for the order %d, then %d times", first, second)
	}

	c.Advance(orderAgain)

	l.desc = false

	if again, on := read(), read(); again == 0 || on == 0 || len(notices.List()) != 1 {
		t.Errorf("asked for the order %d, then %d times; said %q", again, on, notices.List())
	}
}
