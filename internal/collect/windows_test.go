package collect

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/tick"
)

// poisoned is a Reader whose API cannot answer one window until it is fixed.
type poisoned struct {
	*tenantAPI
	window   defender.Window
	fixed    time.Time
	avoided  []defender.Window
	deferred bool
}

func (p *poisoned) Read(ctx context.Context, w defender.Window, s defender.Sink) error {
	if !p.deferred && w.From <= p.window.From {
		p.deferred = true
		if err := s.(defender.DeferringSink).Defer(p.window, "HTTP 500 for this millisecond"); err != nil {
			return err
		}
	}

	return p.tenantAPI.Read(ctx, w, outside{s, p.window})
}

func (p *poisoned) ReadDeferred(ctx context.Context, w defender.Window, s defender.Sink) error {
	if time.Now().Before(p.fixed) {
		return &defender.Error{Fault: advice.Fault{Problem: "still broken"}, Status: 500}
	}

	return p.tenantAPI.Read(ctx, w, s)
}

func (p *poisoned) Avoid(w defender.Window) { p.avoided, p.deferred = append(p.avoided, w), true }

// outside drops the rows of a window.
type outside struct {
	defender.Sink
	w defender.Window
}

func (o outside) Row(raw []byte) error {
	if at := describeSIEM(raw).Updated; at >= o.w.From && at < o.w.To {
		return nil
	}

	return o.Sink.Row(raw)
}

func TestAnUnreadableWindowIsReadLaterAlsoAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 20)
		begin := time.Now()
		r.api.add("0", begin.Add(-time.Hour), begin)
		r.api.add("1", begin.Add(-30*time.Minute), begin)
		r.api.add("2", begin, begin)
		at := tick.FromTime(begin.Add(-30 * time.Minute))
		p := &poisoned{
			tenantAPI: r.api,
			window:    defender.Window{From: at, To: at + tick.Millisecond},
			fixed:     begin.Add(50 * time.Hour),
		}
		r.cfg.Reader = p
		tenant := r.start()

		time.Sleep(10 * time.Hour)
		r.arrivedOnce(t, "0", "2")

		s := tenant.snapshot()
		if s.Deferred != 1 || s.State != "failing" ||
			!strings.Contains(s.Message, "deferred: HTTP 500 for this millisecond") ||
			s.Remedy == "" {
			t.Errorf("%d deferred, state %s, reason %q, remedy %q", s.Deferred, s.State, s.Message, s.Remedy)
		}

		if s.LastSuccess.Before(time.Now().Add(-2 * time.Minute)) {
			t.Errorf("polls are not complete any more since %v", s.LastSuccess)
		}

		r.kill()
		tenant = r.start()

		time.Sleep(30 * time.Hour)

		if s := tenant.snapshot(); s.Deferred != 1 || s.State != "failing" || s.Message == "" {
			t.Errorf("after the restart %d deferred, state %s, reason %q", s.Deferred, s.State, s.Message)
		}

		if !slices.Equal(p.avoided, []defender.Window{p.window}) {
			t.Errorf("after the restart %v was avoided", p.avoided)
		}

		r.arrivedOnce(t, "0", "2")
		time.Sleep(12 * time.Hour)
		r.arrivedOnce(t, "0", "1", "2")

		if n := r.deferred(); n != 0 {
			t.Errorf("%d entries are still listed", n)
		}

		if s := tenant.snapshot(); s.Deferred != 0 || s.State != "ok" || s.Message != "" {
			t.Errorf("afterwards %d deferred, state %s, reason %q", s.Deferred, s.State, s.Message)
		}

		r.stop()
	})
}

// arrivedOnce fails the test unless exactly these alerts arrived, each once.
func (r *rig) arrivedOnce(t *testing.T, ids ...string) {
	t.Helper()

	counts := r.chunk.counts()
	for _, id := range ids {
		if counts[id] != 1 {
			t.Errorf("alert %s arrived %d times", id, counts[id])
		}
	}

	if len(counts) != len(ids) {
		t.Errorf("%d alerts arrived; want %d", len(counts), len(ids))
	}
}

func TestAUsedUpCallBudgetIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 21)
		begin := time.Now()
		r.api.add("0", begin, begin)

		var calls []time.Time

		r.api.fail = func(int) error {
			if calls = append(calls, time.Now()); len(calls) == 1 {
				return &defender.Error{Fault: advice.Fault{RetryAfter: 10 * time.Minute}, Budget: true}
			}

			return nil
		}
		tenant := r.start()

		time.Sleep(5 * time.Minute)

		if s := tenant.snapshot(); s.Errors != 0 || s.State == "failing" {
			t.Errorf("a budget counts as a failure: %+v", s)
		}

		time.Sleep(10 * time.Minute)
		r.stop()

		if len(calls) < 2 || calls[1].Sub(calls[0]) != 10*time.Minute {
			t.Errorf("calls at %v", calls)
		}

		r.want(1, 1)
	})
}

func TestAClockThatWasAheadDelaysNoDeferredWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 20)
		begin := time.Now()

		r.api.add("1", begin.Add(-30*time.Minute), begin)
		at := tick.FromTime(begin.Add(-30 * time.Minute))
		p := &poisoned{
			tenantAPI: r.api,
			window:    defender.Window{From: at, To: at + tick.Millisecond},
			fixed:     begin.Add(90 * time.Minute),
		}
		r.cfg.Reader = p
		r.start()

		time.Sleep(time.Hour)
		r.kill()
		r.change(func() {
			for id, a := range r.store.deferred {
				a.NextTry = begin.AddDate(10, 0, 0)
				r.store.deferred[id] = a
			}

		})
		r.start()
		time.Sleep(longestRetry + 2*time.Minute)

		r.arrivedOnce(t, "1")
		r.stop()
	})
}

// describeSIEM is what a row of the SIEM API says about itself.
func describeSIEM(raw []byte) alert.Row {
	d, err := alert.NewDescriber(alert.SIEM)
	if err != nil {
		panic(err)
	}

	return d.Describe(raw)
}
