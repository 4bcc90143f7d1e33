package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/loglines"
)

const ttl = 15 * time.Second

// unitsFor returns the keys of the units first to last.
func unitsFor(first, last int) (keys []alert.UnitKey) {
	for i := first; i <= last; i++ {
		keys = append(keys, alert.UnitKey{
			LoginHost: "login.example",
			TenantID:  alert.TenantID(fmt.Sprintf("tenant%04d.example", i)),
			API:       alert.Graph,
		})
	}

	return keys
}

// process is a node with a member that only notes what it polls.
type process struct {
	*Node
	client *client
	rand   *rand.Rand

	mu      sync.Mutex
	polls   map[alert.UnitKey]int // by which start
	starts  int
	blocked bool
	refuses bool // it wants nothing of what it said
	dead    bool
}

func (p *process) Start(key alert.UnitKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.polls[key] > 0 {
		panic("started twice")
	}

	if !p.refuses {
		p.starts++
		p.polls[key] = p.starts
	}

	return !p.refuses
}

// later calls f within a time.
func (p *process) later(most time.Duration, f func()) {
	p.mu.Lock()
	wait := time.Duration(p.rand.Int64N(int64(most)))
	p.mu.Unlock()

	time.AfterFunc(wait, f)
}

func (p *process) HandOver(key alert.UnitKey, done func()) {
	p.mu.Lock()
	start := p.polls[key]
	p.mu.Unlock()

	p.later(2*time.Second, func() {
		p.mu.Lock()
		if p.polls[key] == start { // else it was abandoned, and has come back
			delete(p.polls, key)
		}
		p.mu.Unlock()
		done()
	})
}

func (p *process) Abandon(keys []alert.UnitKey, done func(alert.UnitKey)) {
	for _, key := range keys {
		p.mu.Lock()
		delete(p.polls, key)
		p.mu.Unlock()
		p.later(time.Second, func() { done(key) })
	}
}

func (p *process) Blocked() bool { return p.blocked }

// holds returns what the process polls, which is nothing while it does not trust its
// lease.
func (p *process) holds() []alert.UnitKey {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.dead || !p.Trusted() {
		return nil
	}

	return slices.Collect(maps.Keys(p.polls))
}

// fleet are the processes on one store.
type fleet struct {
	*memory
	t     *testing.T
	rand  *rand.Rand
	since time.Time
	live  map[string]*process
	all   []*process
}

// inFleet runs a test with a fleet, on a clock of its own.
func inFleet(t *testing.T, test func(f *fleet)) {
	t.Helper()

	synctest.Test(t, func(t *testing.T) {
		f := &fleet{
			memory: newMemory(),
			t:      t,
			rand:   rand.New(rand.NewPCG(1, 1)),
			since:  time.Now(),
			live:   map[string]*process{},
		}
		test(f)

		for _, p := range f.all {
			if p.cancel != nil {
				p.cancel()
			}
		}

		time.Sleep(time.Minute) // every timer has fired
	})
}

func (f *fleet) now() time.Duration { return time.Since(f.since) }

// make makes a process that has not joined.
func (f *fleet) make(id string) *process {
	p := &process{
		client: f.client(),
		rand:   rand.New(rand.NewPCG(f.rand.Uint64(), 1)),
		polls:  map[alert.UnitKey]int{},
	}
	p.Node = New(Config{
		Leases: p.client,
		Log:    logs.Discard(),
		Now:    f.now,
		Node:   store.Node{ID: id, TTL: ttl, TakeoverReplay: time.Minute},
	})
	f.all = append(f.all, p)

	return p
}

// join starts a process.
func (f *fleet) join(id string, keys []alert.UnitKey) *process {
	f.t.Helper()

	p := f.make(id)
	if err := p.Join(context.Background()); err != nil {
		f.t.Fatal(err)
	}

	p.Want(p, keys)
	f.live[id] = p

	return p
}

