package sqlite

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/internal/tick"
)

func benchStore(b *testing.B) (*Store, *time.Duration) {
	b.Helper()

	up := new(time.Duration)

	s, err := open(
		Options{Dir: filepath.Join(b.TempDir(), "d"), Inputs: true, Uptime: func() time.Duration { return *up }},
	)
	if err != nil {
		b.Fatal(err)
	}

	b.Cleanup(func() { s.Close() })

	return s, up
}

func randomSeen(n int, at tick.Tick) []store.Seen {
	seen := make([]store.Seen, n)
	for i := range seen {
		seen[i].Time = at
		for j := range seen[i].Key {
			seen[i].Key[j] = byte(rand.Uint32())
		}
	}

	return seen
}

// BenchmarkCommit measures transactions of so many units with so many new alerts each,
// a second apart, over a set that is pruned and merged as in life.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []struct{ units, alerts int }{
		{1, 0}, {1, 100}, {1, 10000}, {100, 10}, {1000, 0}, {1000, 10}, {10000, 1},
	} {
		b.Run(fmt.Sprintf("units=%d/alerts=%d", size.units, size.alerts), func(b *testing.B) {
			s, up := benchStore(b)
			at := 1000 * tick.Minute

			for b.Loop() {
				b.StopTimer()

				*up += time.Second
				at += tick.Second

				commits := make([]store.Commit, size.units)
				for i := range commits {
					commits[i] = store.Commit{
						Key: alert.UnitKey{
							LoginHost: "h",
							TenantID:  alert.TenantID(fmt.Sprint("tenant-", i)),
							API:       "graph",
						},
						Checkpoint: store.Checkpoint{
							Watermark: at,
							SeenSince: at - 10*tick.Minute,
						},
						Seen: randomSeen(size.alerts, at),
					}
				}

				b.StartTimer()

				if err := s.Commit(b.Context(), commits); err != nil {
					b.Fatal(err)
				}
			}

			perCommit := float64(b.Elapsed()) / float64(b.N)
			b.ReportMetric(perCommit/1e6, "ms/commit")

			if n := size.units * size.alerts; n > 0 {
				b.ReportMetric(perCommit/1e3/float64(n), "µs/alert")
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, blobs := range []int{1, 100} {
		b.Run(fmt.Sprintf("entries=100000/commits=%d", blobs), func(b *testing.B) {
			s, up := benchStore(b)
			for range blobs {
				*up += time.Second

				if err := s.Commit(
					b.Context(),
					[]store.Commit{{Key: testUnit, Checkpoint: store.Checkpoint{}, Seen: randomSeen(100_000/blobs, 5)}},
				); err != nil {
					b.Fatal(err)
				}
			}

			for b.Loop() {
				_, seen, _, err := s.Load(b.Context(), testUnit)
				if err != nil || len(seen) != 100_000 {
					b.Fatal(len(seen), err)
				}
			}
		})
	}
}

func BenchmarkSetStatus(b *testing.B) {
	for _, units := range []int{100, 10000} {
		b.Run(fmt.Sprintf("units=%d", units), func(b *testing.B) {
			s, _ := benchStore(b)

			statuses := make(map[alert.UnitKey]store.Status)
			for i := range units {
				statuses[alert.UnitKey{TenantID: alert.TenantID(fmt.Sprint("tenant-", i))}] = store.Status{
					TenantName: "x",
					State:      "ok",
					UpdatedAt:  time.Now(),
				}
			}

			for b.Loop() {
				if err := s.SetStatus(b.Context(), statuses); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSave measures the rotation of one token of many, with its copy.
func BenchmarkSave(b *testing.B) {
	for _, chains := range []int{1, 1000, 10000} {
		b.Run(fmt.Sprintf("chains=%d", chains), func(b *testing.B) { benchSave(b, chains, nil) })
		b.Run(fmt.Sprintf("chains=%d,sealed", chains), func(b *testing.B) { benchSave(b, chains, testKey) })
	}
}

func benchSave(b *testing.B, chains int, key []byte) {
	s, _ := benchStore(b)

	by, err := seal.NewKey(key)
	if err != nil {
		b.Fatal(err)
	}

	s.sh.key.Store(by)

	c := chainOf("")

	token := make([]byte, 1500)
	for i := range token {
		token[i] = 'a' + byte(rand.Uint32()%26)
	}

	c.Refresh, c.Previous = secret.New(string(token)), secret.New(string(token))

	err = s.chains().change(b.Context(), func(tx) (rows []seal.Row, _ []seed, err error) {
		for n := range chains {
			r, err := seal.NewRow(by, chainKey(n), c, 1)
			if err != nil {
				return nil, nil, err
			}

			rows = append(rows, r)
		}

		return rows, nil, nil
	})
	if err != nil {
		b.Fatal(err)
	}

	for b.Loop() {
		if err := s.Tokens().Save(b.Context(), chainKey(chains/2), c); err != nil {
			b.Fatal(err)
		}
	}

	if s.sh.copyFails {
		b.Error("the copy fails")
	}
}

// BenchmarkVerifySeal measures a look at 10,000 chains: the first one, and one after
// another process has written.
func BenchmarkVerifySeal(b *testing.B) {
	s, _ := benchStore(b)

	by, err := seal.NewKey(testKey)
	if err != nil {
		b.Fatal(err)
	}

	s.sh.key.Store(by)

	err = s.chains().change(b.Context(), func(tx) (rows []seal.Row, _ []seed, err error) {
		for n := range 10_000 {
			r, err := seal.NewRow(by, chainKey(n), chainOf(fmt.Sprintf("%01500d", n)), 1)
			if err != nil {
				return nil, nil, err
			}

			rows = append(rows, r)
		}

		return rows, nil, nil
	})
	if err != nil {
		b.Fatal(err)
	}

	before := verified(b, s)
	if err := s.Tokens().Save(b.Context(), chainKey(1), chainOf("of another process")); err != nil {
		b.Fatal(err)
	}

	for name, forget := range map[string]func(){
		"first":           func() { s.sh.anchor.Forget() },
		"another's write": func() { s.sh.anchor = before },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				forget()

				if _, ok, err := s.Tokens().Load(b.Context(), chainKey(1)); err != nil || !ok {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

// BenchmarkOpen measures a start with 10,000 tenants: every check of both files.
func BenchmarkOpen(b *testing.B) {
	s, _ := benchStore(b)

	var commits []store.Commit
	for i := range 10_000 {
		commits = append(commits, store.Commit{Key: alert.UnitKey{
			LoginHost: "h",
			TenantID:  alert.TenantID(fmt.Sprint("tenant-", i)),
			API:       "graph",
		},
			Checkpoint: store.Checkpoint{Watermark: 5}, Seen: randomSeen(100, 5)})
	}

	err := s.Commit(b.Context(), commits)
	if err == nil {
		err = s.chains().change(b.Context(), func(tx) (rows []seal.Row, _ []seed, err error) {
			for n := range 10_000 {
				r, err := seal.NewRow(nil, chainKey(n), chainOf(fmt.Sprintf("%01500d", n)), 1)
				if err != nil {
					return nil, nil, err
				}

				rows = append(rows, r)
			}

			return rows, nil, nil
		})
	}

	if err != nil {
		b.Fatal(err)
	}

	dir := s.sh.dir.path
	s.Close()

	for b.Loop() {
		s, err := open(Options{Dir: dir, Inputs: true})
		if err != nil {
			b.Fatal(err)
		}

		s.Close()
	}
}
