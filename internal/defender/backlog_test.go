package defender

import (
	"cmp"
	"errors"
	"net/http"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
)

// TestABacklogStaysWithinTheBudget reads a hundred thousand alerts, and says what it
// takes in the service's own time.
func TestABacklogStaysWithinTheBudget(t *testing.T) {
	setup.OneGoroutine(t)

	for _, test := range []struct {
		api    alert.API
		alerts int
		page   int
		calls  int           // at most
		time   time.Duration // at most
	}{
		{alert.Endpoint, setup.Size(20_000, 100_000), 10_000, setup.Size(7, 20), time.Minute},
		{alert.Graph, setup.Size(6000, 20_000), 1000, setup.Size(15, 40), time.Minute},
		{alert.Incidents, setup.Size(10_000, 20_000), 100, setup.Size(140, 260), 10 * time.Minute},
		{alert.Endpoint, 20_000, 10, 2600, 3 * time.Hour},
	} {
		if testing.Short() && test.alerts > 20_000 {
			continue
		}

		target, err := cloud.Lookup(cloud.Commercial, test.api, "")
		if err != nil {
			t.Fatal(err)
		}

		r := newRig(t, test.api, func(c *simulator.Config, s *Settings) {
			c.Quotas = nil // the documented ones
			s.PageSize = test.page
		})
		limiter := NewLimiter(r.clock.Now, Budget{target.PerMinute, time.Minute}, Budget{target.PerHour, time.Hour})
		limiter.sleep = r.clock.Sleep
		r.reader.(*odata).client.Limiter = limiter

		back := 20 * time.Hour
		for i := range test.alerts {
			at := start.Add(-back + back*time.Duration(i)/time.Duration(test.alerts)).Truncate(time.Microsecond * 10)
			r.Add(contoso, simulator.Alert{Created: at, Updated: at})
		}
		// A second of the service's time for each request.
		slow := *r.cfg.HTTP
		slow.Transport = seeing(func(r2 *http.Request) { r.clock.Advance(time.Second / 2) })
		r.reader.(*odata).client.HTTP = &slow
		b, reads, wall := newBasket(t, test.api), 0, time.Now()
		w := Window{From: tick.FromTime(start.Add(-24 * time.Hour)), Now: tick.FromTime(start)}

		for {
			reads++

			err := r.reader.Read(t.Context(), w, b)
			if err == nil {
				break
			}

			var e *Error
			if !errors.As(err, &e) || !e.Budget {
				t.Fatal(err)
			}

			w.From = max(w.From, b.safe)

			r.clock.Advance(e.RetryAfter)
		}

		r.complete(b)
		s, api := r.Requests(), string(test.api)
		took := r.clock.Now().Sub(start)
		t.Logf(
			"%s: %d alerts in pages of %d: %d calls in %v of the service's time, %d reads, %d rows, none over quota "+
				"(%v here)",
			api,
			test.alerts,
			test.page,
			s.Count[api],
			took.Round(time.Second),
			reads,
			b.total,
			time.Since(wall).Round(time.Millisecond),
		)

		if s.Count[api] > test.calls || took > test.time || s.OverQuota[api] > 0 || s.Early[api] > 0 {
			t.Errorf("%s: %d calls in %v, %d over quota", api, s.Count[api], took, s.OverQuota[api])
		}
	}
}

// TestPiecesWithoutAlertsDoNotUseUpTheBudget: a service that fails now and then makes the
// reader cut a day into pieces, of which nearly all are empty.
func TestPiecesWithoutAlertsDoNotUseUpTheBudget(t *testing.T) {
	for _, api := range []alert.API{alert.Incidents, alert.Graph} {
		target, err := cloud.Lookup(cloud.Commercial, api, "")
		if err != nil {
			t.Fatal(err)
		}

		r := newRig(t, api, func(c *simulator.Config, s *Settings) {
			c.Quotas = nil // the documented ones
			c.Faults = "503:p=0.3"
		})
		limiter := NewLimiter(r.clock.Now, Budget{target.PerMinute, time.Minute}, Budget{target.PerHour, time.Hour})
		limiter.sleep = r.clock.Sleep
		client := &r.reader.(*odata).client
		client.Limiter = limiter
		sending := client.HTTP.Transport
		client.HTTP = &http.Client{Transport: answering(func(req *http.Request) (*http.Response, error) {
			r.clock.Advance(100 * time.Millisecond)
			return cmp.Or(sending, http.DefaultTransport).RoundTrip(req)
		})}

		for _, ago := range []time.Duration{20 * time.Hour, 11 * time.Hour, 10 * time.Minute} {
			r.Add(contoso, simulator.Alert{Created: start.Add(-ago), Updated: start.Add(-ago)})
		}

		// The state in which failures in a row have left the reader.
		r.reader.(*odata).pieces = pieces{span: tick.Second, tooLong: tick.Minute}
		b := newBasket(t, api)

		w := Window{From: tick.FromTime(start.Add(-24 * time.Hour)), Now: tick.FromTime(start)}
		for range 200 {
			err := r.reader.Read(t.Context(), w, b)
			if err == nil {
				break
			}

			var e *Error
			if !errors.As(err, &e) {
				t.Fatal(err)
			}

			w.From = max(w.From, b.safe)
			r.clock.Advance(max(e.RetryAfter, time.Second))
		}

		r.complete(b)

		if took, n := r.clock.Now().Sub(start), r.Requests().Count[string(api)]; took > 90*time.Second || n > 60 {
			t.Errorf("%s: three alerts took %v and %d requests", api, took, n)
		} else {
			t.Logf("%s: three alerts took %v and %d requests", api, took, n)
		}
	}
}