// kill ends a process at once.
func (f *fleet) kill(id string) {
	p := f.live[id]
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.cancel()
	delete(f.live, id)
}

// end ends a process in good order.
func (f *fleet) end(id string) {
	p := f.live[id]
	p.mu.Lock()
	p.dead = true // its input has stopped: all is committed
	p.mu.Unlock()

	if err := p.Leave(context.Background()); err != nil {
		f.t.Error(err)
	}

	delete(f.live, id)
}

// stop stops a process, as SIGSTOP does, or lets it continue.
func (f *fleet) stop(p *process, stopped bool) {
	f.mu.Lock()
	defer f.mu.Unlock()

	p.client.stopped = stopped
}

// run lets time pass, and looks all the time that no unit has two that poll it.
func (f *fleet) run(d time.Duration) {
	f.t.Helper()

	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		by := map[alert.UnitKey]*process{}

		for _, p := range f.all {
			for _, key := range p.holds() {
				if other := by[key]; other != nil {
					f.t.Fatalf("%v: %s is polled by %s and %s", f.now(), key.TenantID, other.cfg.Node.ID, p.cfg.Node.ID)
				}

				by[key] = p
			}
		}
	}
}

// polled returns which units are polled.
func (f *fleet) polled() map[alert.UnitKey]bool {
	all := map[alert.UnitKey]bool{}

	for _, p := range f.all {
		for _, key := range p.holds() {
			all[key] = true
		}
	}

	return all
}

// balanced fails the test unless every unit is polled, and evenly.
func (f *fleet) balanced(units int) {
	f.t.Helper()

	least, most, all := units, 0, 0

	for _, p := range f.live {
		n := len(p.holds())
		least, most, all = min(least, n), max(most, n), all+n
	}

	if all != units || most-least > 1 {
		f.t.Errorf("%v: of %d units %d are polled, by %d nodes from %d to %d each",
			f.now(), units, all, len(f.live), least, most)
	}
}

func TestUnitsAreSpreadWithinOne(t *testing.T) {
	for _, units := range []int{0, 1, 2, 3, 100, 301} {
		inFleet(t, func(f *fleet) {
			for _, id := range []string{"a", "b", "c"} {
				f.join(id, unitsFor(1, units))
				f.run(700 * time.Millisecond)
			}

			f.run(20 * time.Second)
			f.balanced(units)
		})
	}
}

func TestADeadNodesUnitsArePolledWithinTTLAnd5s(t *testing.T) {
	n := setup.Size(60, 300)

	for delay := range 12 {
		inFleet(t, func(f *fleet) {
			for _, id := range []string{"a", "b", "c"} {
				f.join(id, unitsFor(1, n))
			}

			f.run(30*time.Second + time.Duration(delay)*370*time.Millisecond)
			f.kill("b")
			f.run(ttl + 2*time.Second) // three seconds are left for the poll itself
			f.balanced(n)
		})
	}
}

// A node that holds what a dead one had given away goes on until it knows of the recall,
// and gives it back then.
func TestARecalledUnitIsGivenUpBeforeItIsTakenOver(t *testing.T) {
	inFleet(t, func(f *fleet) {
		a := f.join("a", unitsFor(1, 10))
		f.run(2 * ttl)

		b, c := f.join("b", unitsFor(1, 10)), f.join("c", unitsFor(1, 10))
		f.run(20 * time.Second)

		given := len(b.holds()) + len(c.holds())
		left := len(a.holds())

		if given == 0 || left == 0 {
			t.Fatalf("a has given %d of 10 units away, and holds %d", given, left)
		}

		f.kill("a")
		f.run(2 * ttl)
		f.balanced(10)

		taken, lost := 0, 0

		for _, p := range []*process{b, c} {
			s := p.State()
			taken += int(s.Takeovers)
			lost += int(s.Lost)
		}

		if taken != given+left || lost > 0 {
			t.Errorf("%d units were taken over, and %d lost; want %d and none", taken, lost, given+left)
		}
	})
}

