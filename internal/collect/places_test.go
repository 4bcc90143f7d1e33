package collect

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/tick"
)

func TestTenantsThatHangOrDripHoldUpNoOther(t *testing.T) {
	for _, n := range []int{8, 40} {
		t.Run(fmt.Sprintf("%d of each", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var slow []defender.Reader
				for range n {
					slow = append(slow, slowly(t, 0), slowly(t, 2*time.Second))
				}

				c := newCrowd(t, 8, slow...)
				c.run(t, func() {
					time.Sleep(30 * time.Second) // the slow ones have come in the meantime

					for i := range 60 {
						c.healthy.add(fmt.Sprint(i), time.Now(), time.Now())
						time.Sleep(20*time.Second + time.Duration(i%10)*time.Second)

						if len(c.chunk.counts()) != i+1 {
							t.Errorf("alert %d is not there after two intervals", i)
						}
					}
				})
			})
		})
	}
}

// TestASharedSignInIsAwaitedWithoutAPlace: five customers a second are through, and each
// of them is polled at once, not after all others had their two seconds with a place.
func TestASharedSignInIsAwaitedWithoutAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const customers = 200

		c := newCrowd(t, 20)
		one := make(chan struct{}, 1)

		for i := range customers {
			u := c.config(fmt.Sprintf("customer%03d", i), newAPI(1))
			u.HomeTenantID = "home"
			signedIn := false
			u.SignIn = func(ctx context.Context) error {
				if signedIn {
					return nil
				}

				one <- struct{}{}

				err := pause.For(ctx, 200*time.Millisecond)

				<-one

				signedIn = true

				return err
			}
			c.in.Add(u)
		}

		c.run(t, func() {
			for _, seconds := range []int{10, 20, 40} {
				time.Sleep(time.Duration(seconds)*time.Second - time.Since(c.began))

				polled := 0

				for _, s := range c.in.Statuses() {
					if !s.LastSuccess.IsZero() {
						polled++
					}
				}

				if want := seconds*5 - 20; polled < min(want, customers) {
					t.Errorf("%d customers are polled after %d s, want %d", polled, seconds, want)
				}
			}
		})
	})
}

func TestAPollThatTakesManyIntervalsIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 8, slowly(t, 0), slowly(t, 2*time.Second))
		c.run(t, func() {
			time.Sleep(30 * time.Second)

			for key, s := range c.in.Statuses() {
				if s.State == "failing" {
					t.Errorf("%s is failing after half a minute", key.TenantID)
				}
			}

			time.Sleep(time.Hour)

			for key, s := range c.in.Statuses() {
				if slow := key.TenantID != "healthy"; slow != (s.State == "failing") ||
					slow != strings.Contains(s.Message, "too slow") {
					t.Errorf("%s: state %q, reason %q", key.TenantID, s.State, s.Message)
				}
			}
		})

		if logged := c.log.important(); len(logged) != 2 {
			t.Errorf("want a line for each slow tenant, got\n%s", strings.Join(logged, "\n"))
		}
	})
}

func TestAPollThatWaitsForFluentBitIsNotTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.limit = 2000

		begin := time.Now()
		r.list(200, begin, 0)

		r.chunk.refuseAll()
		unit := r.start()
		time.Sleep(time.Hour)

		if s := unit.snapshot(); s.State == "failing" {
			t.Errorf("failing: %s", s.Message)
		}

		r.chunk.accept()
		time.Sleep(10 * time.Minute)
		r.stop()
		r.want(200, 1)
	})
}

func TestAPollThatCannotStartShowsWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1, slowly(t, 0), slowly(t, 0))
		c.in.places.away = 1 << 20 // as when too many wait without a place already
		c.run(t, func() {
			time.Sleep(2 * time.Minute)

			for key, s := range c.in.Statuses() {
				if s.State != "failing" {
					t.Errorf("%s: state %q", key.TenantID, s.State)
				}

				if key.TenantID == "healthy" && !strings.Contains(s.Message, "max_concurrency") {
					t.Errorf("reason %q", s.Message)
				}
			}
		})
	})
}

