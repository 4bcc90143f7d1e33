package collect

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/tokens"
)

// While a database is paused, the sign-in of each tenant fails with the same fault.
func TestAStoreThatIsAwayIsLoggedOnceForAllTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tenants = 20

		r := newRig(t)

		var away atomic.Bool

		r.cfg.SignIn = func(context.Context) error {
			if !away.Load() {
				return nil
			}

			return &tokens.Error{Fault: advice.Fault{
				Reason:  advice.Store,
				Fate:    advice.TryAgain,
				Problem: "the token store cannot be used",
			}}
		}
		r.api.add("1", time.Now().Add(-time.Hour), time.Now())

		u := r.start()

		for i := 1; i < tenants; i++ {
			other := r.config()
			other.Key.TenantID = alert.TenantID(fmt.Sprintf("other%d.test", i))
			other.Name = fmt.Sprintf("other%d", i)
			r.in.Add(other)
		}

		time.Sleep(5 * time.Minute)

		before := len(r.log.important())

		for range 2 {
			away.Store(true)
			time.Sleep(5 * time.Minute)

			if s := u.snapshot(); s.Reason != advice.Store {
				t.Errorf("the status of one is %+v", s)
			}

			away.Store(false)
			time.Sleep(5 * time.Minute)
		}

		r.stop()

		got := r.log.important()[before:]
		if len(got) != 4 || !strings.Contains(got[0], "other tenants") || !strings.Contains(got[1], "works again") {
			t.Errorf("%d lines:\n%s", len(got), strings.Join(got, "\n"))
		}

		if s := u.snapshot(); s.Reason != "" {
			t.Errorf("afterwards the status of one is %+v", s)
		}
	})
}

func TestATenantsOwnFaultEndsInTheLogThoughTheStoreFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		var away atomic.Bool

		r.cfg.SignIn = func(context.Context) error {
			if !away.Load() {
				return nil
			}

			return &tokens.Error{Fault: advice.Fault{Reason: advice.Store, Fate: advice.TryAgain}}
		}

		for _, fault := range []*defender.Error{
			{Fault: advice.Fault{Problem: "down"}, Status: 503},
			{Fault: advice.Fault{Problem: "forbidden", Fate: advice.NeedsFix}, Status: 403},
		} {
			r.api.failing(fault)

			if r.in == nil {
				r.start()
			}

			time.Sleep(20 * time.Minute)
			away.Store(true)
			time.Sleep(20 * time.Minute)
			r.api.failing(nil)
			away.Store(false)
			time.Sleep(20 * time.Minute)
		}

		r.stop()
		r.wantLogged("the store works again", 2)
		r.wantLogged(" works again", 4) // the tenant's own lines, too
	})
}