func TestADrainedNodeThatDiesIsTakenOverToo(t *testing.T) {
	inFleet(t, func(f *fleet) {
		f.join("a", unitsFor(1, 10))
		b := f.join("b", unitsFor(1, 10))
		f.run(2 * ttl)

		if _, err := b.client.Drain(t.Context(), "a", true); err != nil {
			t.Fatal(err)
		}

		f.run(20 * time.Second)
		f.kill("a")
		f.run(2 * ttl)
		f.balanced(10)

		if s := b.State(); s.Takeovers == 0 || s.Lost > 0 {
			t.Errorf("%d units were taken over, and %d lost", s.Takeovers, s.Lost)
		}
	})
}

func TestARollingRestartMovesEachUnitTwiceAtMost(t *testing.T) {
	inFleet(t, func(f *fleet) {
		n := setup.Size(61, 301)
		ids := []string{"a", "b", "c"}
		for _, id := range ids {
			f.join(id, unitsFor(1, n))
		}

		f.run(30 * time.Second)
		f.balanced(n)
		f.forgetMoves()

		for _, id := range ids {
			f.end(id)
			f.run(20 * time.Second)
			f.balanced(n)
			f.join(id, unitsFor(1, n))
			f.run(30 * time.Second)
			f.balanced(n)
		}

		if most, all := f.moves(); most > 2 || all > 2*n {
			t.Errorf("a unit has moved %d times; %d moves in all", most, all)
		}
	})
}

func TestAQuickRollingRestartMovesEachUnitTwiceAtMost(t *testing.T) {
	inFleet(t, func(f *fleet) {
		ids := []string{"a", "b", "c"}
		for _, id := range ids {
			f.join(id, unitsFor(1, 100))
		}

		f.run(30 * time.Second)
		f.forgetMoves()

		for _, id := range ids {
			f.end(id)
			f.run(time.Second)
			f.join(id, unitsFor(1, 100))
			f.run(10 * time.Second)
		}

		f.run(30 * time.Second)
		f.balanced(100)

		if most, all := f.moves(); most > 2 {
			t.Errorf("a unit has moved %d times; %d moves in all", most, all)
		}
	})
}

func TestAnOutageOfTheStoreMovesNothing(t *testing.T) {
	for _, away := range []time.Duration{8 * time.Second, time.Minute} {
		inFleet(t, func(f *fleet) {
			for _, id := range []string{"a", "b", "c"} {
				f.join(id, unitsFor(1, 100))
			}

			f.run(30 * time.Second)
			f.forgetMoves()
			f.setAway(true)
			f.run(away)

			if n := len(f.polled()); away > ttl && n > 0 || away < ttl-trustMargin-longestCall && n != 100 {
				t.Errorf("after %v without the store %d units are polled", away, n)
			}

			f.setAway(false)
			f.run(6 * time.Second)
			f.balanced(100)

			if _, all := f.moves(); all > 0 {
				t.Errorf("an outage of %v has moved %d units", away, all)
			}
		})
	}
}

func TestAStoppedProcessDoesNothingWhenItGoesOn(t *testing.T) {
	inFleet(t, func(f *fleet) {
		a, b := f.join("a", unitsFor(1, 10)), f.join("b", unitsFor(1, 10))
		f.run(20 * time.Second)
		f.stop(a, true)
		f.run(time.Minute)

		if len(a.holds()) != 0 || len(b.holds()) != 10 {
			t.Errorf("stopped: a polls %d, b %d", len(a.holds()), len(b.holds()))
		}

		f.stop(a, false)
		f.run(20 * time.Second)
		f.balanced(10)

		if s := a.State(); s.Lost != 5 {
			t.Errorf("a has lost %d units, want 5", s.Lost)
		}

		if s := b.State(); s.Takeovers != 5 {
			t.Errorf("b has taken %d units over, want 5", s.Takeovers)
		}
	})
}