func TestASlowPollThatEndsIsLoggedAndNoLongerFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.HealthInterval = time.Hour
		r.cfg.Reader = slowly(t, time.Second, time.Now().Add(20*time.Minute))
		unit := r.start()
		time.Sleep(19 * time.Minute)

		r.wantState(unit, health.Failing, "")

		time.Sleep(10 * time.Minute)

		r.wantState(unit, health.OK, "")

		r.stop()

		r.wantLogged("too slow", 1)
		r.wantLogged("works again", 1)

		n := len(r.chunk.health)
		if n < 2 || !strings.Contains(r.chunk.health[0], "failing") ||
			strings.Contains(r.chunk.health[n-1], "failing") {
			t.Errorf("health records\n%s", strings.Join(r.chunk.health, "\n"))
		}
	})
}

// Half of the requests of a backlog of many pages fail: a back-off that knew only
// complete polls would grow to minutes.
func TestAPollThatMovedOnStartsTheBackOffAnew(t *testing.T) {
	const pages = 60

	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.SweepInterval = 0
		requests := 0
		r.cfg.Reader = readerFunc(func(ctx context.Context, w defender.Window, sink defender.Sink) error {
			from := w.Now - tick.FromDuration(r.cfg.Lookback)
			for page := range pages {
				at := from + tick.Tick(page+1)*tick.Minute
				if at <= w.From {
					continue
				}

				if requests++; requests%2 == 0 {
					return &defender.Error{Fault: advice.Fault{Problem: "answered 503 (server error)"}, Status: 503}
				}

				if err := sink.Safe(at); err != nil {
					return err
				}
			}

			return nil
		})
		begin := time.Now()

		unit := r.start()
		for unit.snapshot().LastSuccess.IsZero() {
			time.Sleep(time.Second)
		}

		if took := time.Since(begin); took > 90*time.Second {
			t.Errorf("the first complete poll took %v", took)
		}

		r.stop()
	})
}

func TestRowsThatAreRepeatedDoNotStartTheBackOffAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		begin := time.Now()
		r.list(10, begin, 0)

		r.api.fail = func(row int) error { // the answer always breaks off at its end
			if row == 10 {
				return &defender.Error{Fault: advice.Fault{Problem: "the answer broke off"}, Smaller: true}
			}

			return nil
		}
		r.start()
		time.Sleep(time.Hour)
		r.stop()

		if n := r.reads(); n > 40 {
			t.Errorf("%d requests in an hour to an API that always fails", n)
		}
	})
}

func TestLateAlertsAreOneLinePerPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Overlap = time.Minute
		r.start()
		time.Sleep(2*time.Hour + betweenTicks)

		const n = 60
		for i := range n { // in ascending order of lateness
			r.api.add(fmt.Sprint(i), time.Now().Add(-time.Duration(i)*time.Second-5*time.Minute), time.Now())
		}

		r.change(func() { r.api.rng = rand.New(inOrder{}) })
		time.Sleep(2 * time.Hour)
		r.stop()
		r.want(n, 1)

		r.wantLogged("after its update", 1)
	})
}

func TestDeferredWindowsAreTwoLinesPerPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Reader = &deferringReader{n: 20}
		unit := r.start()
		time.Sleep(time.Minute)

		if n := unit.snapshot().Deferred; n != 20 {
			t.Errorf("%d are shown as deferred", n)
		}

		r.wantLogged("ERROR ", 2)
		time.Sleep(time.Hour)
		r.stop()

		if read := r.log.important()[2:]; len(read) != 1 || !strings.HasPrefix(read[0], "INFO ") {
			t.Errorf("%d lines say that they have been read, want 1:\n%s", len(read), r.log.text())
		}
	})
}

func TestAlertsDeliveredAtLastAreFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 2000 {
			r.reject(time.Now(), fmt.Sprint(i))
		}

		r.start()
		time.Sleep(10 * time.Minute)
		r.stop()
		r.want(2000, 1)

		if n := r.log.count("that were deferred"); n == 0 || n > 3 {
			t.Errorf("%d lines", n)
		}
	})
}

func TestAStoreThatFailsIsLoggedEveryFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.store.unlisted = 40 // some 36 minutes
		r.start()
		time.Sleep(2 * time.Hour)
		r.stop()

		if n := r.log.count("ERROR "); n < 2 || n > 4 {
			t.Errorf("%d error lines", n)
		}
	})
}
