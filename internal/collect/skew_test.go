package collect

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/defender"
)

// wrongClock gives the next process a clock that is ahead of the true one by this much,
// which the API's host and the database of all nodes show.
func (r *rig) wrongClock(by time.Duration) {
	skew := &Skew{Witness: func() time.Duration { return -by }}
	r.clock, r.cfg.Skew = by, skew
	r.cfg.Reader = readerFunc(func(ctx context.Context, w defender.Window, sink defender.Sink) error {
		now := time.Now()
		skew.Note(now.Truncate(time.Second), now.Add(by))

		return r.api.Read(ctx, w, sink)
	})
}

// The unit goes from node to node, each of which has another clock.
func TestWrongClocksOfNodesHoldNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.SweepInterval = 0 // nothing makes up for what a poll has missed
		newLeased(r)

		// Inside lookback by the true time only.
		r.api.add("0", time.Now().Add(time.Minute-r.cfg.Lookback), time.Now())

		listed := 1

		for _, by := range []time.Duration{time.Hour, 0, -time.Hour, time.Hour, -time.Hour, 0} {
			r.wrongClock(by)
			unit := r.start()

			for range 30 {
				r.listNow(listed, listed)
				listed++

				time.Sleep(time.Minute)
			}

			time.Sleep(2 * r.cfg.PollInterval)
			r.want(listed, 1)

			if lag := unit.snapshot().LagSeconds; lag > (2 * r.cfg.PollInterval).Seconds() {
				t.Errorf("with a clock that is %v ahead the lag is %v s", by, lag)
			}

			r.stop()
		}
	})
}

func TestAClockIsBelievedIfTheDatabaseAgrees(t *testing.T) {
	for _, test := range []struct {
		server, database time.Duration // ahead of ours
		want             time.Duration
	}{
		{14 * time.Minute, 0, 14 * time.Minute},
		{time.Hour, 0, 0},
		{time.Hour, time.Hour, time.Hour},
		{time.Hour, 50 * time.Minute, time.Hour},
		{-time.Hour, -50 * time.Minute, -time.Hour},
		{time.Hour, -time.Hour, 0},
		{-14 * time.Minute, time.Hour, -14 * time.Minute},
	} {
		t.Run(fmt.Sprint(test.server, test.database), func(t *testing.T) {
			s := &Skew{Witness: func() time.Duration { return test.database }}
			now := time.Now()
			s.Note(now.Add(test.server), now)

			if got := s.ahead(); got != test.want {
				t.Errorf("ahead by %v, want %v", got, test.want)
			}
		})
	}
}
