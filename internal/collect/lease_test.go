package collect

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// leased is the lease of a rig.
type leased struct {
	r    *rig
	ends atomic.Bool // it is not trusted
	gone chan alert.UnitKey
}

// newLeased returns a rig with a lease that is trusted.
func newLeased(r *rig) *leased {
	l := &leased{r: r, gone: make(chan alert.UnitKey, 10)}
	r.lease = l
	r.store.fenced = map[alert.UnitKey]bool{}

	return l
}

func (l *leased) Trusted() bool { return !l.ends.Load() }

func (l *leased) Lost(keys []alert.UnitKey) {
	l.r.in.Abandon(keys, func(key alert.UnitKey) { l.gone <- key })
}

func TestWithoutTrustNothingIsPolledOrDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		lease := newLeased(r)
		r.listNow(0, 9)

		unit := r.start()
		time.Sleep(500 * time.Millisecond) // read, but not delivered
		lease.ends.Store(true)
		time.Sleep(10 * time.Minute)

		if n, reads := len(r.chunk.counts()), r.reads(); n != 0 || reads != 1 {
			t.Errorf("%d alerts were delivered, the API was read %d times", n, reads)
		}

		if err := r.in.Ready(context.Background()); err == nil {
			t.Error("it is ready without a lease")
		}

		r.wantState(unit, health.OK, "")

		r.listNow(10, 19)
		lease.ends.Store(false)
		time.Sleep(2 * time.Minute)
		r.stop()
		r.want(20, 1)

		if err := r.in.Ready(context.Background()); err != nil {
			t.Error(err)
		}

		if lines := r.log.important(); len(lines) != 0 {
			t.Errorf("logged %q", lines)
		}
	})
}

func TestAPollThatLosesTrustGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		lease := newLeased(r)
		r.listNow(0, 9)
		r.api.fail = func(row int) error {
			if row == 5 {
				lease.ends.Store(true)
			}

			return nil
		}

		unit := r.start()
		time.Sleep(5 * time.Minute)
		r.api.failing(nil)
		lease.ends.Store(false)
		time.Sleep(2 * time.Minute)

		if s := unit.snapshot(); s.Errors != 0 {
			t.Errorf("%d polls count as failed", s.Errors)
		}

		r.stop()
		r.want(10, 1)
	})
}

func TestWhatIsAbandonedIsNeitherDeliveredNorCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		lease := newLeased(r)
		r.startAndRest()

		before := r.checkpoint()

		r.chunk.refuseAll()
		r.listNow(0, 9)
		time.Sleep(time.Minute)
		lease.Lost([]alert.UnitKey{r.cfg.Key})
		r.chunk.accept()

		if key := <-lease.gone; key != r.cfg.Key {
			t.Errorf("%v is gone", key)
		}

		time.Sleep(10 * time.Minute)

		if n := len(r.chunk.counts()); n != 0 || r.in.outbox.Bytes() != 0 {
			t.Errorf("%d alerts were delivered, %d bytes wait", n, r.in.outbox.Bytes())
		}

		if got := r.checkpoint(); got.Watermark > before.Watermark+tick.FromDuration(time.Minute) {
			t.Errorf("progress was committed: from %v to %v", before.Watermark, got.Watermark)
		}

		if unknown := r.in.Abandon([]alert.UnitKey{r.cfg.Key}, nil); len(unknown) != 1 {
			t.Errorf("it is still there")
		}

		r.in.Add(r.config()) // the unit came back
		time.Sleep(10 * time.Minute)
		r.stop()
		r.want(10, 1)
	})
}

func TestAFencedCommitGivesUpJustThatUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		lease := newLeased(r)
		r.start()

		other := newRig(t)
		other.cfg.Key.TenantID = "fabrikam.test"
		other.rules.TenantID = "fabrikam.test"

		second := r.in.Add(other.config())

		time.Sleep(90*time.Second + betweenTicks)
		r.change(func() { r.store.fenced[r.cfg.Key] = true })
		r.listNow(0, 0)
		other.listNow(0, 0)

		if key := <-lease.gone; key != r.cfg.Key {
			t.Errorf("%v is gone", key)
		}

		time.Sleep(5 * time.Minute)

		commits := 0

		r.change(func() { commits = r.store.commits })
		other.listNow(1, 1)
		time.Sleep(2 * time.Minute)

		r.change(func() { commits = r.store.commits - commits })

		if len(r.in.all()) != 1 || second.snapshot().State != "ok" || commits == 0 {
			t.Errorf("%d units are left, the other is %s", len(r.in.all()), second.snapshot().State)
		}

		if n := r.in.MeasureInput().StoreErrors; n != 0 {
			t.Errorf("%d calls of the store count as failed", n)
		}

		if lines := r.log.important(); len(lines) != 0 {
			t.Errorf("logged %q", lines)
		}

		r.stop()
	})
}

func TestARejectedEventOfAnAbandonedUnitIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		lease := newLeased(r)
		r.store.noDeferring = true
		r.chunk.refuse = func(ids []string) bool { return slices.Contains(ids, "3") }
		r.listNow(0, 9)
		r.start()
		time.Sleep(2 * time.Minute) // it is rejected, and the store does not take it
		lease.Lost([]alert.UnitKey{r.cfg.Key})
		<-lease.gone
		time.Sleep(time.Minute)

		if n := r.in.outbox.Bytes(); n != 0 {
			t.Errorf("%d bytes wait", n)
		}

		r.stop()
	})
}

func TestAHandOverWaitsForThePollAndCommitsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		newLeased(r)
		r.listNow(0, 9)
		r.api.fail = func(row int) error { // the first poll takes ten seconds
			time.Sleep(time.Second)
			return nil
		}
		r.start()
		time.Sleep(5*time.Second + betweenTicks)

		done := make(chan time.Time, 1)
		began := time.Now()

		if !r.in.HandOver(r.cfg.Key, func() { done <- time.Now() }) {
			t.Fatal("there is no such unit")
		}

		took := (<-done).Sub(began)
		if took < 5*time.Second || took > 10*time.Second {
			t.Errorf("it took %v", took)
		}

		r.want(10, 1)

		committed := 0

		r.change(func() { committed = len(r.store.seen[r.cfg.Key]) })

		if len(r.in.all()) != 0 || committed != 10 {
			t.Errorf("%d units are left; %d alerts are committed", len(r.in.all()), committed)
		}

		if r.in.HandOver(r.cfg.Key, nil) {
			t.Error("there still is such a unit")
		}

		reads := r.reads()

		time.Sleep(5 * time.Minute)

		if r.reads() != reads {
			t.Error("it was polled after the hand-over")
		}

		r.stop()
	})
}

func TestAHandOverOfAUnitAtRestIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		newLeased(r)
		r.startAndRest()

		done := make(chan bool, 1)
		began := time.Now()

		r.in.HandOver(r.cfg.Key, func() { done <- true })
		<-done

		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}

		r.stop()
	})
}

func TestAPollThatTakesVeryLongIsBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		newLeased(r)
		r.listNow(0, 999)

		var ended atomic.Bool

		r.api.fail = func(int) error {
			time.Sleep(time.Second)

			if ended.Load() {
				return context.Canceled
			}

			return nil
		}
		unit := r.start()
		context.AfterFunc(unit.ctx, func() { ended.Store(true) })
		time.Sleep(5*time.Second + betweenTicks)

		done := make(chan bool, 1)
		began := time.Now()

		r.in.HandOver(r.cfg.Key, func() { done <- true })
		<-done

		if took := time.Since(began); took < longestHandOver || took > longestHandOver+5*time.Second {
			t.Errorf("it took %v", took)
		}

		r.stop()
	})
}

func TestAfterATakeoverTheFirstWholePassIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		newLeased(r)
		r.start()
		time.Sleep(5 * time.Minute)
		r.stop()

		r.change(func() { // another node takes it over
			cp := r.store.cps[r.cfg.Key]
			cp.Replay = true
			r.store.cps[r.cfg.Key] = cp
		})

		broken := true

		r.listNow(0, 9)
		r.api.fail = func(row int) error { // two polls until a pass is whole
			if broken && row == 5 {
				return errors.New("broken off")
			}

			return nil
		}
		r.start()
		time.Sleep(3 * time.Second)

		if !r.checkpoint().Replay {
			t.Error("the store forgot the replay before a whole pass")
		}

		r.change(func() { broken = false })
		time.Sleep(2 * time.Minute)
		r.listNow(10, 19)
		time.Sleep(2 * time.Minute)
		r.stop()
		r.want(20, 1)

		if got := sortedNumbers(r.chunk.replays); got != "0 1 2 3 4 5 6 7 8 9" {
			t.Errorf("marked are %s", got)
		}

		if r.store.cps[r.cfg.Key].Replay {
			t.Error("the store still has the replay")
		}
	})
}

func sortedNumbers(ids []string) string {
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func TestAUnitTakenOverBeforeItsFirstCommitIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		newLeased(r)
		r.store.unborn = true
		r.listNow(0, 2)
		r.start()
		time.Sleep(90 * time.Second)
		r.listNow(3, 5)
		time.Sleep(90 * time.Second)
		r.stop()

		if got := sortedNumbers(r.chunk.replays); got != "0 1 2" {
			t.Errorf("marked are %s", got)
		}
	})
}

func TestDeferredWorkOfADeadNodeIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		newLeased(r)

		begin := time.Now()
		r.poison(begin.Add(-30*time.Minute), begin.Add(2*time.Hour))
		r.api.add("0", begin.Add(-30*time.Minute), begin) // in a window that cannot be read
		r.api.add("1", begin, begin)                      // rejected
		r.chunk.refuse = func(ids []string) bool { return slices.Contains(ids, "1") || slices.Contains(ids, "5") }
		r.start()
		time.Sleep(betweenTicks)

		for i := 2; i < 5; i++ {
			r.listNow(i, i)
			time.Sleep(time.Minute)
		}

		r.listNow(5, 5) // parked
		time.Sleep(time.Minute)
		r.stop()
		r.listNow(6, 6)

		kinds := map[store.DeferredKind]bool{}

		r.change(func() {
			r.chunk.refuse = nil

			for id, d := range r.store.deferred {
				kinds[d.Kind] = true
				d.Replay = true
				r.store.deferred[id] = d
			}
		})

		r.start()
		time.Sleep(5 * time.Hour)
		r.stop()
		r.want(7, 1)

		if got := sortedNumbers(r.chunk.replays); len(kinds) != 3 || got != "0 1 5" {
			t.Errorf("marked are %s, of %v", got, kinds)
		}
	})
}

func TestAWindowThatIsDeferredInAReplayIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		newLeased(r)
		r.store.unborn = true

		begin := time.Now()
		r.poison(begin.Add(-30*time.Minute), begin.Add(2*time.Hour))
		r.api.add("0", begin.Add(-30*time.Minute), begin)
		r.start()
		time.Sleep(time.Hour)
		r.listNow(1, 1)
		time.Sleep(4 * time.Hour)
		r.stop()
		r.want(2, 1)

		if got := sortedNumbers(r.chunk.replays); got != "0" {
			t.Errorf("marked are %s", got)
		}
	})
}

func TestAnEndIsNotHeldUpByADatabaseThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		newLeased(r)
		r.startAndRest()
		r.chunk.refuseAll()
		r.listNow(0, 3)
		time.Sleep(time.Minute) // read, and not delivered
		r.store.hangs.Store(int64(10 * time.Second))
		r.ends()

		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()

		began := time.Now()
		err := r.in.Stop(ctx)

		if took := time.Since(began); err == nil || took > 2*time.Second {
			t.Errorf("it took %v: %v", took, err)
		}

		time.Sleep(time.Minute)
	})
}
