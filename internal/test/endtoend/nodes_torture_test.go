package endtoend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// The torture of several nodes: random events of three processes, of their disks, of the
// network and of the database. NODES_RUNS is how many runs (default 2, in the long form
// 100), TORTURE_SEED the first one's seed; TORTURE_HOST picks a host.

// ordeal is one run.
type ordeal struct {
	*cluster
	rng    *rand.Rand
	added  int
	due    []repair
	events []string
	began  time.Time
	step   time.Time // when the database's clock stepped last
}

// repair ends what an event began.
type repair struct {
	at   time.Time
	what string
	node *node // nil: the database
	do   func()
}

func TestHATorture(t *testing.T) {
	t.Parallel()

	runs, seed := setup.Size(2, 100), uint64(1)
	if setup.Long() {
		seed = uint64(time.Now().UnixNano() % 1_000_000)
	}

	if n, err := strconv.Atoi(os.Getenv("NODES_RUNS")); err == nil {
		runs = n
	}

	if n, err := strconv.ParseUint(os.Getenv("TORTURE_SEED"), 10, 64); err == nil {
		seed = n
	}

	for i := range runs {
		t.Run(strconv.FormatUint(seed+uint64(i), 10), func(t *testing.T) {
			t.Parallel()
			tortureNodes(t, seed+uint64(i))
		})
	}
}

func tortureNodes(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 15))
	options := clusterOptions{
		nodes:   3,
		tenants: 5 + rng.IntN(4),
		alerts:  20,
		seed:    seed,
		bouncer: rng.IntN(4) == 0,
		replay:  []time.Duration{15 * time.Minute, 20 * time.Second}[rng.IntN(2)],
		keys:    []string{"sweep_interval", "3s", "http_timeout", "3s"},
	}
	faults := []string{"", "503:p=0.1", "latency:p=0.2;by=700ms", "reset:p=0.05", "401:p=0.05"}[rng.IntN(5)]
	strict := rng.IntN(2) == 0
	options.sim = func(cfg *simulator.Config) {
		cfg.Faults = faults
		if strict {
			cfg.Rotation, cfg.TokenLife = simulator.Strict, 3*time.Second
		}
	}
	o := &ordeal{
		cluster: newCluster(t, options),
		rng:     rng,
		began:   time.Now(),
	}

	t.Logf("seed %d: %d units, replay %v, bouncer %t, faults %q", seed, len(o.customers), o.replay, options.bouncer,
		faults)
	defer func() { t.Logf("seed %d: %s", seed, strings.Join(o.events, ", ")) }()

	o.startAll()

	for end := time.Now().Add(time.Duration(setup.Size(12, 25)) * time.Second); time.Now().Before(end); {
		o.work(time.Duration(300+rng.IntN(1500)) * time.Millisecond)
		o.event()
	}

	o.finish()
}

func (o *ordeal) note(format string, args ...any) {
	o.events = append(o.events, fmt.Sprintf("%.1f %s", time.Since(o.began).Seconds(), fmt.Sprintf(format, args...)))
}

// work lets time pass, in which alerts turn up and change and what is due is repaired.
func (o *ordeal) work(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		o.repair(time.Now())
		tenant := o.customers[o.rng.IntN(len(o.customers))]
		now := time.Now()

		switch o.rng.IntN(5) {
		case 0:
			o.add(tenant, 1+o.rng.IntN(8), now.Add(-time.Second), now)
		case 1:
			o.add(tenant, 1+o.rng.IntN(3), now.Add(-6*time.Hour), now) // listed late
		case 2:
			for identity := range o.sim.Ledger(tenant.ID, o.api).Latest {
				o.sim.Update(tenant.ID, identity, now, func(a *simulator.Alert) { a.Status = "InProgress" })
				break
			}
		}
	}
}

func (o *ordeal) add(tenant simulator.Tenant, n int, since, until time.Time) {
	o.added++
	o.sim.Generate(tenant.ID, n, simulator.GenerateOptions{
		Name:  strconv.Itoa(o.added),
		Since: since,
		Until: until,
	})
}

// repair ends the events whose time has come.
func (o *ordeal) repair(now time.Time) {
	for i := 0; i < len(o.due); {
		if r := o.due[i]; !r.at.After(now) {
			o.due = slices.Delete(o.due, i, i+1)
			o.note("%s", r.what)
			r.do()

			continue
		}

		i++
	}
}

// later repairs what happened to a node, or to the database, after up to d.
func (o *ordeal) later(n *node, what string, d time.Duration, do func()) {
	o.due = append(o.due, repair{time.Now().Add(time.Duration(o.rng.Int64N(int64(d)))), what, n, do})
}

// busy reports whether a repair of the node, or of the database, is due.
func (o *ordeal) busy(n *node) bool {
	return slices.ContainsFunc(o.due, func(r repair) bool { return r.node == n })
}

