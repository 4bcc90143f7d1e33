package endtoend

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// troubles counts the plugin's lines of level warn and error about a tenant.
func (r *rig) troubles(tenant string) (lines []string) {
	for _, l := range r.host.Logs() {
		if !l.Core && l.Level >= flbhost.LevelError && l.Level <= flbhost.LevelWarn &&
			strings.Contains(l.Text, "[input:defender:"+tenant+"]") {
			lines = append(lines, l.Text)
		}
	}

	return lines
}

func TestAFailingTenantSaysWhyOnceAndRecoversByItself(t *testing.T) {
	t.Parallel()

	closable := func(t *testing.T, r *rig) (address string, open func()) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}

		at := l.Addr().String()
		l.Close()

		return "http://" + at, func() { forward(t, at, strings.TrimPrefix(r.sim.APIURL("siem"), "http://")) }
	}
	for name, c := range map[string]struct {
		spoil func(*testing.T, *rig, simulator.Tenant) (fix func(), keys []string)
		says  []string
	}{
		"wrong client secret": {func(_ *testing.T, r *rig, c simulator.Tenant) (func(), []string) {
			r.sim.SetApp(c.ID, c.Apps[0].ClientID, func(a *simulator.App) { a.Secret = "another" })

			return func() {
				r.sim.SetApp(c.ID, c.Apps[0].ClientID, func(a *simulator.App) { a.Secret = c.Apps[0].Secret })
			}, nil
		}, []string{"AADSTS7000215", "client_secret"}},
		"unknown tenant": {func(_ *testing.T, r *rig, c simulator.Tenant) (func(), []string) {
			r.sim.SetTenantGone(c.ID, true)
			return func() { r.sim.SetTenantGone(c.ID, false) }, nil
		}, []string{"AADSTS90002", "tenant_id"}},
		"application not authorised": {func(_ *testing.T, r *rig, c simulator.Tenant) (func(), []string) {
			r.sim.SetMSSPAuthorised(c.ID, false)
			return func() { r.sim.SetMSSPAuthorised(c.ID, true) }, nil
		}, []string{"HTTP 403", "MSSP", "https://security.microsoft.com?tid="}},
		"unreachable host": {func(t *testing.T, r *rig, c simulator.Tenant) (func(), []string) {
			address, open := closable(t, r)
			return open, []string{"api_url", address}
		}, []string{"cannot be reached", "api_url"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachHost(t, func(t *testing.T, r *rig) {
				customers := tenants(2, 20)
				r.simulate(simulator.Config{Tenants: customers})
				bad, good := customers[0], customers[1]
				fix, keys := c.spoil(t, r, bad)
				r.mustStart(r.section(bad, "siem", keys...), r.section(good, "siem"))
				r.until("a line that says why", time.Minute, func() bool { return len(r.troubles(bad.Name)) > 0 })
				r.until("the other tenant's alerts", time.Minute, func() bool {
					return len(r.arrived(good.ID, "siem").count) == len(r.sim.Ledger(good.ID, "siem").Exists)
				})
				time.Sleep(5 * time.Second)

				lines := r.troubles(bad.Name)
				if len(lines) != 1 {
					t.Errorf("%d lines; want one:\n%s", len(lines), strings.Join(lines, "\n"))
				}

				for _, want := range c.says {
					if !strings.Contains(lines[0], want) {
						t.Errorf("the line does not say %q: %s", want, lines[0])
					}
				}

				if n := len(r.troubles(good.Name)); n != 0 {
					t.Errorf("the other tenant has trouble: %v", r.troubles(good.Name))
				}

				fix()
				r.until("recovery", time.Minute, func() bool {
					return len(r.arrived(bad.ID, "siem").count) == len(r.sim.Ledger(bad.ID, "siem").Exists)
				})
				r.stop()
				noSecrets(t, r)
			})
		})
	}
}

