package endtoend

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// Several nodes on one PostgreSQL: what docs/high-availability.md promises, a test each.

// orderlyTTL is the lease_ttl where nothing dies: no lease ends by itself then, however
// busy the machine is.
const orderlyTTL = time.Minute

// spread returns a cluster whose nodes have read everything and share the units.
func spread(t *testing.T, o clusterOptions) *cluster {
	t.Helper()

	if o.nodes == 0 {
		o.nodes = 3
	}

	if o.tenants == 0 {
		o.tenants = setup.Size(9, 300)
	}

	if o.poll == 0 {
		o.poll = time.Duration(setup.Size(1, 5)) * time.Second
	}

	o.alerts = max(o.alerts, 5)
	c := newCluster(t, o)
	c.startAll()
	read := c.complete()
	shared := c.balanced(c.nodes...)
	t.Logf("%d units on %d nodes: all read after %v, shared after %v more",
		len(c.customers), len(c.nodes), read.Round(time.Millisecond), shared.Round(time.Millisecond))

	return c
}

// inTime checks how long units of a dead node waited for another one. The time counts in
// the long form only: a busy machine proves nothing.
func (c *cluster) inTime(took time.Duration) {
	c.t.Helper()

	limit := c.ttl + 5*time.Second
	if setup.Long() {
		limit += 5 * time.Second // poll_interval
	}

	c.t.Logf("polled by others after %v (lease_ttl %v)", took.Round(time.Millisecond), c.ttl)

	if setup.Long() && took > limit {
		c.t.Errorf("not within %v", limit)
	}
}

func TestUnitsOfAKilledNodeArePolledByOthers(t *testing.T) {
	t.Parallel()
	c := spread(t, clusterOptions{})
	c.nodes[0].kill()

	began := time.Now()

	c.grow(1)
	c.complete()
	c.inTime(time.Since(began))
	c.balanced(c.nodes[1:]...)
	c.stopAll()

	if y := c.verdict(true); y.marked == 0 {
		t.Error("nothing of what the dead node had delivered came again: its disk might have been lost")
	}
}

func TestADeadNodesDiskTakesNoAlertWithIt(t *testing.T) {
	t.Parallel()
	c := spread(t, clusterOptions{})
	c.grow(1)
	c.complete()
	dead := c.nodes[0]
	held := c.heldBy(dead)
	dead.kill()
	dead.loseDisk(time.Time{}, func(tenantID string) bool { return !held[tenantID] })
	c.grow(1)
	c.complete()
	c.balanced(c.nodes[1:]...)

	dead.start()
	c.balanced(c.nodes...)
	c.grow(1)
	c.complete()
	c.stopAll()
	c.verdict(true)
}

func TestOnlyWhatWasDeliveredLatelyComesAgain(t *testing.T) {
	t.Parallel()
	c := spread(t, clusterOptions{replay: 8 * time.Second})

	if setup.Long() {
		time.Sleep(time.Minute)
	}

	quiet := time.Now()

	time.Sleep(c.ttl + c.replay + 6*time.Second) // what was delivered until now is older than takeover_replay
	c.grow(1)
	c.complete()
	dead := c.nodes[0]
	since := time.Now().Add(3*time.Second - c.replay) // it is seen some time after it was delivered

	dead.kill()

	if since.Before(quiet) {
		since = quiet.Add(time.Second)
	}

	dead.loseDisk(since, nil)
	c.complete()
	c.balanced(c.nodes[1:]...)
	c.stopAll()
	c.verdict(true)
}

