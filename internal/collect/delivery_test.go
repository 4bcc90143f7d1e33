package collect

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/tick"
)

// filled is an outbox with n events in one batch.
func filled(t *testing.T, n int) (*Outbox, *Lane) {
	t.Helper()
	o, l := NewOutbox(1<<20, func() {}), NewLane("", func(*batch) { t.Error("an event was set aside") })
	encoder := record.NewEncoder(record.Options{TenantID: "x", API: "siem"})
	for i := range n {
		id := record.MakeID("x", "siem", []byte(fmt.Sprint(i)), nil)
		event, err := encoder.Alert(nil, tick.FromTime(time.Now()), id, []byte(fmt.Sprintf(`{"FullId":"%d"}`, i)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Add(context.Background(), l, event, nil); err != nil {
			t.Fatal(err)
		}
	}
	return o, l
}

// more adds n batches of one event.
func more(t *testing.T, o *Outbox, l *Lane, n int) {
	t.Helper()
	for range n {
		o.mu.Lock()
		l.open = nil
		o.mu.Unlock()
		if _, err := o.Add(context.Background(), l, []byte{0x92, 0x00, 0x80}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADiskThatFillsIsNotTakenForFaultyAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, l := filled(t, 10)
		room := 600
		d := NewDelivery(o, Sure, time.Now)
		appendTo := func(_ string, events []byte) bool {
			if len(events) > room {
				return false
			}
			room -= len(events)
			return true
		}
		for range 40 {
			time.Sleep(time.Second)
			d.Tick(appendTo, time.Second)
		}
		room = 1 << 20
		time.Sleep(longestWait)
		d.Tick(appendTo, time.Second)
		if l.Taken() != 10 {
			t.Errorf("with room again %d of 10 were taken in", l.Taken())
		}
	})
}

func TestInThreadedModeATickAppendsSixtyFourTimesAtMost(t *testing.T) {
	for name, full := range map[string]bool{"ring with room": false, "full ring": true} {
		t.Run(name, func(t *testing.T) {
			o, l := filled(t, 500)
			more(t, o, l, 200)
			d := NewDelivery(o, BestEffort, time.Now)
			most := 0
			for range 40 {
				n := 0
				d.Tick(func(string, []byte) bool { n++; return !full }, time.Second)
				most = max(most, n)
			}
			if most > ringBudget || most == 0 {
				t.Errorf("%d appends in a tick", most)
			}
			if l.Taken() > 0 && full {
				t.Error("something counts as taken in although all was refused")
			}
		})
	}
}

func TestInThreadedModeABatchCountsASecondLaterAndNotAcrossAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, l := filled(t, 3)
		d := NewDelivery(o, BestEffort, time.Now)
		yes := func(string, []byte) bool { return true }
		d.Tick(yes, time.Second)
		time.Sleep(900 * time.Millisecond)
		d.Tick(yes, time.Second)
		if l.Taken() != 0 {
			t.Error("taken in after 0.9 s")
		}
		d.Pause()
		time.Sleep(time.Minute)
		d.Tick(yes, time.Second)
		d.Resume()
		d.Tick(yes, time.Second)
		if l.Taken() != 0 {
			t.Error("taken in across a pause")
		}
		time.Sleep(time.Second)
		d.Tick(yes, time.Second)
		if l.Taken() != 3 {
			t.Errorf("a second after the pause %d of 3 were taken in", l.Taken())
		}
	})
}

func TestSeveralRefusedAlertsInABatchHoldUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		begin, on := time.Now(), true
		r.api.add("0", begin, begin)
		r.api.add("1", begin, begin)
		for i := 2; i < 10; i++ {
			at := begin.Add(10 * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}
		r.chunk.refusing(&on, "0", "1")
		r.start()
		time.Sleep(12 * time.Hour)
		if n := len(r.chunk.counts()); n != 8 {
			t.Errorf("%d of the 8 others arrived", n)
		}
		r.change(func() { on = false })
		time.Sleep(time.Hour)
		r.stop()
		r.want(10, 1)
	})
}

func TestWhatIsOfferedAgainAndRefusedAgainComesInTheEndOnceAlsoWhenTheTenantIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8)
		begin, on := time.Now(), true
		for i := range 100 {
			at := begin.Add(time.Duration(i) * 2 * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}
		r.chunk.refusing(&on, "0")
		r.start()
		time.Sleep(2 * time.Hour)
		for range 3 {
			r.in.Retire(r.cfg.Key, nil)
			r.in.Add(r.tenant())
			time.Sleep(10 * time.Second)
		}
		time.Sleep(2 * time.Hour)
		r.change(func() { on = false })
		time.Sleep(5 * time.Hour)
		r.stop()
		r.want(100, 1)
		if n := r.asides(); n != 0 {
			t.Errorf("%d entries are still listed", n)
		}
	})
}

func TestATickStopsAtItsLimitAndSaysThatMoreIsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, l := filled(t, 10)
		more(t, o, l, 9)
		d := NewDelivery(o, Sure, time.Now)
		n := 0
		slow := func(string, []byte) bool { n++; time.Sleep(6 * time.Millisecond); return true }
		for _, want := range []struct {
			limit   time.Duration
			appends int
			more    bool
		}{{0, 1, true}, {20 * time.Millisecond, 4, true}, {time.Second, 5, false}, {time.Second, 0, false}} {
			n = 0
			if more := d.Tick(slow, want.limit); n != want.appends || more != want.more {
				t.Errorf("within %v: %d appends, more %t; want %d, %t", want.limit, n, more, want.appends, want.more)
			}
		}
	})
}

func TestInBestEffortWhatIsReturnedCountsInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, l := filled(t, 3)
		d := NewDelivery(o, BestEffort, time.Now)
		for range 5 {
			if d.Take() != nil {
				d.Taken()
			}
			time.Sleep(time.Second)
		}
		if l.Taken() != 3 || o.Bytes() != 0 {
			t.Errorf("%d of 3 count as taken in, %d bytes wait", l.Taken(), o.Bytes())
		}
	})
}
