package endtoend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// fileRig is an input with a tenants file, whose tenants have a secret file in common.
type fileRig struct {
	*rig
	customers    []simulator.Tenant
	file, secret string
	n            int // of bursts
}

// withFile simulates n customers. The tenants file is written by list.
func (r *rig) withFile(n, alerts int, life time.Duration) *fileRig {
	r.t.Helper()
	dir := r.t.TempDir()

	f := &fileRig{
		rig:       r,
		customers: tenants(n, alerts),
		file:      filepath.Join(dir, "tenants.yaml"),
		secret:    filepath.Join(dir, "secret"),
	}
	for i := range f.customers { // they share a secret file
		f.customers[i].Apps[0].Secret = f.customers[0].Apps[0].Secret
	}

	r.simulate(simulator.Config{Tenants: f.customers, Seed: 11, TokenLife: life})
	f.replace(f.secret, f.customers[0].Apps[0].Secret+"\n")

	return f
}

// replace writes a file by rename. Its time is old, so that it counts as written at once.
func (f *fileRig) replace(path, text string) {
	f.t.Helper()

	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}

	old := time.Now().Add(-time.Duration(60+rand.IntN(3600)) * time.Second)
	if err := os.Chtimes(temp, old, old); err != nil {
		f.t.Fatal(err)
	}

	if err := os.Rename(temp, path); err != nil {
		f.t.Fatal(err)
	}
}

// list writes a tenants file. overlap tells one version of a tenant from another.
func (f *fileRig) list(overlaps map[string]int) {
	f.t.Helper()

	var b strings.Builder
	b.WriteString("tenants:\n")

	for _, c := range f.customers {
		if minutes, listed := overlaps[c.ID]; listed {
			fmt.Fprintf(&b, "  - tenant_id: %s\n    tenant_name: %s\n    refresh_token: '%s'\n    overlap: %dm\n",
				c.ID, c.Name, c.Apps[0].RefreshTokens[0], minutes)
		}
	}

	f.replace(f.file, b.String())
}

// input is the section with the tenants file.
func (f *fileRig) input(more ...string) flbhost.Instance {
	return f.section(f.customers[0], "siem", append([]string{
		"tenant_id", "", "tenant_name", "", "refresh_token", "", "client_secret", "", "client_secret_file", f.secret,
		"tenants_file", f.file,
	}, more...)...)
}

// burst adds a few alerts to every customer.
func (f *fileRig) burst() {
	f.n++
	for _, c := range f.customers {
		f.sim.Generate(c.ID, 5, simulator.GenerateOptions{
			Name:  fmt.Sprint("burst", f.n),
			Since: time.Now().Add(-time.Second),
			Until: time.Now(),
		})
	}
}

// load adds alerts until stop is called.
func (f *fileRig) load() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)

		for {
			select {
			case <-ended:
				return
			case <-time.After(200 * time.Millisecond):
				f.burst()
			}
		}
	}()

	return func() { close(ended); <-done }
}

// lines counts the plugin's lines with a text.
func (f *fileRig) lines(text string) (n int) {
	for _, l := range f.host.Logs() {
		if !l.Core && strings.Contains(l.Text, text) {
			n++
		}
	}

	return n
}

// ctl runs defenderctl on a data directory.
func (f *fileRig) ctl(data string, args ...string) []byte {
	f.t.Helper()

	var out, errs bytes.Buffer

	cmd := exec.CommandContext(f.t.Context(), setup.CLI(f.t), append([]string{"--data-dir", data}, args...)...)

	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		f.t.Fatalf("%v: %v\n%s%s", args, err, out.String(), errs.String())
	}

	return out.Bytes()
}

// failures returns how many polls of each tenant have failed, as status shows it when it
// shows all of them.
func (f *fileRig) failures() (failed map[string]int) {
	f.t.Helper()
	f.until("the status of all tenants", time.Minute, func() bool {
		failed = f.shownFailures()
		return len(failed) == len(f.customers)
	})

	return failed
}

func (f *fileRig) shownFailures() map[string]int {
	f.t.Helper()

	var list []struct {
		Tenant string `json:"tenant"`
		Errors int    `json:"errors"`
	}
	if err := json.Unmarshal(f.ctl(f.data, "status", "--json"), &list); err != nil {
		f.t.Fatal(err)
	}

	failed := map[string]int{}
	for _, s := range list {
		failed[s.Tenant] = s.Errors
	}

	return failed
}

