package collect

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

func TestSuccessIsLoggedOnceForATenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Account = func(context.Context) string { return "soc@contoso.test" }

		begin := time.Now()
		for i := range 34 {
			r.api.add(fmt.Sprint(i), begin.Add(-time.Hour), begin)
		}

		r.start()
		time.Sleep(time.Hour)
		r.stop()

		r.wantLogged("INFO contoso: signed in as soc@contoso.test, first poll: 34 alerts", 1)
	})
}

func TestAFirstPollOfOneAlertIsOneAlert(t *testing.T) {
	var log lines

	g := firstPolls{log: slog.New(&log), now: time.Now}
	g.polled(t.Context(), &Unit{log: slog.New(&log)}, 1)

	if all := log.all(); len(all) != 1 || !strings.HasSuffix(all[0], "first poll: 1 alert") {
		t.Errorf("%q", all)
	}
}

func TestAThousandFirstPollsAreAFewLines(t *testing.T) {
	var log lines

	now := time.Now()
	g := firstPolls{log: slog.New(&log), now: func() time.Time { return now }}
	u := &Unit{log: slog.New(&log)}

	for i := range 1000 {
		g.polled(t.Context(), u, 3)

		if i%100 == 99 {
			now = now.Add(time.Second)

			g.report()
		}
	}

	now = now.Add(sharedLinePause)

	g.report()

	all := log.all()
	if len(all) > mostOwnLines+3 {
		t.Errorf("%d lines", len(all))
	}

	told := 0
	alerts := 0

	for _, line := range all[mostOwnLines:] {
		var n, a int
		_, err := fmt.Sscanf(line, "INFO %d more tenants have signed in and were polled for the first time: %d",
			&n, &a)
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}

		told += n
		alerts += a
	}

	if told != 1000-mostOwnLines || alerts != 3*told {
		t.Errorf("%d tenants with %d alerts told:\n%s", told, alerts, strings.Join(all, "\n"))
	}
}

func TestAStatusRemembersWhatChangedInADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		var down atomic.Bool

		r.api.fail = func(int) error {
			if !down.Load() {
				return nil
			}

			return &defender.Error{Fault: advice.Fault{
				Reason:  advice.RoleMissing,
				Fate:    advice.NeedsFix,
				Problem: "not authorised",
				Trace:   []string{"trace id 4711"},
			}, Status: 403}
		}

		u := r.start()

		time.Sleep(time.Hour)

		down.Store(true)

		time.Sleep(time.Hour)

		down.Store(false)

		time.Sleep(time.Hour)
		r.stop()

		saved, _, err := r.store.Status(t.Context(), u.cfg.Key)
		if err != nil {
			t.Fatal(err)
		}

		wantHistory(t, saved, "starting, ok, failing role_missing, ok, stopped")

		if trace := saved.History[2].Trace; trace != "trace id 4711" {
			t.Errorf("trace %q", trace)
		}

		// A restart goes on with it, and forgets it after a day.
		u = r.start()

		time.Sleep(time.Minute)

		if n := len(u.snapshot().History); n != 7 {
			t.Errorf("%d changes after a restart", n)
		}

		time.Sleep(30 * time.Hour)
		r.stop()

		if h := u.snapshot().History; len(h) > 2 {
			t.Errorf("after a day %+v", h)
		}
	})
}

// wantHistory fails the test unless a status went through these states, each with its
// reason.
func wantHistory(t *testing.T, s store.Status, want string) {
	t.Helper()

	var states []string
	for _, c := range s.History {
		states = append(states, strings.TrimSpace(fmt.Sprintf("%s %s", c.State, c.Reason)))
	}

	if got := strings.Join(states, ", "); got != want {
		t.Errorf("history %s\nwant %s", got, want)
	}
}

func TestAHistoryIsBounded(t *testing.T) {
	s := store.Status{State: health.OK}
	now := time.Now()

	for i := range 1000 {
		s.Message = strings.Repeat("ü", 1000)
		s.Reason = advice.Reasons()[i%3]
		s.Note(now.Add(time.Duration(i) * time.Second))
	}

	if len(s.History) > 16 || len(s.History[0].Message) > 300 {
		t.Errorf("%d changes, %d bytes", len(s.History), len(s.History[0].Message))
	}
}

func TestAStoreThatCannotBeWrittenIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		u := r.start()

		time.Sleep(time.Minute)
		r.change(func() { r.store.full = true })
		time.Sleep(time.Minute)

		if s := u.snapshot(); s.State != health.Failing || s.Reason != advice.Store || s.Remedy == "" {
			t.Errorf("%+v", s)
		}

		r.change(func() { r.store.full = false })
		time.Sleep(time.Minute)

		s := u.snapshot()
		if s.State != health.OK || s.Reason != "" {
			t.Errorf("when it works again: %+v", s)
		}

		wantHistory(t, s, "starting, ok, failing store, ok")

		r.stop()
	})
}

func TestANoticeIsShownWithEveryUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		u := r.start()

		time.Sleep(time.Minute)
		r.in.SetNotice(&health.Trouble{Reason: advice.CredentialWrong, Message: "refused"})

		if s := u.snapshot(); s.State != health.OK || s.Notice == nil || s.Notice.Message != "refused" {
			t.Errorf("%+v", s)
		}

		r.in.SetNotice(nil)

		if s := u.snapshot(); s.Notice != nil {
			t.Errorf("%+v", s)
		}

		r.stop()
	})
}
