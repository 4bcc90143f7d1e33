package collect

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
)

func TestAnUnreadableWindowIsReadLaterAlsoAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.api.add("0", begin.Add(-time.Hour), begin)
		r.api.add("1", begin.Add(-30*time.Minute), begin)
		r.api.add("2", begin, begin)
		p := r.poison(begin.Add(-30*time.Minute), begin.Add(50*time.Hour))
		unit := r.start()
		time.Sleep(10 * time.Hour)
		r.wantOnce("0", "2")

		s := unit.snapshot()
		if s.Deferred != 1 || s.State != "failing" ||
			!strings.Contains(s.Message, "deferred: HTTP 500 for this millisecond") ||
			s.Remedy == "" {
			t.Errorf("%d deferred, state %s, reason %q, remedy %q", s.Deferred, s.State, s.Message, s.Remedy)
		}

		if s.LastSuccess.Before(time.Now().Add(-2 * time.Minute)) {
			t.Errorf("polls are not complete any more since %v", s.LastSuccess)
		}

		r.kill()
		unit = r.start()
		time.Sleep(30 * time.Hour)

		if s := unit.snapshot(); s.Deferred != 1 || s.State != "failing" || s.Message == "" {
			t.Errorf("after the restart %d deferred, state %s, reason %q", s.Deferred, s.State, s.Message)
		}

		if !slices.Equal(p.avoided, []defender.Window{p.window}) {
			t.Errorf("after the restart %v was avoided", p.avoided)
		}

		r.wantOnce("0", "2")
		time.Sleep(12 * time.Hour)
		r.wantOnce("0", "1", "2")

		r.wantDeferred(0)

		if s := unit.snapshot(); s.Deferred != 0 || s.State != "ok" || s.Message != "" {
			t.Errorf("afterwards %d deferred, state %s, reason %q", s.Deferred, s.State, s.Message)
		}

		r.stop()
	})
}

func TestAUsedUpCallBudgetIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.api.add("0", begin, begin)

		var calls []time.Time

		r.api.fail = func(int) error {
			if calls = append(calls, time.Now()); len(calls) == 1 {
				return &defender.Error{Fault: advice.Fault{RetryAfter: 10 * time.Minute}, Budget: true}
			}

			return nil
		}
		unit := r.start()
		time.Sleep(5 * time.Minute)

		if s := unit.snapshot(); s.Errors != 0 || s.State == "failing" {
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
		r := newRig(t)
		begin := time.Now()

		r.api.add("1", begin.Add(-30*time.Minute), begin)
		r.poison(begin.Add(-30*time.Minute), begin.Add(90*time.Minute))
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

		r.wantOnce("1")
		r.stop()
	})
}