// The tenants file is changed again and again under load: tenants are added, removed and
// changed, and versions are broken. Nothing is lost or repeated, and who did not change
// goes on.
func TestATenantsFileChangedUnderLoadLosesNothing(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		f := r.withFile(6, 40, 0)
		rng := rand.New(rand.NewPCG(8, 8))

		const steady = 2 // tenants that never change

		now := f.everybody()
		f.list(now)
		r.mustStart(f.input())
		stop := f.load()

		r.until("first polls", time.Minute, func() bool { return f.lines("first poll: ") == len(f.customers) })

		changes := setup.Size(2, 50)
		restarts := len(f.customers)

		for n := range changes {
			if n%3 == 1 {
				f.refused("tenants: [broken")
			}

			next := change(now, f.customers[steady:], rng)
			restarts += f.changeTo(now, next)
			now = next
		}

		restarts += len(f.customers) - len(now)

		f.list(f.everybody())
		r.until("polls of all that started", time.Minute, func() bool { return f.lines("first poll: ") >= restarts })
		stop()
		r.complete(time.Minute, f.customers, "siem")
		time.Sleep(2 * time.Second)

		for _, c := range f.customers[:steady] {
			if n := f.lines("[input:defender:" + c.Name + "] signed in as"); n != 1 {
				t.Errorf("%s did not change and started %d times", c.Name, n)
			}
		}

		r.stop()
		arrived, repeated := r.accounts(f.customers, "siem")
		t.Logf("%d changes, %d starts, %d detections: lost 0, repeated %d", changes, restarts, arrived, repeated)

		if repeated > 0 {
			t.Errorf("%d repeated", repeated)
		}
	})
}

// everybody lists all customers, each with a page size of 10.
func (f *fileRig) everybody() map[string]int {
	all := map[string]int{}
	for _, c := range f.customers {
		all[c.ID] = 10
	}

	return all
}

// refused writes a file, and waits until it is refused.
func (f *fileRig) refused(text string) {
	f.t.Helper()

	before := f.lines("refused as a whole")
	f.replace(f.file, text)
	f.until("a refusal", time.Minute, func() bool { return f.lines("refused as a whole") > before })
}

// change adds or removes one customer, and changes the page size of another one.
func change(now map[string]int, customers []simulator.Tenant, rng *rand.Rand) map[string]int {
	next := maps.Clone(now)
	c := customers[rng.IntN(len(customers))]
	changed := customers[rng.IntN(len(customers))]

	if _, listed := next[c.ID]; listed {
		delete(next, c.ID)
	} else {
		next[c.ID] = 10
	}

	if _, listed := next[changed.ID]; listed && changed.ID != c.ID {
		next[changed.ID]++
	}

	return next
}

// changeTo writes the list next in place of the list now, and waits until the input says
// what it did. It returns how many tenants started.
func (f *fileRig) changeTo(now, next map[string]int) (starts int) {
	f.t.Helper()

	stay, restart, start, end := 0, 0, 0, 0

	for _, c := range f.customers {
		was, before := now[c.ID]

		is, after := next[c.ID]
		switch {
		case before && after && was == is:
			stay++
		case before && after:
			restart++
		case after:
			start++
		case before:
			end++
		}
	}

	line := fmt.Sprintf("tenants_file has changed: %d tenants go on, %d restart, %d start, %d end",
		stay, restart, start, end)
	seen := f.lines(line)
	f.list(next)
	f.until(line, time.Minute, func() bool { return f.lines(line) > seen })

	return restart + start
}

// A secret is rotated while many tenants sign in every few seconds, once with the file
// first and once with the service first.
func TestASecretRotatedUnderLoadFailsOnePollAtMost(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		f := r.withFile(setup.Size(4, 40), 40, 2*time.Second)
		f.list(f.everybody())
		r.mustStart(f.input())
		stop := f.load()

		r.until("first polls", time.Minute, func() bool { return f.lines("first poll: ") >= min(20, len(f.customers)) })

		for n := range setup.Size(1, 5) {
			f.rotate(n)
		}

		failed := f.failures()
		if slices.Max(slices.Collect(maps.Values(failed))) > setup.Size(1, 10) {
			t.Errorf("a rotation failed more than one poll of a tenant: %v", failed)
		}

		stop()
		r.complete(time.Minute, f.customers, "siem")
		time.Sleep(2 * time.Second)
		r.stop()
		arrived, repeated := r.accounts(f.customers, "siem")
		t.Logf("%d tenants, %d detections: lost 0, repeated %d, polls failed %v",
			len(f.customers), arrived, repeated, failed)

		if repeated > 0 {
			t.Errorf("%d repeated", repeated)
		}

		noSecrets(t, r)
	})
}

// rotate replaces the secret twice, in round n: once the file is written first, and once
// the service knows the new secret first.
func (f *fileRig) rotate(n int) {
	f.t.Helper()

	first, second := fmt.Sprintf("rotated-secret-%d-a", n), fmt.Sprintf("rotated-secret-%d-b", n)

	// The file is written before the service knows the new secret.
	f.replace(f.secret, first)
	f.signIns(len(f.customers) + 1)

	if failed := f.failures(); slices.Max(slices.Collect(maps.Values(failed))) > 2*n { // two rotations a round
		f.t.Errorf("with the file first, polls failed: %v", failed)
	}

	f.atService(first)
	f.signIns(len(f.customers))

	// The old secret has ended before the file is written.
	f.atService(second)
	time.Sleep(time.Second)
	f.replace(f.secret, second)
	time.Sleep(6 * time.Second) // within five every tenant has seen it, and the status is written
	f.signIns(len(f.customers) + 1)
}