// event lets something happen.
func (o *ordeal) event() {
	if o.rng.IntN(5) == 0 {
		o.databaseEvent()
		return
	}

	n := o.nodes[o.rng.IntN(len(o.nodes))]
	if o.busy(n) {
		return
	}

	switch o.rng.IntN(8) {
	case 0, 1:
		o.killNode(n)
	case 2:
		o.note("stop %s", n.id)
		// Without its database it cannot give its units up: the others take them over.
		if o.busy(nil) {
			o.upset(n.id)
		}

		n.stop()
		o.later(n, "start "+n.id, 8*time.Second, n.start)
	case 3:
		o.note("freeze %s", n.id)
		n.freeze()
		o.later(n, "thaw "+n.id, 14*time.Second, func() { n.thaw(); o.upset(n.id) })
	case 4:
		o.note("cut %s", n.id)
		o.upset(n.id)
		n.proxy.Cut()
		o.later(n, "restore "+n.id, 14*time.Second, func() { o.upset(n.id); n.proxy.Restore() })
	case 5:
		o.note("freeze network of %s", n.id)
		o.upset(n.id)
		n.proxy.Freeze()
		o.later(n, "restore "+n.id, 14*time.Second, func() { o.upset(n.id); n.proxy.Restore() })
	case 6:
		o.drain(n, true)
		o.later(n, "undrain "+n.id, 6*time.Second, func() { o.drain(n, false) })
	case 7:
		o.wholeEvent()
	}
}

// killNode kills a node, of which the disk may be lost, too, and starts it again.
func (o *ordeal) killNode(n *node) {
	held := o.heldBy(n)
	at := time.Now()

	o.note("kill %s", n.id)
	n.kill()
	// Who held what is not known while the database is away.
	if len(held) > 0 && !o.busy(nil) && o.rng.IntN(2) == 0 {
		o.note("its disk is lost")
		n.loseDisk(at.Add(-o.replay+o.steps+time.Second), func(tenantID string) bool { return !held[tenantID] })
	}

	o.later(n, "start "+n.id, 12*time.Second, n.start)
}

// databaseEvent stops, kills or restarts the database. In the long form its clock steps,
// too.
func (o *ordeal) databaseEvent() {
	if o.busy(nil) {
		return
	}

	if setup.Long() && o.rng.IntN(3) == 0 {
		o.stepClock()
		return
	}

	o.upset("")

	if o.rng.IntN(2) == 0 {
		o.note("database stops")
		o.server.Stop(o.t)
	} else {
		o.note("database dies")
		o.server.Kill(o.t)
	}

	o.later(nil, "database starts", []time.Duration{time.Second, 12 * time.Second}[o.rng.IntN(2)], func() {
		o.server.Launch(o.t)
		o.upset("")
	})
}

// stepClock moves the database's clock, forward or back, by less than what a node leaves
// of its lease for that (3 s). It renews the lease, with the new time, before the next
// step.
func (o *ordeal) stepClock() {
	if time.Since(o.step) < 2*o.ttl {
		return
	}

	by := time.Duration(o.rng.IntN(4000)-2000) * time.Millisecond
	o.note("database's clock steps by %v", by)
	o.db.Advance(o.t, by)
	o.step = time.Now()
	o.steps += by.Abs()
}

// wholeEvent happens to all nodes that are well: each is restarted, one after the other,
// or reloaded.
func (o *ordeal) wholeEvent() {
	ctx, cancel := context.WithTimeout(context.Background(), setup.LongWait)
	defer cancel()

	rolling := o.rng.IntN(2) == 0
	for _, n := range o.nodes {
		if o.busy(n) || !n.running {
			continue
		}

		if o.busy(nil) {
			o.upset(n.id)
		}

		if rolling {
			o.note("restart %s", n.id)
			n.stop()
			n.start()
		} else {
			o.note("reload %s", n.id)

			if err := n.host.Reload(ctx, []flbhost.Instance{n.section()}); err != nil {
				o.t.Fatalf("reload: %v\n%s", err, o.logText())
			}
		}
	}
}

// drain asks a node to give its units away. Nothing happens while the database is away.
func (o *ordeal) drain(n *node, on bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	var s store.Shared

	opened, err := postgres.Open(postgres.Options{URL: o.db.URL()})
	if err == nil {
		defer opened.Close()

		s = opened
		_, err = s.Drain(ctx, n.id, on)
	}

	o.note("drain %s %t: came through %t", n.id, on, err == nil)
}

// finish ends all that is wrong and waits until everything has arrived.
func (o *ordeal) finish() {
	o.repair(time.Now().Add(time.Hour))

	if err := o.sim.SetFaults(""); err != nil {
		o.t.Fatal(err)
	}

	for _, n := range o.nodes {
		if !n.running {
			n.start()
		}

		o.drain(n, false) // it may not have come through before
	}

	o.complete()
	o.balanced(o.nodes...)
	time.Sleep(3 * time.Second) // a few polls more, which bring repeats
	o.stopAll()
	o.verdict(true)

	if dead := o.sim.Requests().DeadAgain; dead > 0 {
		o.t.Errorf("%d refresh tokens were redeemed again after they had been refused for good", dead)
	}
}
