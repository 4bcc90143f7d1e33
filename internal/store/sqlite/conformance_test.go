package sqlite_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/sqlite"
	"fluent-bit-defender/internal/store/storetest"
)

func TestSQLiteKeepsThePromisesOfUnits(t *testing.T) {
	storetest.TestUnits(t, func(t *testing.T) storetest.Backend {
		var now atomic.Int64
		now.Store(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixNano())
		o := sqlite.Options{
			Dir:    filepath.Join(t.TempDir(), "d"),
			Inputs: true,
			Now:    func() time.Time { return time.Unix(0, now.Load()) },
		}
		var s store.Store
		open := func() store.Units {
			var err error
			if s != nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if s, err = sqlite.Open(o); err != nil {
				t.Fatal(err)
			}
			return s
		}
		open()
		t.Cleanup(func() { s.Close() })
		return storetest.Backend{Units: s, Reopen: open, Advance: func(d time.Duration) { now.Add(int64(d)) }}
	})
}
