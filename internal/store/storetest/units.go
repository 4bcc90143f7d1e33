package storetest

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// Backend is an implementation under test.
type Backend struct {
	// Units is opened on an empty state.
	Units store.Units
	// Reopen closes it properly and opens the same state again.
	Reopen func() store.Units
	// Crash lets the machine crash, and opens the state as it is polled afterwards, here
	// or on another machine. It is nil for openings without inputs.
	Crash func() store.Units
	// Advance moves the implementation's clocks forward.
	Advance func(time.Duration)
}

// TestUnits tests that an implementation keeps the promises in the comments of
// store.Units. open returns a fresh one for each test.
func TestUnits(t *testing.T, open func(t *testing.T) Backend) {
	for _, test := range []struct {
		promise string
		run     func(t *testing.T, b Backend)
	}{
		{"a unit that was never committed is not there", unknownUnit},
		{"what was committed is loaded, after reopening too", committedIsLoaded},
		{"units that differ in one part of the key do not mix", keysDoNotMix},
		{"entries older than SeenSince are left out", prunedIsLeftOut},
		{"an empty commit changes nothing", emptyCommit},
		{"a context that has ended stops a call before it begins", endedContext},

		{"statuses replace each other", statuses},
		{"deferred work is kept, changed and dropped", deferredIsKept},
		{"a commit defers, with all the rest or not at all", deferredInACommit},

		{"a rewind is pending until it is applied or cleared", rewindIsPending},
		{"of two rewinds the earlier counts", rewindEarlierCounts},
		{"a rewind takes the checkpoint back and forgets what is to be emitted again", rewindApplied},
		{"a rewind of a unit without a checkpoint is removed", rewindWithoutCheckpoint},

		{"a unit that is forgotten begins anew, and no other does", forgotten},

		{"a crash undoes what was committed in the last CrashWindow", crashed},

		{"random operations have the same results as with a Go map", againstModel},
	} {
		t.Run(test.promise, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// crashStep is the time between two commits of crashed, of which there are crashSteps.
const (
	crashStep  = 10 * time.Second
	crashSteps = 3 * int(store.CrashWindow/crashStep)
)

// crashed commits for three windows, and lets the machine crash.
func crashed(t *testing.T, b Backend) {
	if b.Crash == nil {
		t.Skip("nothing is undone")
	}

	key := Key(1)
	commitSteps(t, b, key)

	after := b.Crash()

	c, seen, ok, err := after.Load(t.Context(), key)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}

	// How much older than the window the state may be depends on the implementation.
	newest := tick.Tick(1000 * (crashSteps - int(store.CrashWindow/crashStep) + 1))
	if oldest := newest - 4000; c.Watermark > newest || c.Watermark < oldest {
		t.Errorf("the watermark is %d, want at most %d and at least %d", c.Watermark, newest, oldest)
	}

	for _, e := range seen {
		if e.Time > newest+2 {
			t.Errorf("what was committed in the window counts as seen: %d", e.Time)
		}
	}

	if n := 2 * (crashSteps - int(store.CrashWindow/crashStep) - 1); len(seen) < n {
		t.Errorf("%d entries are left of at least %d that are older", len(seen), n)
	}

	if list := deferred(t, after, key); len(list) != 1 || string(list[0].Events) != "late" {
		t.Errorf("deferred: %+v; want what was done in the window, and that alone", list)
	}
}

// commitSteps commits once each step, and defers two things: one is done early, the other
// with the last commit.
func commitSteps(t *testing.T, b Backend, key alert.UnitKey) {
	t.Helper()

	var (
		early = store.Deferred{Kind: store.RejectedEvent, Events: []byte("early"), Reason: "r"}
		late  = store.Deferred{Kind: store.RejectedEvent, Events: []byte("late"), Reason: "r"}
		err   error
	)

	for n := 1; n <= crashSteps; n++ {
		at := tick.Tick(1000 * n)
		commit(t, b.Units, store.Commit{
			Key:        key,
			Checkpoint: store.Checkpoint{Floor: 1, Watermark: at, SeenSince: 1},
			Seen:       Entries(at, 2),
		})

		switch n {
		case 1:
			for _, d := range []*store.Deferred{&early, &late} {
				if d.ID, err = b.Units.PutDeferred(t.Context(), key, *d); err != nil {
					t.Fatal(err)
				}
			}
		case 2:
			err = b.Units.DropDeferred(t.Context(), key, early.ID)
		case crashSteps:
			err = b.Units.DropDeferred(t.Context(), key, late.ID)
		}

		if err != nil {
			t.Fatal(err)
		}

		b.Advance(crashStep)
	}
}

// Key returns the nth unit key of the tests.
func Key(n int) alert.UnitKey {
	return alert.UnitKey{
		LoginHost: "login.example",
		TenantID:  alert.TenantID(fmt.Sprintf("tenant-%05d", n)),
		API:       "graph",
	}
}

// Entries returns n seen entries with consecutive times.
func Entries(first tick.Tick, n int) []store.Seen {
	seen := make([]store.Seen, n)
	for i := range seen {
		seen[i].Time = first + tick.Tick(i)
		binary.BigEndian.PutUint64(seen[i].Key[:], uint64(seen[i].Time)*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(seen[i].Key[8:], uint64(seen[i].Time))
	}

	return seen
}

func order(seen []store.Seen) []store.Seen {
	slices.SortFunc(seen, func(a, b store.Seen) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), slices.Compare(a.Key[:], b.Key[:]))
	})

	return seen
}