func TestDifferentConfigurationsDoNotPlayPingPong(t *testing.T) {
	inFleet(t, func(f *fleet) {
		f.join("a", unitsFor(1, 30))
		f.join("b", unitsFor(1, 10))
		f.join("c", unitsFor(5, 20))
		f.run(time.Minute)

		if n := len(f.polled()); n != 30 {
			t.Errorf("%d units are polled, want 30", n)
		}

		f.forgetMoves()
		f.run(time.Hour)

		if most, all := f.moves(); most > 7 {
			t.Errorf("in an hour a unit has moved %d times, all together %d times", most, all)
		}

		if n := len(f.polled()); n != 30 {
			t.Errorf("%d units are polled, want 30", n)
		}
	})
}

func TestADrainedNodeGivesEverythingAway(t *testing.T) {
	inFleet(t, func(f *fleet) {
		a, b := f.join("a", unitsFor(1, 11)), f.join("b", unitsFor(1, 11))
		f.run(20 * time.Second)

		if known, err := b.client.Drain(context.Background(), "a", true); !known || err != nil {
			t.Fatal(known, err)
		}

		f.run(5 * time.Second)

		if len(a.holds()) != 0 || len(b.holds()) != 11 {
			t.Errorf("drained: a polls %d, b %d", len(a.holds()), len(b.holds()))
		}

		if _, err := b.client.Drain(context.Background(), "a", false); err != nil {
			t.Fatal(err)
		}

		f.run(20 * time.Second)
		f.balanced(11)
	})
}

func TestWhatIsNotWantedAnyMoreIsGivenUp(t *testing.T) {
	inFleet(t, func(f *fleet) {
		a := f.join("a", unitsFor(1, 10))
		f.run(5 * time.Second)
		a.Want(a, unitsFor(6, 12))
		f.run(10 * time.Second)

		got := a.holds()
		slices.SortFunc(got, alert.UnitKey.Compare)

		if !slices.Equal(got, unitsFor(6, 12)) {
			t.Errorf("it polls %v", got)
		}

		f.join("b", unitsFor(1, 5))
		f.run(10 * time.Second)

		if n := len(f.polled()); n != 12 {
			t.Errorf("%d units are polled, want 12", n)
		}
	})
}

func TestWhatAMemberRefusesIsReleased(t *testing.T) {
	inFleet(t, func(f *fleet) {
		a := f.make("a")
		a.refuses = true
		f.live["a"] = a

		if err := a.Join(context.Background()); err != nil {
			t.Fatal(err)
		}

		a.Want(a, unitsFor(1, 4))
		f.run(5 * time.Second)

		b := f.join("b", unitsFor(1, 4))
		f.run(20 * time.Second)

		if n := a.State().Held + len(b.holds()); n < 2 || n > 4 {
			t.Errorf("a holds %d, b polls %d", a.State().Held, len(b.holds()))
		}

		a.mu.Lock()
		a.refuses = false
		a.mu.Unlock()
		f.run(20 * time.Second)

		if n := len(f.polled()); n != 4 {
			t.Errorf("%d units are polled, want 4", n)
		}
	})
}

func TestAMemberThatEndsGivesItsUnitsUp(t *testing.T) {
	inFleet(t, func(f *fleet) {
		a := f.join("a", unitsFor(1, 4))
		second := &process{Node: a.Node, rand: a.rand, polls: map[alert.UnitKey]int{}}
		a.Want(second, unitsFor(5, 8))
		f.run(10 * time.Second)

		if len(a.holds()) != 4 || len(second.holds()) != 4 {
			t.Errorf("the members poll %d and %d", len(a.holds()), len(second.holds()))
		}

		b := f.join("b", unitsFor(5, 8))
		f.run(10 * time.Second)

		if err := a.Remove(context.Background(), second); err != nil {
			t.Fatal(err)
		}

		second.mu.Lock()
		clear(second.polls)
		second.mu.Unlock()
		f.run(2 * time.Second)

		if len(a.holds()) != 4 || len(b.holds()) != 4 {
			t.Errorf("then a polls %d and b %d", len(a.holds()), len(b.holds()))
		}
	})
}

