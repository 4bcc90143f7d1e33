package collect

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/tick"
)

func TestEveryAlertIsDeliveredOnceAlsoAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		begin := time.Now()
		for i := range 500 {
			at := begin.Add(-time.Duration(i%50) * 20 * time.Minute) // ties in tens
			r.api.add(fmt.Sprint(i), at, at)
		}

		r.start()
		time.Sleep(5 * time.Minute)
		r.want(500, 1)
		r.stop()
		r.start()
		time.Sleep(3 * time.Hour)
		r.want(500, 1)
		r.stop()
	})
}

func TestNothingOlderThanTheFloorIsEmittedWhateverIsListedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.cfg.Lookback = time.Hour
		r.api.add("0", begin.Add(-59*time.Minute), begin)
		r.api.add("too old", begin.Add(-61*time.Minute), begin)
		r.api.add("too old, listed later", begin.Add(-90*time.Minute), begin.Add(30*time.Minute))
		r.start()
		time.Sleep(2 * time.Hour)
		r.stop()
		r.want(1, 1)
	})
}

func TestLookbackIsNotAppliedAgainAfterADowntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Lookback = time.Hour
		r.start()
		time.Sleep(5 * time.Minute)
		r.stop()

		away := time.Now()
		for i := range 100 {
			at := away.Add(time.Duration(i) * 30 * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}

		time.Sleep(50 * time.Hour)
		r.start()
		time.Sleep(5 * time.Minute)
		r.want(100, 1)
		r.stop()
	})
}

func TestAlertsListedLateArriveByOverlapOrSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		n := 0

		for _, late := range []time.Duration{
			time.Minute, 9 * time.Minute, 30 * time.Minute, 6 * time.Hour, 23 * time.Hour,
		} {
			for i := range 20 {
				at := begin.Add(30*time.Hour + time.Duration(i)*13*time.Minute)
				r.api.add(fmt.Sprint(n), at, at.Add(late))
				n++
			}
		}

		r.start()
		time.Sleep(70 * time.Hour)
		r.stop()
		r.want(n, 1)
	})
}

func TestACutAnswerIsReadAgainWithoutRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rng := rand.New(rand.NewPCG(5, 5))

		begin := time.Now()
		for i := range 300 {
			r.api.add(fmt.Sprint(i), begin.Add(-time.Duration(i)*time.Minute), begin)
		}

		r.api.fail = func(int) error {
			if rng.IntN(100) == 0 {
				return &defender.Error{Fault: advice.Fault{Problem: "the answer broke off"}, Smaller: true}
			}

			return nil
		}
		r.start()
		time.Sleep(3 * time.Hour)
		r.stop()
		r.want(300, 1)
	})
}

func TestTheServersClockDecidesWhenItIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		const behind = 14 * time.Minute // more than overlap

		r.cfg.SweepInterval = 0
		r.dated(-behind)

		begin := time.Now()
		for i := range 100 { // updated now by the server's clock
			at := begin.Add(time.Duration(i) * time.Minute)
			r.api.add(fmt.Sprint(i), at.Add(-behind), at)
		}

		// Inside lookback in the server's time only.
		r.api.add("100", begin.Add(-behind-r.cfg.Lookback+time.Minute), begin)

		unit := r.start()
		time.Sleep(3 * time.Hour)

		if lag := unit.snapshot().LagSeconds; lag < behind.Seconds() {
			t.Errorf("lag %v s, though what is older than %v alone was read", lag, behind)
		}

		r.stop()
		r.want(101, 1)
	})
}

func TestTheAnswerThatLowersTheFloorIsEmittedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.rules.API = alert.Graph
		r.dated(-14 * time.Minute)
		dated, updated, reads := r.cfg.Reader, time.Now().Add(-time.Hour), 0
		r.cfg.Reader = readerFunc(func(ctx context.Context, w defender.Window, sink defender.Sink) error {
			if err := dated.Read(ctx, w, sink); err != nil {
				return err
			}

			r.change(func() {
				if reads++; reads == 1 { // the next answer has its second version
					r.api.alerts[0] = listed{id: "0", updated: tick.FromTime(updated.Add(time.Minute))}
				}
			})

			return nil
		})
		r.api.add("0", updated, updated)
		r.start()
		time.Sleep(time.Hour)
		r.stop()

		if n := len(r.chunk.ids); n != 2 {
			t.Errorf("%d of 2 versions that were listed were emitted", n)
		}
	})
}

func TestAnEmptyFirstAnswerLowersTheFloorToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Lookback = time.Second
		r.dated(-14 * time.Minute)

		begin := time.Now()
		at := begin.Add(2 * time.Minute)
		r.api.add("0", at.Add(-14*time.Minute), at)
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		r.want(1, 1)
	})
}