func commit(t *testing.T, f store.Units, commits ...store.Commit) {
	t.Helper()

	if err := f.Commit(t.Context(), commits); err != nil {
		t.Fatal(err)
	}
}

// Expect loads a unit and compares it.
func Expect(t *testing.T, f store.Units, key alert.UnitKey, want store.Checkpoint, seen []store.Seen) {
	t.Helper()

	c, got, ok, err := f.Load(t.Context(), key)
	if err != nil || !ok {
		t.Fatalf("Load(%v) = %v, %v", key, ok, err)
	}

	if c != want {
		t.Errorf("%v: checkpoint is %+v, want %+v", key, c, want)
	}

	if got, seen = order(got), order(slices.Clone(seen)); !slices.Equal(got, seen) {
		t.Errorf("%v: %d seen entries, want %d", key, len(got), len(seen))
	}
}

func unknownUnit(t *testing.T, b Backend) {
	c, seen, ok, err := b.Units.Load(t.Context(), Key(1))
	if err != nil || ok || len(seen) != 0 || c != (store.Checkpoint{}) {
		t.Errorf("Load = %v, %v, %v, %v", c, seen, ok, err)
	}

	if keys, err := b.Units.Keys(t.Context()); err != nil || len(keys) != 0 {
		t.Errorf("Keys = %v, %v", keys, err)
	}
}

var sample = store.Checkpoint{
	Floor:     1,
	Watermark: 16014749601234567,
	SeenSince: 3,
	Swept:     4,
	Lateness:  90 * time.Second,
}

func committedIsLoaded(t *testing.T, b Backend) {
	commit(
		t,
		b.Units,
		store.Commit{Key: Key(1), Checkpoint: sample, Seen: Entries(10, 3)},
		store.Commit{Key: Key(2), Checkpoint: sample},
	)
	commit(t, b.Units, store.Commit{Key: Key(1), Checkpoint: sample, Seen: Entries(100, 2)})

	for range 2 {
		Expect(t, b.Units, Key(1), sample, append(Entries(10, 3), Entries(100, 2)...))
		Expect(t, b.Units, Key(2), sample, nil)

		keys, err := b.Units.Keys(t.Context())
		if err != nil || !slices.Equal(keys, []alert.UnitKey{Key(1), Key(2)}) {
			t.Errorf("Keys = %v, %v", keys, err)
		}

		b.Units = b.Reopen()
	}
}

func keysDoNotMix(t *testing.T, b Backend) {
	keys := []alert.UnitKey{
		{
			LoginHost: "h",
			TenantID:  "t",
			API:       "graph",
		},
		{LoginHost: "h2", TenantID: "t", API: "graph"},
		{LoginHost: "h", TenantID: "t2", API: "graph"},
		{LoginHost: "h", TenantID: "t", API: "siem"},
		{
			LoginHost: "h",
			TenantID:  "t",
			API:       "graph",
			StateID:   "x",
		},
		{LoginHost: "ht", TenantID: "", API: "graph"},
	}
	for i, key := range keys {
		commit(t, b.Units, store.Commit{
			Key:        key,
			Checkpoint: store.Checkpoint{Watermark: tick.Tick(i + 1)},
			Seen:       Entries(tick.Tick(1000*i), i+1),
		})
	}

	for i, key := range keys {
		Expect(t, b.Units, key, store.Checkpoint{Watermark: tick.Tick(i + 1)}, Entries(tick.Tick(1000*i), i+1))
	}
}

