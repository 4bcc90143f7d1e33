package endtoend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// complete waits until everything that the APIs list has arrived.
func (r *rig) complete(limit time.Duration, customers []simulator.Tenant, api string) {
	r.t.Helper()
	r.until("everything that "+api+" lists has arrived", limit, func() bool {
		of := r.allArrived(api)

		return !slices.ContainsFunc(customers, func(c simulator.Tenant) bool {
			return len(r.missing(of(c.ID), c.ID, api)) > 0
		})
	})
}

// missing lists the latest versions that are not among the alerts that have arrived.
func (r *rig) missing(got alerts, tenantID, api string) (keys []string) {
	for _, key := range r.sim.Ledger(tenantID, api).Latest {
		if got.count[recordID(tenantID, api, key)] == 0 {
			keys = append(keys, key)
		}
	}

	return keys
}

// accounts sums up over all customers, and fails the test for anything lost or bent.
func (r *rig) accounts(customers []simulator.Tenant, api string) (arrived, repeated int) {
	r.t.Helper()

	of := r.allArrived(api)
	for _, c := range customers {
		l, rep, b, a := r.compared(of(c.ID), c.ID, api)
		if l > 0 || b > 0 {
			r.t.Errorf("%s: lost %d, bent %d of %d", c.Name, l, b, a)
		}

		arrived, repeated = arrived+a, repeated+rep
	}

	return arrived, repeated
}

func TestSIGKILLAtRandomMomentsLosesNothing(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		rng := rand.New(rand.NewPCG(1, 2))
		customers := tenants(2, setup.Size(600, 6000))
		r.simulate(simulator.Config{Tenants: customers, Faults: "drip:rate=1500000"})
		sections := []flbhost.Instance{r.section(customers[0], "siem"), r.section(customers[1], "siem")}

		kills := setup.Size(4, 20)
		for range kills {
			r.mustStart(sections...)
			time.Sleep(time.Duration(rng.Int64N(int64(4 * time.Second))))

			if _, err := r.host.Kill(); err != nil {
				t.Fatal(err)
			}
		}

		r.mustStart(sections...)
		r.complete(3*time.Minute, customers, "siem")
		time.Sleep(3 * time.Second)
		r.stop()
		arrived, repeated := r.accounts(customers, "siem")
		t.Logf("%d kills, %d detections: lost 0, repeated %d", kills, arrived, repeated)
	})
}

func TestSIGTERMAndSIGHUPWhileIdleAndWhileReadingLoseNothing(t *testing.T) {
	t.Parallel()

	for name, end := range map[string]func(*rig, []flbhost.Instance){
		"SIGTERM": func(r *rig, s []flbhost.Instance) { r.stop(); r.mustStart(s...) },
		"SIGHUP": func(r *rig, s []flbhost.Instance) {
			ctx, cancel := context.WithTimeout(context.Background(), setup.LongWait)
			defer cancel()

			if err := r.host.Reload(ctx, s); err != nil {
				r.t.Fatalf("reload: %v\n%s", err, r.logText())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachHost(t, func(t *testing.T, r *rig) {
				customers := tenants(2, setup.Size(400, 6000))
				r.simulate(simulator.Config{Tenants: customers, Faults: "drip:rate=1500000"})
				sections := []flbhost.Instance{r.section(customers[0], "siem"), r.section(customers[1], "siem")}
				r.mustStart(sections...)

				for range setup.Size(3, 20) {
					time.Sleep(time.Duration(500+rand.IntN(1500)) * time.Millisecond)
					end(r, sections)
				}

				r.complete(3*time.Minute, customers, "siem")
				time.Sleep(2 * time.Second)

				_, reading := r.accounts(customers, "siem")
				for range setup.Size(3, 20) {
					end(r, sections)
					time.Sleep(1500 * time.Millisecond)
				}

				r.stop()
				arrived, idle := r.accounts(customers, "siem")
				t.Logf("%d detections: lost 0, repeated %d while reading, %d while idle",
					arrived, reading, idle-reading)

				if idle > reading {
					t.Errorf("%d repeated while idle", idle-reading)
				}
			})
		})
	}
}

func TestAnInputPausedByItsBufferAndResumedLosesNothing(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(2, setup.Size(500, 2000))
		r.simulate(simulator.Config{Tenants: customers})
		paused := r.section(customers[0], "siem")
		paused.MemBufLimit = 100_000
		r.mustStart(paused, r.section(customers[1], "siem"))
		r.host.Outputs(false)
		time.Sleep(time.Duration(setup.Size(8, 60)) * time.Second)
		r.host.Outputs(true)
		r.complete(2*time.Minute, customers, "siem")
		time.Sleep(2 * time.Second)
		r.stop()

		if _, repeated := r.accounts(customers, "siem"); repeated > 0 {
			t.Errorf("%d repeated", repeated)
		}
	})
}