func TestANodeDeliversNothingAfterItsDeadline(t *testing.T) {
	t.Parallel()

	for name, away := range map[string]struct{ begin, end func(n *node) }{
		"stopped": {(*node).freeze, (*node).thaw},
		"cut":     {func(n *node) { n.c.upset(n.id); n.proxy.Cut() }, func(n *node) { n.proxy.Restore() }},
		"frozen network": {
			func(n *node) { n.c.upset(n.id); n.proxy.Freeze() },
			func(n *node) { n.proxy.Restore() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := spread(t, clusterOptions{tenants: 6})
			zombie := c.nodes[0]

			host, ok := zombie.host.(*flbhost.Host)
			if !ok {
				t.Skip("the test stops a node while its queue is full")
			}

			host.Limit(0) // what it reads waits in its queue
			c.grow(2)
			held := c.heldBy(zombie)
			c.until("the node has read the new alerts", time.Minute, func() bool {
				for _, tenant := range c.customers {
					ledger := c.sim.Ledger(tenant.ID, c.api)
					if held[tenant.ID] && len(ledger.Served) < len(ledger.Exists) {
						return false
					}
				}

				return true
			})
			away.begin(zombie)

			took := c.until("others poll its units", time.Minute, func() bool { return len(c.heldBy(zombie)) == 0 })
			c.inTime(took)

			if setup.Long() {
				time.Sleep(time.Minute)
			}

			c.complete()
			before := c.deliveredBy(zombie)

			host.Resume(0)
			away.end(zombie)
			c.balanced(c.nodes...)

			if after := c.deliveredBy(zombie); after != before {
				t.Errorf("it delivered %d alerts that others had delivered since", after-before)
			}

			c.grow(1)
			c.complete()
			c.stopAll()
			c.verdict(true)
		})
	}
}

func TestARestartOfTheDatabaseRepeatsNothing(t *testing.T) {
	t.Parallel()

	c := spread(t, clusterOptions{ttl: orderlyTTL})
	for _, end := range []func(testing.TB){c.server.Stop, c.server.Kill} {
		c.grow(2)
		end(t)
		c.grow(1)
		c.server.Launch(t)
		c.complete()
	}

	c.balanced(c.nodes...)
	c.stopAll()
	c.verdict(false)
}

func TestADatabaseThatIsAwayForLongLosesNothing(t *testing.T) {
	t.Parallel()
	c := spread(t, clusterOptions{})
	c.grow(1)
	c.upset("")
	c.server.Stop(t)
	time.Sleep(time.Duration(setup.Size(7, 60)) * time.Second) // longer than lease_ttl
	c.grow(1)
	c.server.Launch(t)
	c.upset("")
	c.complete()
	c.balanced(c.nodes...)
	c.stopAll()
	c.verdict(true)
}

func TestNodesStartWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	c := newCluster(t, clusterOptions{
		nodes:   2,
		tenants: 4,
		alerts:  5,
		ttl:     orderlyTTL,
	})
	c.server.Stop(t)
	c.startAll()
	c.server.Launch(t)
	c.complete()
	c.balanced(c.nodes...)
	c.stopAll()
	c.verdict(false)
}

func TestNodesWorkThroughPgbouncer(t *testing.T) {
	t.Parallel()

	// Each redemption takes several transactions, and 300 tenants share 10 connections.
	life := time.Duration(setup.Size(3, 60)) * time.Second
	c := spread(t, clusterOptions{bouncer: true, sim: func(cfg *simulator.Config) {
		cfg.Rotation, cfg.TokenLife = simulator.Strict, life
	}})

	c.nodes[0].kill()
	c.grow(1)
	c.complete()
	c.balanced(c.nodes[1:]...)

	c.nodes[1].stop()
	c.grow(1)
	c.complete()

	c.balanced(c.nodes[2])
	c.nodes[0].start()
	c.nodes[1].start()
	c.balanced(c.nodes...)
	c.grow(1)
	c.complete()

	c.stopAll()
	c.verdict(true)
}

func TestARollingRestartMovesAUnitAtMostTwice(t *testing.T) {
	t.Parallel()
	c := spread(t, clusterOptions{ttl: orderlyTTL})

	before := c.holders()
	for _, n := range c.nodes {
		n.stop()

		began := time.Now()

		c.grow(1)
		c.complete()

		took := time.Since(began)

		n.start()

		back := c.balanced(c.nodes...)
		t.Logf("%s: polled by others after %v, its share back after %v", n.id, took.Round(time.Millisecond),
			back.Round(time.Millisecond))
	}

	for id, now := range c.holders() {
		if moves := now.Epoch - before[id].Epoch; moves > 2 {
			t.Errorf("a unit moved %d times: from %v to %v", moves, before[id], now)
		}
	}

	c.stopAll()
	c.verdict(false)
}

