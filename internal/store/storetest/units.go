// Package storetest has the conformance tests of store.Units: every implementation,
// SQLite or a server database, runs the same.
package storetest

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
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
	// Reopen closes it in an orderly way and opens the same state again.
	Reopen func() store.Units
	// Advance moves the implementation's clocks forward.
	Advance func(time.Duration)
}

// TestUnits holds an implementation against the promises in the comments of
// store.Units. open gives a fresh one for each test.
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

		{"random operations give what a Go map gives", againstModel},
	} {
		t.Run(test.promise, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// Key makes unit keys: the same number, the same key.
func Key(n int) alert.UnitKey {
	return alert.UnitKey{
		LoginHost: "login.example",
		TenantID:  alert.TenantID(fmt.Sprintf("tenant-%05d", n)),
		API:       "graph",
	}
}

// Entries makes n seen entries of consecutive times.
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
		commit(
			t,
			b.Units,
			store.Commit{
				Key:        key,
				Checkpoint: store.Checkpoint{Watermark: tick.Tick(i + 1)},
				Seen:       Entries(tick.Tick(1000*i), i+1),
			},
		)
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

// deferred returns the deferred work of a unit with its events.
func deferred(t *testing.T, f store.Units, key alert.UnitKey) (all []store.Deferred) {
	t.Helper()

	list, err := f.ListDeferred(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	for _, l := range list {
		row, ok, err := f.DeferredEvents(t.Context(), key, l.ID)
		if err != nil || ok != (l.Kind != store.UnreadableWindow) || l.Events != nil {
			t.Errorf("DeferredEvents(%d) = %q, %t, %v; it is listed as %+v", l.ID, row, ok, err, l)
		}

		l.Events = row
		all = append(all, l)
	}

	return all
}

func deferredIsKept(t *testing.T, b Backend) {
	a := store.Deferred{
		Kind:    store.UnreadableWindow,
		From:    1,
		To:      2,
		Reason:  "HTTP 500",
		Tries:   1,
		NextTry: time.Unix(100, 5).UTC(),
	}
	row := store.Deferred{Kind: store.RejectedEvent, Events: []byte("{\x00\xff"), Reason: "refused"}

	var err error
	if a.ID, err = b.Units.PutDeferred(t.Context(), Key(1), a); err != nil || a.ID == 0 {
		t.Fatal(a.ID, err)
	}

	if row.ID, err = b.Units.PutDeferred(t.Context(), Key(1), row); err != nil || row.ID == a.ID {
		t.Fatal(row.ID, err)
	}

	a.Tries = 2
	if id, err := b.Units.PutDeferred(t.Context(), Key(1), a); err != nil || id != a.ID {
		t.Fatal(id, err)
	}

	expect := func(f store.Units, key alert.UnitKey, want ...store.Deferred) {
		t.Helper()

		if got := deferred(t, f, key); !reflect.DeepEqual(got, want) {
			t.Errorf("deferred: %+v; want %+v", got, want)
		}
	}
	expect(b.Units, Key(1), a, row)
	expect(b.Units, Key(2))

	for _, drop := range []struct {
		key alert.UnitKey
		id  int64
	}{{Key(2), row.ID}, {Key(1), a.ID}, {Key(1), a.ID}} {
		if err := b.Units.DropDeferred(t.Context(), drop.key, drop.id); err != nil {
			t.Error(err)
		}
	}

	f := b.Reopen()
	expect(f, Key(1), row)

	for _, gone := range []struct {
		key alert.UnitKey
		id  int64
	}{{Key(2), row.ID}, {Key(1), a.ID}, {Key(1), 99}} {
		if got, ok, err := f.DeferredEvents(t.Context(), gone.key, gone.id); err != nil || ok || got != nil {
			t.Errorf("DeferredEvents(%s, %d) = %q, %t, %v", gone.key.TenantID, gone.id, got, ok, err)
		}
	}
}

func deferredInACommit(t *testing.T, b Backend) {
	one := store.Deferred{Kind: store.ParkedBatch, Events: []byte("one"), Reason: "waiting"}
	two := store.Deferred{Kind: store.RejectedEvent, Events: []byte("two"), Reason: "waiting"}
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	c := []store.Commit{{Key: Key(1), Checkpoint: store.Checkpoint{Watermark: 5}, Deferred: []store.Deferred{one, two}}}
	if err := b.Units.Commit(ended, c); err == nil {
		t.Error("a commit whose context had ended was made")
	}

	if got := deferred(t, b.Units, Key(1)); len(got) != 0 {
		t.Errorf("after a commit that was not made: %+v", got)
	}

	commit(t, b.Units, c...)
	f := b.Reopen()

	got := deferred(t, f, Key(1))
	if len(got) != 2 || got[0].ID == 0 || got[0].ID == got[1].ID {
		t.Fatalf("deferred: %+v", got)
	}

	one.ID, two.ID = got[0].ID, got[1].ID
	if !reflect.DeepEqual(got, []store.Deferred{one, two}) {
		t.Errorf("deferred: %+v", got)
	}

	if cp, _, ok, err := f.Load(t.Context(), Key(1)); !ok || err != nil || cp.Watermark != 5 {
		t.Errorf("Load = %+v, %t, %v", cp, ok, err)
	}

	commit(t, f, store.Commit{Key: Key(1), Checkpoint: store.Checkpoint{Watermark: 6}, Dropped: []int64{one.ID}})

	if got := deferred(t, f, Key(1)); !reflect.DeepEqual(got, []store.Deferred{two}) {
		t.Errorf("after one was dropped: %+v", got)
	}
}

func rewindIsPending(t *testing.T, b Backend) {
	for n := 1; n <= 3; n++ {
		if err := b.Units.Rewind(t.Context(), Key(n), tick.Tick(n)); err != nil {
			t.Fatal(err)
		}
	}

	if err := b.Units.ClearRewind(t.Context(), Key(3)); err != nil {
		t.Fatal(err)
	}

	f := b.Reopen()
	for _, test := range []struct {
		ask  []alert.UnitKey
		want map[alert.UnitKey]tick.Tick
	}{
		{nil, map[alert.UnitKey]tick.Tick{Key(1): 1, Key(2): 2}},
		{[]alert.UnitKey{Key(2), Key(3)}, map[alert.UnitKey]tick.Tick{Key(2): 2}},
	} {
		if got, err := f.PendingRewind(t.Context(), test.ask...); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("PendingRewind(%v) = %v, %v", test.ask, got, err)
		}
	}
}

func rewindEarlierCounts(t *testing.T, b Backend) {
	for _, since := range []tick.Tick{50, 20, 70} {
		if err := b.Units.Rewind(t.Context(), Key(1), since); err != nil {
			t.Fatal(err)
		}
	}

	if got, err := b.Units.PendingRewind(t.Context()); err != nil || got[Key(1)] != 20 {
		t.Errorf("PendingRewind = %v, %v", got, err)
	}
}

func rewindApplied(t *testing.T, b Backend) {
	start := store.Checkpoint{
		Floor:     100,
		Watermark: 500,
		SeenSince: 300,
		Swept:     450,
		Lateness:  time.Second,
	}
	for i := range 40 {
		b.Advance(10 * time.Second)
		commit(t, b.Units, store.Commit{Key: Key(1), Checkpoint: start, Seen: Entries(tick.Tick(300+5*i), 5)})
	}

	if _, ok, err := b.Units.ApplyRewind(t.Context(), Key(1)); ok || err != nil {
		t.Errorf("nothing was requested: %v, %v", ok, err)
	}

	for _, test := range []struct {
		since tick.Tick
		want  store.Checkpoint
		seen  []store.Seen
	}{
		{402, store.Checkpoint{
			Floor:     100,
			Watermark: 402,
			SeenSince: 300,
			Swept:     450,
			Lateness:  time.Second,
		}, Entries(300, 102)},
		{50, store.Checkpoint{
			Floor:     50,
			Watermark: 50,
			SeenSince: 50,
			Swept:     450,
			Lateness:  time.Second,
		}, nil},
		{9000, store.Checkpoint{
			Floor:     50,
			Watermark: 50,
			SeenSince: 50,
			Swept:     450,
			Lateness:  time.Second,
		}, nil},
	} {
		if err := b.Units.Rewind(t.Context(), Key(1), test.since); err != nil {
			t.Fatal(err)
		}

		c, ok, err := b.Units.ApplyRewind(t.Context(), Key(1))
		if err != nil || !ok || c != test.want {
			t.Errorf("ApplyRewind(%d) = %+v, %v, %v; want %+v", test.since, c, ok, err, test.want)
		}

		b.Units = b.Reopen()
		Expect(t, b.Units, Key(1), test.want, test.seen)

		if got, err := b.Units.PendingRewind(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("still pending: %v, %v", got, err)
		}
	}
}

func rewindWithoutCheckpoint(t *testing.T, b Backend) {
	if err := b.Units.Rewind(t.Context(), Key(1), 5); err != nil {
		t.Fatal(err)
	}

	if _, ok, err := b.Units.ApplyRewind(t.Context(), Key(1)); ok || err != nil {
		t.Errorf("ApplyRewind = %v, %v", ok, err)
	}

	if got, err := b.Units.PendingRewind(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("still pending: %v, %v", got, err)
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

// fill gives a unit one of everything.
func fill(t *testing.T, u store.Units, key alert.UnitKey) {
	t.Helper()

	_, err := u.PutDeferred(t.Context(), key, store.Deferred{Kind: store.ParkedBatch})
	err = errors.Join(
		err,
		u.Commit(t.Context(), []store.Commit{{
			Key:        key,
			Checkpoint: store.Checkpoint{Floor: 1, Watermark: 100, SeenSince: 1},
			Seen:       Entries(10, 5),
		}}),
		u.SetStatus(t.Context(), map[alert.UnitKey]store.Status{key: {State: health.OK}}),
		u.Rewind(t.Context(), key, 5),
	)

	if err != nil {
		t.Fatal(err)
	}
}

// expectThere compares whether anything is known of a unit with what is expected.
func expectThere(t *testing.T, u store.Units, key alert.UnitKey, there bool) {
	t.Helper()

	_, seen, ok, loadErr := u.Load(t.Context(), key)
	_, status, statusErr := u.Status(t.Context(), key)
	list, listErr := u.ListDeferred(t.Context(), key)
	pending, pendingErr := u.PendingRewind(t.Context(), key)

	if err := errors.Join(loadErr, statusErr, listErr, pendingErr); err != nil {
		t.Error(err)
	}

	for what, got := range map[string]bool{
		"checkpoint":     ok,
		"seen-set":       len(seen) > 0,
		"status":         status,
		"deferred work":  len(list) > 0,
		"pending rewind": len(pending) > 0,
	} {
		if got != there {
			t.Errorf("%s of %s is there: %t", what, key.TenantID, got)
		}
	}
}

// model is what a store is to the caller.
type model struct {
	checkpoint store.Checkpoint
	has        bool
	seen       []store.Seen
}

// rewind takes the store and the model back to since.
func (m *model) rewind(t *testing.T, b Backend, key alert.UnitKey, since tick.Tick) {
	t.Helper()

	if err := b.Units.Rewind(t.Context(), key, since); err != nil {
		t.Fatal(err)
	}

	if _, ok, err := b.Units.ApplyRewind(t.Context(), key); err != nil || ok != m.has {
		t.Fatal(ok, err)
	}

	if !m.has {
		return
	}

	c := &m.checkpoint
	c.Floor = min(c.Floor, since)
	c.Watermark = min(c.Watermark, since)
	c.SeenSince = min(c.SeenSince, since)
	m.seen = slices.DeleteFunc(m.seen, func(e store.Seen) bool { return e.Time >= since })
}

func againstModel(t *testing.T, b Backend) {
	const units = 4

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	models := make([]model, units)

	var next tick.Tick = 1000

	for range 400 {
		n := rnd.IntN(units)
		m, key := &models[n], Key(n)

		switch rnd.IntN(12) {
		case 0:
			b.Units = b.Reopen()
		case 1:
			b.Advance(time.Duration(rnd.IntN(300)) * time.Second)
		case 2:
			m.rewind(t, b, key, next-tick.Tick(rnd.IntN(200)))
		default:
			c := store.Commit{Key: key, Seen: Entries(next, rnd.IntN(30))}
			next += tick.Tick(len(c.Seen))

			c.Checkpoint = store.Checkpoint{Floor: 1, Watermark: next, SeenSince: m.checkpoint.SeenSince}
			if rnd.IntN(3) == 0 {
				c.Checkpoint.SeenSince = max(c.Checkpoint.SeenSince, next-tick.Tick(rnd.IntN(500)))
			}

			m.checkpoint, m.has = c.Checkpoint, true
			m.seen = append(m.seen, c.Seen...)
			m.seen = slices.DeleteFunc(m.seen, func(e store.Seen) bool { return e.Time < m.checkpoint.SeenSince })

			commit(t, b.Units, c)
			b.Advance(time.Duration(rnd.IntN(20)) * time.Second)
		}

		if m.has {
			Expect(t, b.Units, key, m.checkpoint, m.seen)
		}

		if t.Failed() {
			return
		}
	}
}