func TestAChainOfStrictlyRotatedTokensIsNeverLostToSIGKILL(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(1, 10)
		r.simulate(simulator.Config{Tenants: customers, Rotation: simulator.Strict, TokenLife: 3 * time.Second})
		sections := []flbhost.Instance{r.section(customers[0], "siem")}
		rng := rand.New(rand.NewPCG(5, 6))

		for range setup.Size(5, 20) {
			r.mustStart(sections...)
			before := r.sim.Requests().Redeemed
			r.until("a redemption", time.Minute, func() bool { return r.sim.Requests().Redeemed > before })
			time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second))))

			if _, err := r.host.Kill(); err != nil {
				t.Fatal(err)
			}
		}

		r.mustStart(sections...)
		before := r.sim.Requests().Status["siem 200"]
		r.until(
			"a poll after the kills",
			time.Minute,
			func() bool { return r.sim.Requests().Status["siem 200"] > before },
		)
		r.stop()
		s := r.sim.Requests()
		t.Logf("%d redemptions, %d refused", s.Redeemed, s.RefusedRedemptions)
	})
}

func TestARevokedTokenAsksForASignInWithinOnePoll(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(1, 10)
		r.simulate(simulator.Config{Tenants: customers, TokenLife: 2 * time.Second})
		r.mustStart(r.section(customers[0], "siem"))
		r.complete(20*time.Second, customers, "siem")
		r.sim.RevokeRefreshTokens(customers[0].ID, 50173)
		r.until("a line that asks for a new sign-in", 15*time.Second, func() bool {
			return strings.Contains(strings.Join(r.troubles(customers[0].Name), "\n"), "AADSTS50173")
		})
		before := r.sim.Requests()

		time.Sleep(4 * time.Second)

		if after := r.sim.Requests(); after.RefusedRedemptions > before.RefusedRedemptions {
			t.Errorf("the dead token was sent again, %d times", after.RefusedRedemptions-before.RefusedRedemptions)
		}

		r.stop()
	})
}

func TestAFullDiskUnderDataDirStopsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}

	eachHost(t, func(t *testing.T, r *rig) {
		if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
			t.Skipf("no mounts in this sandbox: %s", out)
		}

		r.data = t.TempDir()
		if err := syscall.Mount("tmpfs", r.data, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
			t.Skipf("no mounts in this sandbox: %v", err)
		}

		t.Cleanup(func() { syscall.Unmount(r.data, syscall.MNT_DETACH) })

		customers := tenants(1, 100)
		r.simulate(simulator.Config{Tenants: customers})
		r.mustStart(r.section(customers[0], "siem"))
		r.complete(20*time.Second, customers, "siem")

		fill := filepath.Join(r.data, "fill")
		for n := 1 << 20; n > 0; n /= 2 {
			f, err := os.OpenFile(fill, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}

			for _, err = f.Write(make([]byte, n)); err == nil; _, err = f.Write(make([]byte, n)) {
			}

			f.Close()
		}

		for i := range setup.Size(4, 20) {
			r.sim.Generate(customers[0].ID, 20, simulator.GenerateOptions{
				Name:  fmt.Sprint(i),
				Since: time.Now().Add(-time.Second),
				Until: time.Now(),
			})
			time.Sleep(3 * time.Second)
		}

		r.complete(20*time.Second, customers, "siem")
		lines := r.troubles(customers[0].Name)
		general := 0

		for _, l := range r.host.Logs() {
			if !l.Core && l.Level == flbhost.LevelError {
				general++
			}
		}

		if general != 1 {
			t.Errorf("%d error lines; want one: %v\n%s", general, lines, r.logText())
		}

		if err := os.Remove(fill); err != nil {
			t.Fatal(err)
		}

		time.Sleep(5 * time.Second)
		r.stop()
		r.mustStart(r.section(customers[0], "siem"))
		before := r.sim.Requests().Count["siem"]
		r.until(
			"polls after the restart",
			time.Minute,
			func() bool { return r.sim.Requests().Count["siem"] > before+2 },
		)
		r.stop()

		if _, repeated := r.accounts(customers, "siem"); repeated > 0 {
			t.Errorf("%d repeated", repeated)
		}
	})
}
