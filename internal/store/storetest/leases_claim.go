package storetest

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

var claimPromises = []promise{
	{"a claim takes free units, and no more than asked for", claimTakesFree},
	{"a unit that a node holds is not claimed by another", heldIsNotClaimed},
	{"expired is not dead: the owner goes on", expiredGoesOn},
	{"an expired unit is claimed only where that is allowed", expiredNeedsLeave},
	{"a node that has expired itself claims nothing", expiredClaimsNothing},
	{"what an earlier run left behind is taken over at once", leftovers},
	{"units whose home a node is come first", homeFirst},
	{"units whose home is another live node come last", foreignHomeLast},
	{"what has been free for a short time stays", freeFor},
	{"what has expired a short time ago stays", expiredFor},
	{"an epoch grows with each change of hands", epochsGrow},
	{"nodes that claim at once share the units", claimedAtOnce},
	{"a renewal that races a claim leaves one owner", renewalRacesClaim},
}

func claimTakesFree(t *testing.T, f *fleet) {
	a := f.join("a")
	a.claim(store.Claim{})

	got, err := a.Claim(t.Context(), store.Claim{Units: tenants(10), Most: 4})
	if err != nil || len(got) != 4 {
		t.Fatalf("Claim of 4 = %v, %v", got, err)
	}

	a.holds(keysOf(got)...)

	for _, h := range got {
		if h.Takeover || h.Epoch == 0 {
			t.Errorf("%+v", h)
		}
	}

	a.claim(store.Claim{Units: keys(20)}, Key(20)) // what is known says nothing of other units
	a.holds(append(keysOf(got), Key(20))...)

	if c, seen, ok, err := a.Load(t.Context(), Key(20)); ok || c.Replay || len(seen) != 0 || err != nil {
		t.Errorf("a unit that was made has %+v, %d seen, %t, %v", c, len(seen), ok, err)
	}
}

func heldIsNotClaimed(_ *testing.T, f *fleet) {
	a, b := f.join("a", keys(1, 2)...), f.join("b")
	b.claim(store.Claim{Units: keys(1, 2, 3), Expired: true}, Key(3))
	a.claim(store.Claim{Units: keys(1, 2, 3)})
	a.holds(keys(1, 2)...)
	b.holds(Key(3))
}

func expiredGoesOn(t *testing.T, f *fleet) {
	a := f.join("a", Key(1))
	b := f.join("b")

	commit(t, a, store.Commit{Key: Key(1), Checkpoint: sample, Seen: Entries(10, 3)})
	f.expire(b)
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: sample, Seen: Entries(20, 3)})

	held := a.holds(Key(1)).Held
	if held[0].Takeover {
		t.Error("it took its own unit over")
	}

	b.claim(store.Claim{Units: keys(1), Expired: true})
	Expect(t, a, Key(1), sample, append(Entries(10, 3), Entries(20, 3)...))
}

func expiredNeedsLeave(_ *testing.T, f *fleet) {
	f.join("a", Key(1))
	b := f.join("b")
	f.expire(b)
	b.claim(store.Claim{Units: keys(1)})
	b.takeOver(Key(1))
	b.holds(Key(1))
}

func expiredClaimsNothing(_ *testing.T, f *fleet) {
	a := f.join("a")
	f.expire()
	a.claim(store.Claim{Units: keys(1), Expired: true})
	a.renew()
	a.claim(store.Claim{Units: keys(1)}, Key(1))
}

func leftovers(t *testing.T, f *fleet) {
	a := f.join("a", keys(1, 2)...)
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: sample})
	f.expire()

	again := f.join("a")

	for _, h := range again.claim(store.Claim{Units: keys(1, 2, 3)}, keys(1, 2, 3)...) {
		if h.Takeover != (h.Key != Key(3)) {
			t.Errorf("%v: a takeover: %t", h.Key, h.Takeover)
		}
	}

	if c, _, ok, err := again.Load(t.Context(), Key(1)); err != nil || !ok || !c.Replay {
		t.Errorf("Load = %+v, %t, %v", c, ok, err)
	}
}

func homeFirst(_ *testing.T, f *fleet) {
	all := tenants(20)
	home := keys(3, 8, 17)

	a := f.join("a", home...)
	a.leave()

	b := f.join("b", all...) // they stay at home with a
	b.leave()

	a = f.join("a")
	a.claim(store.Claim{Units: all, Most: 3}, home...)
}

func foreignHomeLast(_ *testing.T, f *fleet) {
	a := f.join("a", keys(1, 2)...)
	b := f.join("b", keys(3, 4)...)
	c := f.join("c")

	a.release(false, keys(1, 2)...)
	f.Advance(time.Minute) // so that they are not the first because of their age
	b.release(true, keys(3, 4)...)
	c.claim(store.Claim{Units: keys(1, 2, 3, 4), Most: 2}, keys(3, 4)...)
	a.leave() // who is not there has no right of way
	c.claim(store.Claim{Units: keys(1, 2)}, keys(1, 2)...)
}

