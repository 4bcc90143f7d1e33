package collect

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
)

// rig is one input with one unit: its API, its store and Fluent Bit are models. What a
// process leaves in the store, the next one finds, so a test starts and ends several. It
// runs in a synctest bubble.
//
// For many units beside each other there is crowd.
type rig struct {
	t     *testing.T
	api   *tenantAPI // what the unit reads
	chunk *chunks    // what Fluent Bit has
	store *memory
	log   lines

	// These are for the next process.
	cfg   UnitConfig // without encoder and identifier, which are made of rules
	rules alert.Rules
	limit int              // buffer_limit
	clock time.Duration    // how far its clock is ahead
	seen  *progress.Budget // nil for the usual one
	lease Lease            // nil where nobody shares the store

	in   *Input
	ends context.CancelFunc // ends the collect callback: nothing is delivered any more
}

// newRig returns a rig of a tenant of the SIEM API that is polled once a minute.
func newRig(t *testing.T) *rig { return newSeededRig(t, 1) }

// newSeededRig returns a rig whose API lists its alerts in an order of its own.
func newSeededRig(t *testing.T, seed uint64) *rig {
	r := &rig{
		t:     t,
		store: newMemory(),
		api:   newAPI(seed),
		chunk: &chunks{},
		limit: 1 << 20,
	}
	key := alert.UnitKey{LoginHost: "login.test", TenantID: "contoso.test", API: "siem"}
	r.rules = alert.Rules{API: alert.SIEM, TenantID: key.TenantID, Updates: true}
	r.cfg = UnitConfig{
		Key:           key,
		Name:          "contoso",
		PollInterval:  time.Minute,
		Lookback:      24 * time.Hour,
		Overlap:       10 * time.Minute,
		SweepInterval: time.Hour,
		SweepLookback: 24 * time.Hour,
		Reader:        r.api,
		SignIn:        func(context.Context) error { return nil },
	}

	return r
}

// start begins a process; its collect callback comes once a second.
func (r *rig) start() *Unit {
	r.in = NewInput(Config{
		Store:          r.store,
		Now:            func() time.Time { return time.Now().Add(r.clock) },
		BufferLimit:    r.limit,
		MaxConcurrency: 2,
		Seen:           r.seen,
		Lease:          r.lease,
		Log:            slog.New(&r.log),
	})
	unit := r.in.Add(r.config())

	r.ends = tick1s(r.in, r.chunk)
	r.in.Start()

	return unit
}

// startAndRest begins a process and waits until its unit has been polled twice and rests,
// between two ticks.
func (r *rig) startAndRest() *Unit {
	unit := r.start()

	time.Sleep(90*time.Second + betweenTicks)

	return unit
}

// tick1s is Fluent Bit's thread: it calls the collect callback of an input once a second.
// The function that it returns ends that.
func tick1s(in *Input, chunk *chunks) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})

	go func() {
		defer close(ended)

		for pause.For(ctx, time.Second) == nil {
			in.Delivery.Tick(chunk.append, time.Second)
		}
	}()

	return func() { cancel(); <-ended }
}

// betweenTicks moves what a test does away from whole seconds, where ticks and polls run:
// what changes in the middle of a tick is another story.
const betweenTicks = 300 * time.Millisecond

// tick calls the collect callback n times, a second apart, for a test that has ended
// Fluent Bit's thread.
func (r *rig) tick(n int) {
	for range n {
		time.Sleep(time.Second)
		r.in.Delivery.Tick(r.chunk.append, time.Second)
	}
}

// config is the unit's configuration with an encoder of its own.
func (r *rig) config() UnitConfig {
	cfg := r.cfg
	cfg.Encoder, cfg.Identifier = encoderOf(r.rules), identifierOf(r.rules)

	return cfg
}

// encoderOf returns the encoder of a tenant whose rows go by the given rules.
func encoderOf(rules alert.Rules) *record.Encoder {
	e, err := record.NewEncoder(record.Options{TenantID: rules.TenantID, API: rules.API})
	if err != nil {
		panic(err)
	}

	return e
}

// identifierOf returns what tells apart the versions of rows that go by the given rules.
func identifierOf(rules alert.Rules) *alert.Identifier {
	i, err := alert.NewIdentifier(rules)
	if err != nil {
		panic(err)
	}

	return i
}

