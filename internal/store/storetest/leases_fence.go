package storetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

var fencePromises = []promise{
	{"a commit names the units that were lost, and no other", commitNamesLost},
	{"every write of the old owner is refused", oldOwnerIsFenced},
	{"what was never claimed is refused, too", unclaimedIsFenced},
	{"a unit that came back is written again", cameBack},
	{"reading and asking for a rewind need no lease", readersNeedNoLease},
	{"a unit that a live node holds is not forgotten", heldIsNotForgotten},
	{"a commit that races a claim is there or refused", commitRacesClaim},
}

// lost returns a node that has lost units to another one.
func (f *fleet) lost(keys ...alert.UnitKey) (old, owner *member) {
	f.t.Helper()

	old, owner = f.join("old"), f.join("new")
	old.claim(store.Claim{Units: tenants(3)}, tenants(3)...)

	for _, key := range tenants(3) {
		fill(f.t, old, key)
	}

	f.Advance(2 * replay) // what was done so far stays
	f.expire(owner)
	old.renew()
	f.expire(owner)
	owner.takeOver(keys...)

	return old, owner
}

func commitNamesLost(t *testing.T, f *fleet) {
	old, owner := f.lost(keys(0, 2)...)

	const changed tick.Tick = 777

	var commits []store.Commit
	for _, key := range tenants(3) {
		commits = append(commits, store.Commit{
			Key:        key,
			Checkpoint: store.Checkpoint{Watermark: changed},
			Seen:       Entries(changed, 2),
			Deferred:   []store.Deferred{{Kind: store.ParkedBatch, Events: []byte("parked"), Reason: "new"}},
		})
	}

	expectFenced(t, old.Commit(t.Context(), commits), keys(0, 2)...)

	for _, key := range tenants(3) {
		c, _, _, err := owner.Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}

		written := key == Key(1)
		if (c.Watermark == changed) != written {
			t.Errorf("%v: written %t, and its watermark is %d", key, written, c.Watermark)
		}

		list, err := owner.ListDeferred(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}

		parked := 0

		for _, d := range list {
			if d.Reason == "new" {
				parked++
			}
		}

		if (parked > 0) != written {
			t.Errorf("%v: written %t, and it has %d parked batches", key, written, parked)
		}
	}

	old.holds(Key(1))
	commit(t, old, store.Commit{Key: Key(1), Checkpoint: sample})
}

// writes are all calls that change what a poller owns of a unit.
var writes = []struct {
	name string
	call func(ctx context.Context, s store.Store, key alert.UnitKey, deferred int64) error
}{
	{"Commit", func(ctx context.Context, s store.Store, key alert.UnitKey, _ int64) error {
		return s.Commit(ctx, []store.Commit{{Key: key, Checkpoint: sample, Seen: Entries(1000, 1)}})
	}},
	{"a Commit that drops", func(ctx context.Context, s store.Store, key alert.UnitKey, deferred int64) error {
		return s.Commit(ctx, []store.Commit{{Key: key, Checkpoint: sample, Dropped: []int64{deferred}}})
	}},
	{"SetStatus", func(ctx context.Context, s store.Store, key alert.UnitKey, _ int64) error {
		return s.SetStatus(ctx, map[alert.UnitKey]store.Status{key: {State: "stopped"}})
	}},
	{"PutDeferred", func(ctx context.Context, s store.Store, key alert.UnitKey, _ int64) error {
		_, err := s.PutDeferred(ctx, key, store.Deferred{Kind: store.RejectedEvent, Events: []byte("x")})
		return err
	}},
	{"PutDeferred of what is there", func(ctx context.Context, s store.Store, key alert.UnitKey, deferred int64) error {
		_, err := s.PutDeferred(ctx, key, store.Deferred{
			ID:    deferred,
			Kind:  store.UnreadableWindow,
			From:  1,
			To:    2,
			Tries: 9,
		})

		return err
	}},
	{"DropDeferred", func(ctx context.Context, s store.Store, key alert.UnitKey, deferred int64) error {
		return s.DropDeferred(ctx, key, deferred)
	}},
	{"ApplyRewind", func(ctx context.Context, s store.Store, key alert.UnitKey, _ int64) error {
		_, _, err := s.ApplyRewind(ctx, key)
		return err
	}},
}

// everything is all that is known of a unit.
type everything struct {
	checkpoint store.Checkpoint
	seen       []store.Seen
	status     store.Status
	deferred   []store.Deferred
	rewind     map[alert.UnitKey]tick.Tick
}

// read reads everything.
func read(t *testing.T, s store.Store, key alert.UnitKey) (all everything) {
	t.Helper()

	var errs [4]error

	all.checkpoint, all.seen, _, errs[0] = s.Load(t.Context(), key)
	all.status, _, errs[1] = s.Status(t.Context(), key)
	all.rewind, errs[2] = s.PendingRewind(t.Context(), key)
	all.deferred, errs[3] = s.ListDeferred(t.Context(), key)
	all.seen = order(all.seen)

	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}

	return all
}