// A newer version converts the store: this node stops at once, and says so once.
func TestANodeOfAnEarlierVersionStopsAtOnce(t *testing.T) {
	inFleet(t, func(f *fleet) {
		said := &loglines.Lines{}
		a := f.make("a")
		a.cfg.Log = said.Logger()

		if err := a.Join(context.Background()); err != nil {
			t.Fatal(err)
		}

		a.Want(a, unitsFor(1, 4))
		f.run(10 * time.Second)

		convert := func(newer bool) {
			f.mu.Lock()
			defer f.mu.Unlock()

			f.newer = newer
		}

		convert(true)
		f.run(2 * time.Second)

		if n := len(a.holds()); n != 0 || a.Trusted() {
			t.Errorf("it polls %d units", n)
		}

		f.run(time.Minute)

		if lines := said.With("ERROR"); len(lines) != 1 || !strings.Contains(lines[0], "newer version") {
			t.Errorf("said: %q", lines)
		}

		convert(false) // a backup was put back
		f.run(30 * time.Second)

		if n := len(a.holds()); n != 4 {
			t.Errorf("afterwards it polls %d units", n)
		}
	})
}

// An input of several ends, and its last commit fails: nobody else may take its units for
// ones that were left in good order.
func TestUnitsThatWereNotCommittedAreTakenOver(t *testing.T) {
	for _, test := range []struct {
		name string
		away bool // the store answers only after the end
		last bool // the other input ends right after it
		// taken is how many units are marked.
		taken uint64
	}{
		{"while another input goes on", false, false, 4},
		{"while another input goes on and the store is away", true, false, 4},
		{"before the last input ends", false, true, 4},
		{"before the last input ends and the store is away", true, true, 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(f *fleet) {
				a := f.join("a", unitsFor(1, 4))
				second := &process{Node: a.Node, rand: a.rand, polls: map[alert.UnitKey]int{}}
				a.Want(second, unitsFor(5, 8))
				f.run(10 * time.Second)
				f.setAway(test.away)

				ended := func(err error) {
					if test.away == (err == nil) {
						t.Errorf("the end: %v", err)
					}
				}

				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()

				a.Uncommitted(second)
				ended(a.Remove(ctx, second))

				if test.last {
					ended(a.Leave(ctx))
					f.kill("a")
				}

				time.Sleep(2 * time.Second)
				f.setAway(false)

				b := f.join("b", unitsFor(1, 8))
				f.run(3 * ttl)

				if s := b.State(); s.Takeovers != test.taken {
					t.Errorf("%d units were taken over, want %d", s.Takeovers, test.taken)
				}

				second.mu.Lock()
				clear(second.polls)
				second.mu.Unlock()

				if n := len(f.polled()); n != 8 {
					t.Errorf("%d units are polled, want 8", n)
				}
			})
		})
	}
}

func TestASecondProcessWithTheSameIDIsRefused(t *testing.T) {
	inFleet(t, func(f *fleet) {
		f.join("a", unitsFor(1, 4))
		f.run(5 * time.Second)

		began := f.now()
		err := f.make("a").Join(context.Background())

		if !errors.Is(err, store.ErrNodeInUse) || f.now()-began > ttl+3*time.Second {
			t.Errorf("after %v: %v", f.now()-began, err)
		}
	})
}

func TestARowThatADeadProcessLeftIsWaitedFor(t *testing.T) {
	inFleet(t, func(f *fleet) {
		f.join("a", unitsFor(1, 4))
		f.run(5 * time.Second)
		f.kill("a")
		f.join("a", unitsFor(1, 4))
		f.run(2 * time.Second)
		f.balanced(4)
	})
}

func TestAStoreThatIsAwayAtTheStartIsWaitedFor(t *testing.T) {
	inFleet(t, func(f *fleet) {
		f.setAway(true)
		a := f.join("a", unitsFor(1, 4))
		f.run(time.Minute)

		if a.Trusted() {
			t.Error("a lease is trusted that nobody gave")
		}

		f.setAway(false)
		f.run(8 * time.Second)
		f.balanced(4)
	})
}