func TestAMissingOrWrongKeyIsRefusedAtTheStartWithItsName(t *testing.T) {
	t.Parallel()

	for key, value := range map[string]string{
		"tenant_id":     "",
		"client_id":     "",
		"region":        "mars",
		"grant":         "both",
		"poll_interval": "soon",
		"lookback":      "-1",
	} {
		t.Run(key, func(t *testing.T) {
			eachHost(t, func(t *testing.T, r *rig) {
				customers := tenants(1, 1)
				r.simulate(simulator.Config{Tenants: customers})
				err := r.start(r.section(customers[0], "siem", key, value))

				var refused *flbhost.InitError
				if !errors.As(err, &refused) {
					t.Fatalf("start gave %v; want a refusal", err)
				}

				for _, l := range r.host.Logs() {
					if l.Level == flbhost.LevelError && strings.HasPrefix(l.Text, "[input:defender] "+key) {
						return
					}
				}

				t.Errorf("no line begins with %s:\n%s", key, r.logText())
			})
		})
	}
}

func TestThreadedModeIsRefusedWithTheLineToAdd(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(1, 5)
		r.simulate(simulator.Config{Tenants: customers})
		section := r.section(customers[0], "siem")

		section.Threaded = true
		if err := r.start(section); err == nil || !strings.Contains(r.logText(), "Threaded Off") {
			t.Fatalf("start gave %v:\n%s", err, r.logText())
		}

		allowed := r.section(customers[0], "siem", "allow_threaded", "on")
		allowed.Threaded = true
		r.mustStart(allowed)
		r.until("alerts, best effort", time.Minute, func() bool {
			return len(r.arrived(customers[0].ID, "siem").count) == len(r.sim.Ledger(customers[0].ID, "siem").Exists)
		})

		if !strings.Contains(r.logText(), "best effort") {
			t.Error("the log does not say that it is best effort")
		}

		r.stop()
	})
}

func TestTwoInputsForTheSameUnitAreRefusedWithBothMends(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(1, 1)
		r.simulate(simulator.Config{Tenants: customers})

		err := r.start(r.section(customers[0], "siem"), r.section(customers[0], "siem"))
		if text := r.logText(); err == nil || !strings.Contains(text, "state_id") ||
			!strings.Contains(text, "json+cef") {
			t.Fatalf("start gave %v:\n%s", err, text)
		}
	})
}

// forward passes connections on to target.
func forward(t *testing.T, address, target string) {
	t.Helper()

	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { l.Close() })

	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}

			to, err := net.Dial("tcp", target)
			if err != nil {
				from.Close()
				continue
			}

			var once sync.Once

			end := func() { once.Do(func() { from.Close(); to.Close() }) }
			go func() { defer end(); io.Copy(to, from) }()
			go func() { defer end(); io.Copy(from, to) }()
		}
	}()
}

func TestTheCollectCallbackNeverWaitsWhileTheAPIHangs(t *testing.T) {
	r := newRig(t, nil)
	customers := tenants(3, 50)
	r.simulate(simulator.Config{Tenants: customers, Faults: "stall:at=0.5"})

	host, err := flbhost.Start(t.Context(), flbhost.Config{
		Plugin:        setup.Plugin(t),
		StorageDir:    r.storage,
		CallbackLimit: -1,
		ExitLimit:     setup.LongWait,
		Tick:          50 * time.Millisecond,
		Instances: []flbhost.Instance{
			r.section(customers[0], "siem"),
			r.section(customers[1], "siem"),
			r.section(customers[2], "siem"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}

	r.host = host

	t.Cleanup(func() { host.Kill() })

	r.until("requests that hang", setup.LongWait,
		func() bool { return r.sim.Requests().Count["siem"] >= len(customers) })

	took := func() (took []time.Duration) {
		for _, c := range host.Calls() {
			if c.Fn == "Callback" || c.Fn == "CallbackCtx" {
				took = append(took, c.Took)
			}
		}

		return took
	}
	before := len(took())

	r.until("a hundred callbacks", setup.LongWait, func() bool { return len(took()) >= before+100 })

	// A callback that waits for the API is held up until the request's timeout, a
	// minute. One that waits for a processor is not.
	if slow := slices.Max(took()); slow > 20*time.Second {
		t.Errorf("a callback took %v", slow)
	}

	r.stop()
}
