package collect

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/tick"
)

func TestAPanicIsReportedOnceAndTheTenantGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.api.add("0", begin, begin)
		r.api.add("1", begin.Add(10*time.Minute), begin.Add(10*time.Minute))

		first := true
		r.api.fail = func(int) error {
			if first {
				first = false

				panic("planted")
			}

			return nil
		}
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		r.want(2, 1)

		r.wantLogged("planted", 1)
	})
}

func TestFailuresAreLoggedAtTheChangeAndThenEveryFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.api.fail = func(int) error {
			if time.Since(begin) < 31*time.Minute {
				return &defender.Error{
					Fault: advice.Fault{
						Fate:    advice.NeedsFix,
						Problem: "not authorised",
						Remedy:  "open the portal",
					},
					Status: 403,
				}
			}

			return nil
		}
		r.start()
		time.Sleep(time.Hour)
		r.stop()

		lines := r.log.with("ERROR ", "works again")
		if len(lines) != 4 || !strings.Contains(lines[0], "open the portal") ||
			!strings.Contains(lines[3], "works again") {
			t.Errorf("want the fault, two reminders and the end; got:\n%s", strings.Join(lines, "\n"))
		}
	})
}

func TestAFixedCauseIsNoticedWithinAMinute(t *testing.T) {
	for name, fault := range map[string]*defender.Error{
		"a person had to act": {Fault: advice.Fault{Fate: advice.NeedsFix}, Status: 403},
		"unreachable":         {Unreachable: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				begin := time.Now()
				broken := true

				r.api.add("0", begin, begin)
				r.api.fail = func(int) error {
					if broken {
						return fault
					}

					return nil
				}
				unit := r.start()
				time.Sleep(2*time.Hour + 7*time.Second)
				r.change(func() { broken = false })
				time.Sleep(time.Minute)

				r.wantState(unit, health.OK, "")

				r.stop()
			})
		})
	}
}

func TestNoCallIsMadeBeforeRetryAfterHasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Limiter = defender.NewLimiter(time.Now)

		var calls []time.Time

		wait := 7 * time.Minute
		r.api.fail = func(int) error {
			calls = append(calls, time.Now())
			if len(calls) == 1 {
				r.cfg.Limiter.Hold(time.Now().Add(wait))
				return &defender.Error{Fault: advice.Fault{RetryAfter: wait}, Status: 429}
			}

			return nil
		}
		r.start()
		time.Sleep(20 * time.Minute)
		r.stop()

		if len(calls) < 2 || calls[1].Sub(calls[0]) < wait || calls[1].Sub(calls[0]) > wait+2*time.Second {
			t.Errorf("calls at %v; want the second %v after the first", calls, wait)
		}
	})
}

func TestARowThatIsNotJSONGoesOutRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		var events []byte

		r.cfg.Reader = readerFunc(func(ctx context.Context, w defender.Window, sink defender.Sink) error {
			return sink.Row([]byte(`{"FullId":"x","LastProcessedTimeUtc":"` + w.Now.Text() + `","bad":tru}`))
		})
		r.start()
		r.ends()
		time.Sleep(3 * time.Second)
		r.in.Delivery.Tick(func(_ string, e []byte) bool { events = append(events, e...); return true }, time.Second)

		_, text, err := record.Decode(events)
		if err != nil || !strings.Contains(string(text), `"kind":"raw"`) ||
			!strings.Contains(string(text), `"bad\":tru`) {
			t.Errorf("got %s, %v", text, err)
		}

		r.kill()
	})
}

func TestATenantThatPanicsAtEveryPollShowsAsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.cfg.SignIn = func(context.Context) error {
			if d := time.Since(begin); d > 10*time.Minute && d < time.Hour {
				panic("planted")
			}

			return nil
		}
		unit := r.start()
		time.Sleep(30 * time.Minute)

		if s := unit.snapshot(); s.State != "failing" || s.Message == "" {
			t.Errorf("state %q, reason %q", s.State, s.Message)
		}

		time.Sleep(time.Hour)

		r.wantState(unit, health.OK, "")

		r.stop()
	})
}

func TestAlertsOfAnotherTenantShowAsFailingAndAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Key.TenantID = "99999999-8888-7777-6666-555555555555"
		r.cfg.Key.API, r.rules.API = "graph", alert.Graph
		begin := time.Now()
		r.cfg.Reader = readerFunc(func(ctx context.Context, w defender.Window, sink defender.Sink) error {
			if time.Since(begin) > 10*time.Minute {
				return nil
			}

			return sink.Row(fmt.Appendf(nil, `{"id":"x","lastUpdateDateTime":%q,"tenantId":%q}`,
				tick.FromTime(begin).Text(), "11111111-8888-7777-6666-555555555555"))
		})
		unit := r.start()
		for range 9 {
			time.Sleep(time.Minute)

			r.wantState(unit, health.Failing, "11111111-8888")
		}

		time.Sleep(5 * time.Minute)

		r.wantState(unit, health.OK, "")

		r.stop()

		r.wantLogged("alerts of another tenant", 1)
	})
}

// TestATenantThatCannotBeRememberedFailsAndGoesOn: nothing new is emitted while the
// seen-set is full, the status says why, and everything comes once there is room.
func TestATenantThatCannotBeRememberedFailsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.seen = &progress.Budget{PerUnit: 100, Always: 5, Total: 10}

		begin := time.Now()
		r.list(5, begin, 0)

		unit := r.start()
		time.Sleep(2 * time.Minute)
		r.want(5, 1)

		others := progress.New(progress.Reach{}, r.seen)
		for i := range 5 {
			others.Emitted(0, [16]byte{byte(i)}, 0)
		}

		r.api.add("5", time.Now(), time.Now())
		time.Sleep(3 * time.Minute)
		r.want(5, 1)

		status := unit.snapshot()
		if status.State != "failing" || !strings.Contains(status.Remedy, "sweep_lookback") {
			t.Errorf("%s: %s; %s", status.State, status.Message, status.Remedy)
		}

		others.End()
		time.Sleep(5 * time.Minute)
		r.want(6, 1)
		r.stop()
	})
}
