package collect

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/tokens"
)

func TestHealthRecordsComeAtTheIntervalAndAtChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.HealthInterval = 10 * time.Minute
		begin := time.Now()
		r.api.fail = func(int) error {
			if d := time.Since(begin); d > 15*time.Minute && d < 18*time.Minute {
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
		time.Sleep(32 * time.Minute)
		r.stop()

		var states []string
		for _, line := range r.chunk.health {
			states = append(states, strings.Fields(line)[1])
		}
		// At 0 and 10 minutes, at the change to failing, at the change back, and 10
		// minutes after that.
		if got, want := strings.Join(states, " "), "ok ok failing ok ok"; got != want {
			t.Errorf("got %s; want %s\n%s", got, want, strings.Join(r.chunk.health, "\n"))
		}

		text := strings.Join(r.chunk.health, "\n")
		if !strings.Contains(text, "not authorised") || strings.Contains(text, "open the portal") {
			t.Errorf("the message is missing, or holds the remedy, which has a place of its own:\n%s", text)
		}
	})
}

func TestANewTenantIsNotBehindByItsLookback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.HealthInterval = time.Minute
		begin := time.Now()
		r.api.add("0", begin.Add(-20*time.Hour), begin)
		r.start()
		time.Sleep(10 * time.Minute)
		r.stop()

		for i, lag := range r.chunk.lags {
			if lag > 70 {
				t.Errorf("health record %d says that the tenant is %v s behind", i, lag)
			}
		}

		if len(r.chunk.lags) < 9 {
			t.Errorf("%d health records", len(r.chunk.lags))
		}
	})
}

func TestHealthRecordsSayWhenTheRelationshipEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.HealthInterval = time.Minute
		begin := time.Now()
		r.cfg.Relationship = func() Relationship {
			if time.Since(begin) < 30*time.Second { // before the first list
				return Relationship{}
			}

			return Relationship{Ends: time.Date(2027, 5, 1, 0, 0, 0, 0, time.UTC)}
		}
		r.start()
		time.Sleep(3 * time.Minute)
		r.stop()

		if n := len(r.chunk.ends); n < 3 || r.chunk.ends[0] != "" || r.chunk.ends[n-1] != "2027-05-01T00:00:00Z" {
			t.Errorf("the records have %q", r.chunk.ends)
		}
	})
}

func TestHealthRecordsComeWhileABacklogIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.HealthInterval = time.Minute

		begin := time.Now()
		for i := range 600 {
			r.api.add(fmt.Sprint(i), begin.Add(-time.Hour), begin)
		}

		r.api.fail = func(int) error { time.Sleep(time.Second); return nil } // ten minutes for the first poll
		r.start()
		time.Sleep(9 * time.Minute)
		r.ends()

		if n := len(r.chunk.health); n < 8 || strings.Contains(strings.Join(r.chunk.health, "\n"), "failing") {
			t.Errorf("%d health records in nine minutes:\n%s", n, strings.Join(r.chunk.health, "\n"))
		}

		r.kill()
	})
}

func TestARestartDoesNotForgetWhenAlertsLastCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.api.add("0", begin, begin)
		unit := r.start()
		time.Sleep(59*time.Minute + 30*time.Second)

		before := unit.snapshot()

		r.stop()
		r.api.fail = func(int) error { return &defender.Error{Fault: advice.Fault{Fate: advice.NeedsFix}, Status: 403} }

		time.Sleep(time.Hour)

		unit = r.start()
		time.Sleep(time.Minute)

		if s := unit.snapshot(); s.State != "failing" || s.LastSuccess.IsZero() ||
			!s.LastSuccess.Equal(before.LastSuccess) ||
			!s.LastAlert.Equal(before.LastAlert) ||
			s.Emitted != 0 {
			t.Errorf("before the restart %+v, after it %+v", before, s)
		}

		r.stop()
	})
}