func prunedIsLeftOut(t *testing.T, b Backend) {
	c := sample
	commit(t, b.Units, store.Commit{Key: Key(1), Checkpoint: c, Seen: Entries(10, 10)})
	c.SeenSince = 15
	commit(t, b.Units, store.Commit{Key: Key(1), Checkpoint: c})
	Expect(t, b.Units, Key(1), c, Entries(15, 5))
	c.SeenSince = 18

	for i := range 100 { // long enough for the entries to leave the file
		b.Advance(time.Minute)
		commit(t, b.Units, store.Commit{Key: Key(1), Checkpoint: c, Seen: Entries(tick.Tick(1000+i), 1)})
	}

	Expect(t, b.Reopen(), Key(1), c, append(Entries(18, 2), Entries(1000, 100)...))
}

func emptyCommit(t *testing.T, b Backend) {
	commit(t, b.Units)
	commit(t, b.Units, store.Commit{Key: Key(1), Checkpoint: sample})
	commit(t, b.Units)
	Expect(t, b.Units, Key(1), sample, nil)
}

func endedContext(t *testing.T, b Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if err := b.Units.Commit(ctx, []store.Commit{{Key: Key(1), Checkpoint: sample}}); err == nil {
		t.Error("Commit worked")
	}

	if _, _, _, err := b.Units.Load(ctx, Key(1)); err == nil {
		t.Error("Load worked")
	}

	if keys, _ := b.Units.Keys(t.Context()); len(keys) != 0 {
		t.Errorf("Keys = %v", keys)
	}
}

func statuses(t *testing.T, b Backend) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	one := store.Status{
		TenantName: "Contoso \"quoted\" ü",
		ClientID:   "c",
		State:      "failing",
		Trouble: health.Trouble{
			Reason:  advice.TokenDead,
			Message: "the refresh token has expired (AADSTS700082)",
			Remedy:  "sign in",
			Trace:   "trace id 1",
		},
		Since:             at,
		LastSuccess:       at,
		LastAlert:         at,
		LagSeconds:        1.25,
		Emitted:           1 << 63,
		Repeats:           2,
		Polls:             3,
		Errors:            4,
		Deferred:          5,
		EffectiveInterval: time.Minute,
		UpdatedAt:         at,
	}

	two := store.Status{State: "ok"}
	for _, step := range []map[alert.UnitKey]store.Status{{Key(1): two, Key(2): two}, {Key(1): one}, {}} {
		if err := b.Units.SetStatus(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}

	f := b.Reopen()

	got, err := f.Statuses(t.Context())
	if want := map[alert.UnitKey]store.Status{Key(1): one, Key(2): two}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Statuses = %+v, %v; want %+v", got, err, want)
	}

	if got, ok, err := f.Status(t.Context(), Key(1)); err != nil || !ok || !reflect.DeepEqual(got, one) {
		t.Errorf("Status = %+v, %t, %v", got, ok, err)
	}

	if got, ok, err := f.Status(t.Context(), Key(3)); err != nil || ok || !reflect.DeepEqual(got, store.Status{}) {
		t.Errorf("of a unit without one: %+v, %t, %v", got, ok, err)
	}
}

func forgotten(t *testing.T, b Backend) {
	for n := range 3 {
		fill(t, b.Units, Key(n))
	}

	if known, err := b.Units.Forget(t.Context(), Key(1)); err != nil || !known {
		t.Errorf("Forget = %t, %v", known, err)
	}

	if known, err := b.Units.Forget(t.Context(), Key(7)); err != nil || known {
		t.Errorf("Forget of one that never was = %t, %v", known, err)
	}

	for n := range 3 {
		expectThere(t, b.Units, Key(n), n != 1)
	}

	again := b.Reopen()
	for n := range 3 {
		expectThere(t, again, Key(n), n != 1)
	}
}