func freeFor(_ *testing.T, f *fleet) {
	a, b := f.join("a", keys(1, 2)...), f.join("b")
	a.release(true, Key(1))

	wait := store.Claim{Units: keys(1, 2, 3), FreeFor: 10 * time.Minute}
	b.claim(wait) // the third is new
	f.Advance(8 * time.Minute)
	a.release(true, Key(2))
	b.claim(wait)
	f.Advance(3 * time.Minute)
	b.claim(wait, Key(1), Key(3))
	f.Advance(8 * time.Minute)
	b.claim(wait, Key(2))
}

func expiredFor(_ *testing.T, f *fleet) {
	f.join("a", Key(1))
	b := f.join("b")
	f.Advance(ttl / 2)
	b.renew()
	f.Advance(ttl/2 + 2*time.Minute)
	b.claim(store.Claim{Units: keys(1), Expired: true, FreeFor: 10 * time.Minute})
	f.Advance(10 * time.Minute)
	b.claim(store.Claim{Units: keys(1), Expired: true, FreeFor: 10 * time.Minute}, Key(1))
}

func epochsGrow(t *testing.T, f *fleet) {
	a, b := f.join("a"), f.join("b")

	last := int64(0)
	grown := func(how string, holdings []store.Holding) {
		t.Helper()

		if e := epochs(holdings)[Key(1)]; e <= last {
			t.Errorf("%s: epoch %d after %d", how, e, last)
		} else {
			last = e
		}
	}
	grown("claimed", a.claim(store.Claim{Units: keys(1)}, Key(1)))

	if e := epochs(a.renew().Held)[Key(1)]; e != last {
		t.Errorf("a renewal made epoch %d of %d", e, last)
	}

	a.release(true, Key(1))
	grown("released and claimed by another", b.claim(store.Claim{Units: keys(1)}, Key(1)))
	b.release(true, Key(1))
	grown("released and claimed by the same", b.claim(store.Claim{Units: keys(1)}, Key(1)))
	f.expire(a)
	grown("taken over", a.takeOver(Key(1)))
	a.leave()

	again := f.join("a")
	grown("left behind", again.claim(store.Claim{Units: keys(1)}, Key(1)))

	if h := b.holders()[Key(1)]; h.Epoch != last {
		t.Errorf("Holders says %d, want %d", h.Epoch, last)
	}
}

func claimedAtOnce(t *testing.T, f *fleet) {
	const count = 4

	all := tenants(60)
	f.join("dead", all[:30]...)

	var (
		members []*member
		wait    sync.WaitGroup
		got     [count][]store.Holding
		failed  [count]error
	)

	for n := range count {
		members = append(members, f.join(nodeID(n)))
	}

	f.expire(members...)

	for n, m := range members {
		wait.Go(func() {
			// Each skips what another has locked: what is left over is claimed next time.
			for range 20 {
				more, err := m.Claim(t.Context(), store.Claim{Units: all, Most: 3, Expired: true})
				got[n] = append(got[n], more...)
				failed[n] = err

				if err != nil {
					return
				}
			}
		})
	}

	wait.Wait()

	owner := map[alert.UnitKey]int{}

	for n, m := range members {
		if failed[n] != nil {
			t.Fatal(failed[n])
		}

		for _, h := range got[n] {
			if other, taken := owner[h.Key]; taken {
				t.Errorf("%v was claimed by %d and %d", h.Key, other, n)
			}

			owner[h.Key] = n
		}

		m.holds(keysOf(got[n])...)
	}

	if len(owner) != len(all) {
		t.Errorf("%d of %d units were claimed", len(owner), len(all))
	}
}

func renewalRacesClaim(t *testing.T, f *fleet) {
	const rounds = 60

	all := tenants(8)
	owner, other := f.join("a", all...), f.join("b")
	won := map[bool]int{}

	for range rounds {
		f.expire(other)

		var (
			wait                     sync.WaitGroup
			standing                 store.Standing
			claimed                  []store.Holding
			renewFailed, claimFailed error
		)

		first := rand.IntN(200)

		wait.Go(func() {
			spin(first)

			standing, renewFailed = owner.Renew(t.Context())
		})
		wait.Go(func() {
			spin(100)

			claimed, claimFailed = other.Claim(t.Context(), store.Claim{
				Units:   all,
				Most:    len(all),
				Expired: true,
			})
		})
		wait.Wait()

		if renewFailed != nil || claimFailed != nil {
			t.Fatal(renewFailed, claimFailed)
		}

		if both := append(keysOf(standing.Held), keysOf(claimed)...); !sameKeys(both, all) {
			t.Fatalf("a holds %v, b claimed %v", keysOf(standing.Held), keysOf(claimed))
		}

		// What each believes is what the other is told, too.
		owner.holds(keysOf(standing.Held)...)
		other.holds(keysOf(claimed)...)

		won[len(claimed) > 0]++

		if len(claimed) > 0 {
			owner, other = other, owner
		}
	}

	t.Logf("the claim came first %d times, the renewal %d times", won[true], won[false])
}

// spin lets others run n times.
func spin(n int) {
	for range n {
		runtime.Gosched()
	}
}