func TestWhatAUnitDoesIsCountedAndADaySurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.api.add("0", begin.Add(-2*time.Minute), begin)

		var refused atomic.Bool

		r.api.fail = func(int) error {
			if !refused.Load() {
				return nil
			}

			return &defender.Error{Fault: advice.Fault{Reason: advice.RoleMissing, Fate: advice.NeedsFix}, Status: 403}
		}

		unit := r.start()
		if err := r.in.Ready(t.Context()); err == nil {
			t.Error("ready before a poll")
		}

		time.Sleep(10 * time.Minute)

		if err := r.in.Ready(t.Context()); err != nil {
			t.Errorf("not ready after a poll: %v", err)
		}

		refused.Store(true)
		time.Sleep(10 * time.Minute)

		u := r.in.Measure()[0]

		polls, delays := u.Polls.Count(), u.Delays.Count()
		if polls != u.Status.Polls || polls < 10 || delays != 1 || u.Delays.Sum < 119 || u.Delays.Sum > 300 {
			t.Errorf("%d polls, shown are %d; delay %v", polls, u.Status.Polls, u.Delays)
		}

		if u.Errors[advice.RoleMissing] != u.Status.Errors || u.Status.Errors == 0 {
			t.Errorf("errors %v, shown are %d", u.Errors, u.Status.Errors)
		}

		r.stop()

		r.start()
		time.Sleep(time.Minute)

		after := r.in.Measure()[0].Status
		if unit.snapshot().Hours.IsZero() || after.Hours != unit.snapshot().Hours {
			t.Errorf("the hours were %v and are %v after a restart", unit.snapshot().Hours, after.Hours)
		}

		r.stop()
	})
}

// The service's refusal names an OAuth error; what is remembered of a dead token is its
// code alone.
func TestADeadTokenIsOneCauseWhetherRefusedOrRemembered(t *testing.T) {
	refused := signInVerdict(signInRefused(advice.NeedsSignIn, 700082, "invalid_grant"))
	remembered := signInVerdict(signInRefused(advice.NeedsSignIn, 700082, ""))
	another := signInVerdict(signInRefused(advice.NeedsSignIn, 50173, ""))

	nameless := signInVerdict(signInRefused(advice.NeedsFix, 0, "invalid_client"))
	if refused.cause != remembered.cause || refused.cause == another.cause ||
		nameless.cause == signInVerdict(signInRefused(advice.NeedsFix, 0, "")).cause {
		t.Errorf("causes %q, %q, %q, %q", refused.cause, remembered.cause, another.cause, nameless.cause)
	}
}

func TestABacklogBeyondTheCallBudgetIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		calls := 0
		r.api.fail = func(int) error {
			if calls++; calls%20 != 0 {
				return &defender.Error{Fault: advice.Fault{RetryAfter: time.Minute}, Budget: true}
			}

			return nil
		}
		r.start()
		time.Sleep(35 * time.Minute)
		r.stop()

		logged := 0
		for _, line := range r.log.with("call budget") {
			if strings.HasPrefix(line, "INFO ") {
				logged++
			}
		}

		if logged != 2 {
			t.Errorf("logged %d times; want once before the poll that was read to its end, and once after:\n%s",
				logged, r.log.text())
		}
	})
}

// signInRefused is a sign-in that failed with a code and an OAuth error.
func signInRefused(fate advice.Fate, code int, oauth string) *tokens.Error {
	return &tokens.Error{
		Fault:   advice.Fault{Fate: fate},
		Code:    code,
		Refusal: tokens.Refusal{OAuth: oauth},
	}
}

func TestAUsedUpBudgetIsShownAndNotTheErrorBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		errs := []error{
			&defender.Error{Fault: advice.Fault{Problem: "503", Reason: advice.Unreachable}, Status: 503},
			&defender.Error{Fault: advice.Fault{RetryAfter: 10 * time.Minute, Reason: advice.Budget}, Budget: true},
		}
		r.api.fail = func(int) (err error) {
			if len(errs) > 0 {
				err, errs = errs[0], errs[1:]
			}

			return err
		}
		unit := r.start()
		time.Sleep(time.Minute)

		if s := unit.snapshot(); s.State != health.Failing || s.Reason != advice.Budget {
			t.Errorf("state %q, %+v", s.State, s.Trouble)
		}

		time.Sleep(time.Hour)

		if s := unit.snapshot(); s.State != health.OK || s.Reason != "" {
			t.Errorf("state %q, %+v", s.State, s.Trouble)
		}

		r.stop()
	})
}
