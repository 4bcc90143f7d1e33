package storetest

import (
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// joinWithClock is join for a node whose clock is ahead by this much.
func (f *fleet) joinWithClock(id string, by time.Duration, keys ...alert.UnitKey) *member {
	f.t.Helper()

	m := &member{
		Shared: f.Open(f.t, true, func() time.Time { return time.Now().Add(by) }),
		t:      f.t,
		id:     id,
	}
	f.t.Cleanup(func() { m.Close() })

	if err := m.Join(f.t.Context(), node(id)); err != nil {
		f.t.Fatal(err)
	}

	m.claim(store.Claim{Units: keys}, keys...)

	return m
}

// timesKept hands a unit from a node to one with another clock.
func timesKept(t *testing.T, f *fleet) {
	const off = time.Hour

	fast, slow := f.joinWithClock("fast", off, Key(1)), f.joinWithClock("slow", -off)
	begin := time.Now().Truncate(time.Hour).Add(30 * time.Minute) // far from the end of an hour

	ownTime := func(by, after time.Duration) time.Time { return begin.Add(by + after) }
	hours := func(by time.Duration) (h health.Hours) {
		for _, ago := range []time.Duration{5 * time.Hour, time.Hour, time.Hour, 0} {
			h.Add(ownTime(by, -ago))
		}

		return h
	}

	put := store.Deferred{Kind: store.RejectedEvent, Events: []byte("a"), NextTry: ownTime(off, 5*time.Minute)}
	if _, err := fast.PutDeferred(t.Context(), Key(1), put); err != nil {
		t.Fatal(err)
	}

	put.NextTry = time.Time{}
	inCommit := store.Deferred{Kind: store.RejectedEvent, Events: []byte("b"), NextTry: ownTime(off, 5*time.Minute)}
	commit(t, fast, store.Commit{Key: Key(1), Checkpoint: at(1000), Deferred: []store.Deferred{put, inCommit}})

	shown := store.Status{LastSuccess: ownTime(off, 0), Hours: hours(off), RelationshipEnd: begin}
	if err := fast.SetStatus(t.Context(), map[alert.UnitKey]store.Status{Key(1): shown}); err != nil {
		t.Fatal(err)
	}

	fast.release(true, Key(1))
	slow.claim(store.Claim{Units: keys(1)}, Key(1))

	near := func(got, want time.Time) bool { return got.Sub(want).Abs() < time.Minute }

	list := deferred(t, slow, Key(1))
	if want := ownTime(-off, 5*time.Minute); len(list) != 3 || !near(list[0].NextTry, want) ||
		!list[1].NextTry.IsZero() || !near(list[2].NextTry, want) {
		t.Errorf("deferred are %+v, want them to be tried at %v", list, want)
	}

	got, _, err := slow.Status(t.Context(), Key(1))
	if err != nil || !near(got.LastSuccess, ownTime(-off, 0)) || got.Hours != hours(-off) ||
		!got.RelationshipEnd.Equal(begin) {
		t.Errorf("the status is %+v, %v", got, err)
	}
}

func clocksOff(t *testing.T, f *fleet) {
	slow := f.joinWithClock("slow", -48*time.Hour, keys(1)...)
	fast := f.joinWithClock("fast", 48*time.Hour, keys(2)...)

	for _, m := range []*member{slow, fast} {
		m.claim(store.Claim{Units: keys(1, 2), Expired: true})
	}

	commit(t, slow, store.Commit{Key: Key(1), Checkpoint: at(1000), Seen: Entries(900, 10)})
	commit(t, fast, store.Commit{Key: Key(2), Checkpoint: at(1000), Seen: Entries(900, 10)})
	f.Advance(replay + time.Hour)
	slow.renew()
	fast.renew()
	commit(t, slow, store.Commit{Key: Key(1), Checkpoint: at(2000), Seen: Entries(1900, 10)})
	f.Advance(ttl - time.Minute)
	fast.renew()
	fast.claim(store.Claim{Units: keys(1), Expired: true})
	f.Advance(2 * time.Minute)
	fast.takeOver(Key(1))
	Expect(t, fast, Key(1), marked(at(1000)), Entries(900, 10))

	slow.renew()
	f.expire(slow)
	slow.takeOver(keys(1, 2)...)
	Expect(t, slow, Key(2), marked(at(1000)), Entries(900, 10))
}