func TestADateOfAnotherAgeMovesNeitherFloorNorLag(t *testing.T) {
	for name, ahead := range map[string]time.Duration{
		"56 years behind":   -56 * 365 * 24 * time.Hour,
		"16 minutes behind": -16 * time.Minute,
		"16 minutes ahead":  16 * time.Minute,
		"a year ahead":      365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.dated(ahead)

				begin := time.Now()
				r.api.add("0", begin.Add(-r.cfg.Lookback+time.Minute), begin)
				r.api.add("too old", begin.Add(-r.cfg.Lookback-time.Minute), begin)
				r.api.add("of 1999", begin.AddDate(-1, 0, 0), begin)
				unit := r.start()
				time.Sleep(30 * time.Minute)

				if lag := unit.snapshot().LagSeconds; lag > 70 {
					t.Errorf("lag %v s", lag)
				}

				r.api.failing(&defender.Error{Status: 503})
				time.Sleep(30 * time.Minute)

				if lag := unit.snapshot().LagSeconds; lag < 1700 {
					t.Errorf("lag %v s after half an hour without a poll", lag)
				}

				r.stop()
				r.want(1, 1)
			})
		})
	}
}

func TestUpdatesOffEmitsTheFirstVersionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.rules.API, r.rules.Updates = alert.Graph, false
		r.api.add("0", begin, begin)
		r.api.add("0", begin.Add(time.Hour), begin.Add(time.Hour))

		for i := range r.api.alerts {
			r.api.alerts[i].created = tick.FromTime(begin)
		}

		r.start()
		time.Sleep(2 * time.Hour)
		r.stop()
		r.want(1, 1)
	})
}

func TestSeenEntriesFallOutBehindTheWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()

		n := setup.Size(400, 1000)
		r.list(n, begin, 10*time.Minute)

		r.start()
		time.Sleep(time.Duration(n) * 10 * time.Minute)

		var cp store.Checkpoint

		r.change(func() {
			cp = r.store.cps[r.cfg.Key]
			if n := len(r.store.seen[r.cfg.Key]); n > 200 {
				t.Errorf("%d entries stored for 144 alerts a day", n)
			}
		})

		if cp.Watermark < tick.FromTime(time.Now().Add(-2*time.Minute)) {
			t.Errorf("the watermark stands at %v", cp.Watermark)
		}

		r.stop()
		r.want(n, 1)
	})
}

func TestTheOverlapFollowsTheLatenessObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.api.add("0", begin, begin)
		late := begin.Add(10 * time.Hour)
		r.api.add("1", late.Add(-3*time.Hour), late)
		r.start()

		back := func() time.Duration { // how far the last poll that was no sweep reached back
			r.api.mu.Lock()
			defer r.api.mu.Unlock()

			shortest := 100 * time.Hour
			for _, w := range r.api.reads[max(0, len(r.api.reads)-10):] {
				shortest = min(shortest, (w.Now - w.From).Duration())
			}

			return shortest
		}

		time.Sleep(9 * time.Hour)

		if b := back(); b > 15*time.Minute {
			t.Errorf("before: polls reach back %v", b)
		}

		time.Sleep(3 * time.Hour)

		if b := back(); b < 3*time.Hour || b > 5*time.Hour {
			t.Errorf("after a late alert polls reach back %v", b)
		}

		time.Sleep(60 * time.Hour)

		if b := back(); b > 15*time.Minute {
			t.Errorf("days later polls reach back %v", b)
		}

		r.stop()
		r.want(2, 1)
	})
}

func TestTheOverlapAloneFindsAlertsListedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.SweepInterval = 0

		begin := time.Now()
		for i := range 20 {
			at := begin.Add(time.Duration(30+7*i) * time.Minute)
			r.api.add(fmt.Sprint(i), at, at.Add(9*time.Minute))
		}

		r.start()
		time.Sleep(6 * time.Hour)
		r.stop()
		r.want(20, 1)
	})
}

func TestNothingFallsBetweenTwoSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		begin := time.Now()
		for i := range 24 {
			at := begin.Add(30*time.Hour + time.Duration(i)*7*time.Minute)
			r.api.add(fmt.Sprint(i), at, at.Add(23*time.Hour+58*time.Minute))
		}

		r.start()
		time.Sleep(70 * time.Hour)
		r.stop()
		r.want(24, 1)
	})
}

func TestWithUpdatesOffALateDetectionIsEmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.rules.Updates = false
		begin := time.Now()
		at := begin.Add(time.Hour)
		r.api.add("0", at, at)
		r.api.alerts[0].text = []byte(fmt.Sprintf(`{"FullId":"0","LastProcessedTimeUtc":%q,"AlertTime":%q}`,
			tick.FromTime(at).Text(), tick.FromTime(begin.Add(-30*time.Hour)).Text()))
		r.start()
		time.Sleep(5 * time.Hour)
		r.stop()
		r.want(1, 1)
	})
}

func TestAnAlertWithTheYear1IsEmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.api.add("0", begin, begin)
		r.api.alerts[0].text = []byte(`{"FullId":"0","LastProcessedTimeUtc":"0001-01-01T00:00:00Z"}`)
		r.start()
		time.Sleep(3 * time.Hour)
		r.stop()
		r.want(1, 1)
	})
}
