package sqlite

import (
	"testing"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/storetest"
)

func TestSQLiteKeepsThePromisesOfUnits(t *testing.T) {
	storetest.TestUnits(t, func(t *testing.T) storetest.Backend {
		w := newWorld(t)
		s := w.open()

		return storetest.Backend{
			Units: s,
			Reopen: func() store.Units {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}

				s = w.open()

				return s
			},
			Crash: func() store.Units {
				die(t, s)
				w.reboot()

				s = w.open()

				return s
			},
			Advance: w.advance,
		}
	})
}