func TestAReloadOfANodeRepeatsNothing(t *testing.T) {
	t.Parallel()
	c := spread(t, clusterOptions{ttl: orderlyTTL})

	ctx, cancel := context.WithTimeout(t.Context(), setup.LongWait)
	defer cancel()

	for _, n := range c.nodes {
		c.grow(1)

		if err := n.host.Reload(ctx, []flbhost.Instance{n.section()}); err != nil {
			t.Fatalf("reload: %v\n%s", err, c.logText())
		}

		c.complete()
	}

	c.balanced(c.nodes...)
	c.grow(1)
	c.complete()
	c.stopAll()
	c.verdict(false)
}

func TestADrainedNodeGivesItsUnitsAwayAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	c := spread(t, clusterOptions{ttl: orderlyTTL})
	command := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), setup.CLI(t), append(args, "--store", c.db.URL().Reveal())...)

		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("defenderctl %v: %v\n%s", args, err, out)
		}

		return string(out)
	}

	c.grow(1)
	command("drain", "node-1")
	c.balanced(c.nodes[1:]...)
	c.grow(1)
	c.complete()

	if out := command("nodes"); strings.Count(out, "node-") != 3 || !strings.Contains(out, "draining") {
		t.Errorf("nodes:\n%s", out)
	}

	command("drain", "--undo", "node-1")
	c.balanced(c.nodes...)
	c.grow(1)
	c.complete()
	c.stopAll()
	c.verdict(false)
}

func TestARestartedNodeWaitsForItsOwnDeadRow(t *testing.T) {
	t.Parallel()
	c := spread(t, clusterOptions{nodes: 2, tenants: 4})
	c.nodes[0].kill()

	began := time.Now()

	c.nodes[0].start()
	t.Logf("started after %v", time.Since(began).Round(time.Millisecond))
	c.grow(1)
	c.complete()
	c.balanced(c.nodes...)
	c.stopAll()
	c.verdict(true)
}

func TestASecondProcessWithOneNodeIDIsRefused(t *testing.T) {
	t.Parallel()
	c := spread(t, clusterOptions{nodes: 1, tenants: 2, ttl: 10 * time.Second})
	twin := c.newNode(0)

	h, err := twin.launch(flbhost.Config{
		Instances:     []flbhost.Instance{twin.section()},
		StorageDir:    t.TempDir(),
		CallbackLimit: -1,
	})
	if h != nil {
		t.Cleanup(func() { h.Kill() })
	}

	var failed *flbhost.InitError

	said := fmt.Sprint(err)

	if h != nil {
		for _, line := range h.Logs() {
			said += "\n" + line.Text
		}
	}

	if !errors.As(err, &failed) || !strings.Contains(said, "node_id") {
		t.Errorf("the second process with node_id %s: %s", twin.id, said)
	}

	c.grow(1)
	c.complete()
	c.stopAll()
	c.verdict(false)
}

// heldBy returns the tenants whose units a node holds.
func (c *cluster) heldBy(n *node) map[string]bool {
	held := map[string]bool{}

	for id, h := range c.holders() {
		if h.Node == n.id {
			held[id] = true
		}
	}

	return held
}

// deliveredBy returns how many alerts a node has delivered without a mark. Marked ones
// come when it takes the units of a node over that the busy machine held up.
func (c *cluster) deliveredBy(n *node) (many int) {
	c.observe()
	c.mu.Lock()
	defer c.mu.Unlock()

	for _, list := range c.deliveries {
		for _, d := range list {
			if d.node == n.id && !d.marked {
				many++
			}
		}
	}

	return many
}