func oldOwnerIsFenced(t *testing.T, f *fleet) {
	old, owner := f.lost(Key(1))
	before := read(t, owner, Key(1))

	if len(before.deferred) == 0 || len(before.rewind) == 0 || len(before.seen) == 0 {
		t.Fatalf("nothing to protect: %+v", before)
	}

	for _, write := range writes {
		err := write.call(t.Context(), old, Key(1), before.deferred[0].ID)
		if err == nil {
			t.Errorf("%s was carried out", write.name)
			continue
		}

		expectFenced(t, err, Key(1))

		if after := read(t, owner, Key(1)); !reflect.DeepEqual(after, before) {
			t.Errorf("%s changed\n%+v\nto\n%+v", write.name, before, after)
		}

		other := read(t, old, Key(2))
		if err := write.call(t.Context(), old, Key(2), other.deferred[0].ID); err != nil {
			t.Errorf("%s of a unit that it holds: %v", write.name, err)
		}

		fill(t, old, Key(2))
	}
}

func unclaimedIsFenced(t *testing.T, f *fleet) {
	a := f.join("a", Key(1))
	fill(t, a, Key(1))
	list := read(t, a, Key(1)).deferred
	a.leave()

	for _, m := range []*member{a, f.join("b")} {
		for _, write := range writes {
			expectFenced(t, write.call(t.Context(), m, Key(1), list[0].ID), Key(1))
		}
	}
}

func cameBack(t *testing.T, f *fleet) {
	old, owner := f.lost(Key(1))
	owner.release(true, Key(1))
	expectFenced(t, old.Commit(t.Context(), []store.Commit{{Key: Key(1), Checkpoint: sample}}), Key(1))

	old.renew()
	old.claim(store.Claim{Units: keys(1)}, Key(1))
	commit(t, old, store.Commit{Key: Key(1), Checkpoint: sample})
	expectFenced(t, owner.Commit(t.Context(), []store.Commit{{Key: Key(1), Checkpoint: sample}}), Key(1))
}

func readersNeedNoLease(t *testing.T, f *fleet) {
	a, reader := f.join("a", Key(1)), f.open(false)
	fill(t, a, Key(1))

	if err := reader.Rewind(t.Context(), Key(1), 3); err != nil {
		t.Error(err)
	}

	got, want := read(t, reader, Key(1)), read(t, a, Key(1))
	if !reflect.DeepEqual(got, want) || got.rewind[Key(1)] != 3 {
		t.Errorf("the reader sees %+v, the owner %+v", got, want)
	}

	if _, ok, err := a.ApplyRewind(t.Context(), Key(1)); !ok || err != nil {
		t.Errorf("ApplyRewind = %t, %v", ok, err)
	}
}

func heldIsNotForgotten(t *testing.T, f *fleet) {
	a, other := f.join("a", Key(1)), f.open(false)
	fill(t, a, Key(1))
	before := read(t, a, Key(1))

	if known, err := other.Forget(t.Context(), Key(1)); known || !errors.Is(err, store.ErrInUse) {
		t.Errorf("Forget of what a live node holds = %t, %v", known, err)
	}

	if after := read(t, a, Key(1)); !reflect.DeepEqual(after, before) {
		t.Errorf("it changed\n%+v\nto\n%+v", before, after)
	}

	a.release(true, Key(1))

	if known, err := other.Forget(t.Context(), Key(1)); !known || err != nil {
		t.Errorf("Forget of what nobody holds = %t, %v", known, err)
	}

	a.claim(store.Claim{Units: keys(1)}, Key(1)) // it begins anew
	expectThere(t, a, Key(1), false)
	f.expire()

	if known, err := other.Forget(t.Context(), Key(1)); !known || err != nil {
		t.Errorf("Forget of what an expired node held = %t, %v", known, err)
	}

	a.holds()
}

func commitRacesClaim(t *testing.T, f *fleet) {
	const rounds = 40

	// Nothing is undone, so that what was committed can be seen after the claim.
	n := node("a")
	n.TakeoverReplay = 0
	owner := f.joinAs(n, keys(1, 2)...)
	n.ID = "b"
	other := f.joinAs(n)

	for i := range rounds {
		f.expire(other)
		raceCommit(t, owner, other, i)
		f.Advance(time.Second)

		owner, other = other, owner
	}
}

// raceCommit has a node commit while another one claims its units, and checks that what
// was committed is in the store and what was refused is not.
func raceCommit(t *testing.T, owner, other *member, round int) {
	t.Helper()

	mark := tick.Tick(1000 + round)

	var (
		commits           []store.Commit
		wait              sync.WaitGroup
		committed, failed error
		claimed           []store.Holding
	)

	for _, key := range keys(1, 2) {
		commits = append(commits, store.Commit{
			Key:        key,
			Checkpoint: store.Checkpoint{Watermark: mark},
			Seen:       Entries(mark, 1),
		})
	}

	wait.Go(func() {
		spin(100)

		committed = owner.Commit(t.Context(), commits)
	})
	wait.Go(func() {
		spin(5 * round)

		claimed, failed = other.Claim(t.Context(), store.Claim{Units: keys(1, 2), Most: 2, Expired: true})
	})
	wait.Wait()

	var fenced *store.FencedError
	if failed != nil || committed != nil && !errors.As(committed, &fenced) {
		t.Fatal(failed, committed)
	}

	for _, key := range keys(1, 2) {
		c, _, _, err := other.Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}

		refused := fenced != nil && slices.Contains(fenced.Units, key)
		if written := c.Watermark == mark; written == refused {
			t.Fatalf("round %d: refused %t, and it is in the store: %t", round, refused, written)
		}
	}

	// What the commit had locked may have been skipped.
	rest := slices.DeleteFunc(keys(1, 2), func(key alert.UnitKey) bool {
		return slices.Contains(keysOf(claimed), key)
	})
	if len(rest) > 0 {
		other.takeOver(rest...)
	}
}
