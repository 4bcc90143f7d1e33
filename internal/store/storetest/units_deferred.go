package storetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

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