// change does something to what the model's servers and host go by, or looks at it,
// while they stand still.
func (r *rig) change(what func()) {
	r.api.mu.Lock()
	defer r.api.mu.Unlock()

	r.chunk.mu.Lock()
	defer r.chunk.mu.Unlock()

	r.store.mu.Lock()
	defer r.store.mu.Unlock()

	what()
}

// checkpoint returns what the store has of the unit.
func (r *rig) checkpoint() (cp store.Checkpoint) {
	r.change(func() { cp = r.store.cps[r.cfg.Key] })
	return cp
}

// appends returns how many batches Fluent Bit was given.
func (r *rig) appends() (n int) {
	r.change(func() { n = r.chunk.appends })
	return n
}

// reads is how many windows were asked for.
func (r *rig) reads() (n int) {
	r.change(func() { n = len(r.api.reads) })
	return n
}

// stop ends the process in good order.
func (r *rig) stop() {
	r.ends()

	if err := r.in.Stop(context.Background()); err != nil {
		r.t.Errorf("stop: %v", err)
	}
}

// kill ends the process without a last word.
func (r *rig) kill() {
	r.ends()
	r.in.cancel()
	r.in.outbox.Close()
	r.in.wg.Wait()
}

// replace retires the unit and adds it again, as a changed tenants file does.
func (r *rig) replace() {
	r.in.Retire(r.cfg.Key, nil)
	r.in.Add(r.config())
}

// list lists the alerts 0 to n-1: each is updated this long after the one before, the
// first one at a moment, and is listed as soon as it is updated.
func (r *rig) list(n int, first time.Time, apart time.Duration) {
	for i := range n {
		at := first.Add(time.Duration(i) * apart)
		r.api.add(fmt.Sprint(i), at, at)
	}
}

// listNow lists the alerts from one to another, which are updated at this moment.
func (r *rig) listNow(first, last int) {
	for i := first; i <= last; i++ {
		r.api.add(fmt.Sprint(i), time.Now(), time.Now())
	}
}

// want fails the test unless exactly the alerts 0 to n-1 arrived, each at least once and
// not more often than most.
func (r *rig) want(n, most int) {
	r.t.Helper()
	counts := r.chunk.counts()
	lost, repeated := 0, 0

	for i := range n {
		switch c := counts[fmt.Sprint(i)]; {
		case c == 0:
			lost++
		case c > most:
			repeated++
		}
	}

	if lost > 0 || repeated > 0 || len(counts) != n {
		r.t.Errorf("of %d alerts %d were lost, %d repeated; %d others arrived", n, lost, repeated, len(counts)-n+lost)
	}
}

// wantOnce fails the test unless exactly these alerts arrived, each once.
func (r *rig) wantOnce(ids ...string) {
	r.t.Helper()

	counts := r.chunk.counts()
	for _, id := range ids {
		if counts[id] != 1 {
			r.t.Errorf("alert %s arrived %d times", id, counts[id])
		}
	}

	r.wantArrived(len(ids))
}

// wantArrived fails the test unless n alerts arrived, however often.
func (r *rig) wantArrived(n int) {
	r.t.Helper()

	if have := len(r.chunk.counts()); have != n {
		r.t.Errorf("%d alerts arrived; want %d", have, n)
	}
}

// wantDeferred fails the test unless the store holds n windows and rejected events.
// Parked batches do not count.
func (r *rig) wantDeferred(n int) {
	r.t.Helper()

	have := 0

	r.change(func() {
		for _, d := range r.store.deferred {
			if d.Kind != store.ParkedBatch {
				have++
			}
		}
	})

	if have != n {
		r.t.Errorf("%d windows and rejected events are deferred; want %d", have, n)
	}
}

// wantState fails the test unless a unit is shown in a state, with a message that has a
// text in it.
func (r *rig) wantState(u *Unit, state health.State, text string) {
	r.t.Helper()

	if s := u.snapshot(); s.State != state || !strings.Contains(s.Message, text) {
		r.t.Errorf("the unit is shown as %s: %q; want %s: %q", s.State, s.Message, state, text)
	}
}

// wantLogged fails the test unless n lines of the log have a text in them.
func (r *rig) wantLogged(text string, n int) {
	r.t.Helper()

	if have := r.log.count(text); have != n {
		r.t.Errorf("%d lines have %q, want %d:\n%s", have, text, n, r.log.text())
	}
}