func (f *fileRig) atService(secret string) {
	for _, c := range f.customers {
		f.sim.SetApp(c.ID, c.Apps[0].ClientID, func(a *simulator.App) { a.Secret = secret })
	}
}

// signIns waits for n sign-ins more.
func (f *fileRig) signIns(n int) {
	f.t.Helper()

	before := f.sim.Requests().Redeemed
	f.until("sign-ins", time.Minute, func() bool { return f.sim.Requests().Redeemed >= before+n })
}

// A backup is made under load, the process killed and its directory lost; what is
// restored goes on without a loss, and repeats only what was delivered after the backup.
func TestABackupUnderLoadIsRestoredWithoutALoss(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		f := r.withFile(setup.Size(3, 10), setup.Size(200, 2000), 0)
		f.list(f.everybody())
		r.mustStart(f.input())

		stop := f.load()
		defer func() { stop() }()

		f.firstPolls()
		setup.CLI(t) // built before the clock runs

		var before []map[string]int

		for n := range setup.Size(1, 10) {
			time.Sleep(2 * time.Second)

			before = append(before, f.delivered())

			time.Sleep(2 * time.Second) // commits are at most a second behind

			copies := filepath.Join(t.TempDir(), "backup")
			f.ctl(f.data, "backup", copies)
			time.Sleep(2 * time.Second) // under load

			if _, err := r.host.Kill(); err != nil {
				t.Fatal(err)
			}

			f.data = filepath.Join(t.TempDir(), fmt.Sprint("restored", n))
			f.ctl(f.data, "restore", copies)
			r.mustStart(f.input())
			f.firstPolls()
		}

		stop()
		stop = func() {}

		r.complete(time.Minute, f.customers, "siem")
		r.stop()
		arrived, repeated := r.accounts(f.customers, "siem")
		t.Logf("%d restores, %d detections: lost 0, repeated %d", len(before), arrived, repeated)

		if repeated == 0 {
			t.Error("nothing was delivered between backup and kill, so the test shows nothing")
		}

		in := f.delivered()

		for n, ids := range before {
			for id, times := range ids {
				if in[id] > times {
					t.Errorf("%s was delivered before backup %d and is repeated", id, n)
				}
			}
		}
	})
}

// delivered returns how often each detection was delivered.
func (f *fileRig) delivered() map[string]int {
	ids := map[string]int{}

	of := f.allArrived("siem")
	for _, c := range f.customers {
		for id, n := range of(c.ID).count {
			ids[c.ID+" "+id] = n
		}
	}

	return ids
}

// firstPolls waits for the first poll of each customer.
func (f *fileRig) firstPolls() {
	f.t.Helper()
	f.until("first polls", time.Minute, func() bool { return f.lines("first poll: ") == len(f.customers) })
}

// A customer leaves while the input runs, is forgotten, and comes back: the input, which
// has known the tenant, begins again.
func TestAForgottenTenantBeginsAnewInARunningInput(t *testing.T) {
	if !setup.Long() {
		t.Skip("waits for half a minute; TORTURE_LONG=1 runs it")
	}

	eachHost(t, func(t *testing.T, r *rig) {
		f := r.withFile(2, 30, 0)
		stays, leaves := f.customers[0], f.customers[1]
		both := map[string]int{stays.ID: 10, leaves.ID: 10}
		f.list(both)
		r.mustStart(f.input())
		r.complete(time.Minute, f.customers, "siem")
		f.failures() // the input has said that it polls both

		cmd := exec.Command(setup.CLI(t), "--data-dir", f.data, "tenants", "forget", leaves.Name, "--yes")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "is polled by") {
			t.Errorf("forget of a tenant that is polled: %v\n%s", err, out)
		}

		f.list(map[string]int{stays.ID: 10})
		r.until("its end", time.Minute, func() bool { return f.lines("1 end") == 1 })

		out := string(f.ctl(f.data, "tenants", "forget", leaves.Name, "--yes"))
		if !strings.Contains(out, "progress, status and deferred alerts of api siem are forgotten") ||
			!strings.Contains(out, "1 refresh token forgotten") {
			t.Errorf("forget printed:\n%s", out)
		}

		if out := string(f.ctl(f.data, "status")); strings.Contains(out, leaves.Name) {
			t.Errorf("status still shows it:\n%s", out)
		}

		alerts := len(r.arrived(leaves.ID, "siem").count)

		f.list(both)
		r.until("its alerts again", time.Minute, func() bool {
			times := 0
			for _, n := range r.arrived(leaves.ID, "siem").count {
				times += n
			}

			return times >= 2*alerts
		})
		r.stop()

		if _, repeated, _, _ := r.account(stays.ID, "siem"); repeated > 0 {
			t.Errorf("the other tenant has %d repeats", repeated)
		}

		if lost, repeated, _, _ := r.account(leaves.ID, "siem"); lost > 0 || repeated != alerts {
			t.Errorf("lost %d, %d of %d came again", lost, repeated, alerts)
		}
	})
}