func TestAnIDTakenDuringAnOutageIsGivenUp(t *testing.T) {
	inFleet(t, func(f *fleet) {
		a := f.join("a", unitsFor(1, 4))
		f.run(5 * time.Second)
		f.stop(a, true)
		f.run(20 * time.Second)

		other := f.join("a", unitsFor(1, 4))
		f.stop(a, false)
		f.run(20 * time.Second)

		if len(a.holds()) != 0 || len(other.holds()) != 4 {
			t.Errorf("the old process polls %d, the new one %d", len(a.holds()), len(other.holds()))
		}
	})
}

func TestAWriteThatCrossesAHandOverIsNotCounted(t *testing.T) {
	inFleet(t, func(f *fleet) {
		a := f.join("a", unitsFor(1, 2))
		f.run(5 * time.Second)

		a.Lost(unitsFor(3, 3))

		if s := a.State(); s.Fenced != 0 || s.Lost != 0 || s.Held != 2 {
			t.Errorf("after a write for a unit that it does not hold: %+v", s)
		}

		a.Lost(unitsFor(2, 3))

		if s := a.State(); s.Fenced != 1 || s.Lost != 1 || s.Held != 1 {
			t.Errorf("after a write for one that it holds: %+v", s)
		}
	})
}

func TestTrustEndsThreeSecondsBeforeTheLease(t *testing.T) {
	inFleet(t, func(f *fleet) {
		a := f.join("a", nil)
		f.run(5 * time.Second)
		f.setAway(true)

		f.mu.Lock()
		left := time.Until(f.nodes["a"].expires)
		f.mu.Unlock()

		time.Sleep(left - trustMargin - time.Millisecond)

		if !a.Trusted() {
			t.Error("trust has ended early")
		}

		time.Sleep(2 * time.Millisecond)

		if a.Trusted() {
			t.Error("the lease is trusted within three seconds of its end")
		}

		f.setAway(false)
	})
}

// TestNoUnitIsEverPolledTwice lets nodes join, die, end, drain and stop, and the store go
// away, at random.
func TestNoUnitIsEverPolledTwice(t *testing.T) {
	for seed := range setup.Size(8, 1000) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inFleet(t, func(f *fleet) {
				f.rand = rand.New(rand.NewPCG(uint64(seed), 2))
				f.havoc(60)
			})
		})
	}
}

// havoc lets so many things happen, and then demands that all is well again.
func (f *fleet) havoc(events int) {
	const units = 40

	ids := []string{"a", "b", "c", "d"}
	stopped := map[string]bool{}

	for range events {
		id := ids[f.rand.IntN(len(ids))]
		p := f.live[id]

		switch n := f.rand.IntN(10); {
		case p == nil:
			p = f.make(id)

			joined := p.Join(context.Background()) == nil
			if joined {
				p.Want(p, unitsFor(1, units))

				f.live[id] = p
				stopped[id] = false
			}
		case n < 2 && !stopped[id]:
			f.kill(id)
		case n < 4 && !stopped[id]:
			f.end(id)
		case n == 4:
			_, _ = f.client().Drain(context.Background(), id, f.rand.IntN(2) == 0)
		case n == 5:
			f.setAway(true)
			f.run(time.Duration(f.rand.IntN(40)) * time.Second)
			f.setAway(false)
		case n < 8:
			stopped[id] = !stopped[id]
			f.stop(p, stopped[id])
		}

		f.run(time.Duration(f.rand.IntN(12_000)) * time.Millisecond)
	}

	for id, p := range f.live {
		f.stop(p, false)
		_, _ = f.client().Drain(context.Background(), id, false)
	}

	if len(f.live) == 0 {
		f.join("a", unitsFor(1, units))
	}

	f.run(3 * ttl)
	f.balanced(units)
}
