package postgres

import (
	"testing"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/storetest"
	"fluent-bit-defender/internal/tick"
)

// BenchmarkTakeover has a node take over 300 units of another one that has died, each
// with the checkpoints and the seen-set of fifteen minutes.
func BenchmarkTakeover(b *testing.B) {
	const (
		units = 300
		times = 90
	)

	d := pgtest.New(b)
	keys := unitKeys(0, units)
	owner, other := joined(b, d, "a", keys...), joined(b, d, "b")

	renew := func(s *Store) {
		b.Helper()

		if _, err := s.Renew(b.Context()); err != nil {
			b.Fatal(err)
		}
	}

	for b.Loop() {
		b.StopTimer()

		for i := range times {
			commits := make([]store.Commit, units)

			for n, key := range keys {
				first := tick.Tick(100 * i)
				commits[n] = store.Commit{
					Key:        key,
					Checkpoint: store.Checkpoint{Watermark: first, SeenSince: 1},
					Seen:       storetest.Entries(first, 10),
				}
			}

			if err := owner.Commit(b.Context(), commits); err != nil {
				b.Fatal(err)
			}

			d.Advance(b, 10*time.Second)
		}

		renew(owner)
		d.Advance(b, 2*time.Hour)
		renew(other)
		b.StartTimer()

		claim(b, other, true, keys...)

		b.StopTimer()

		owner, other = other, owner

		b.StartTimer()
	}
}

// BenchmarkRenew renews the lease of a node with 300 units.
func BenchmarkRenew(b *testing.B) {
	s := joined(b, pgtest.New(b), "a", unitKeys(0, 300)...)

	for b.Loop() {
		if _, err := s.Renew(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClaimOfNothing is what a node does every second while all units are held.
func BenchmarkClaimOfNothing(b *testing.B) {
	d := pgtest.New(b)
	keys := unitKeys(0, 300)
	joined(b, d, "a", keys...)
	s := joined(b, d, "b")

	for b.Loop() {
		got, err := s.Claim(b.Context(), store.Claim{Units: keys, Most: 100, Expired: true})
		if err != nil || len(got) > 0 {
			b.Fatal(got, err)
		}
	}
}

// BenchmarkCommit commits ten alerts of each of 300 units.
func BenchmarkCommit(b *testing.B) {
	keys := unitKeys(0, 300)
	s := joined(b, pgtest.New(b), "a", keys...)

	for i := tick.Tick(0); b.Loop(); i++ {
		commits := make([]store.Commit, len(keys))
		for n, key := range keys {
			commits[n] = store.Commit{
				Key:        key,
				Checkpoint: store.Checkpoint{Watermark: 100 * i, SeenSince: 1},
				Seen:       storetest.Entries(100*i, 10),
			}
		}

		if err := s.Commit(b.Context(), commits); err != nil {
			b.Fatal(err)
		}
	}
}
