package sqlite

import (
	"math/rand/v2"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
	"fluent-bit-defender/internal/tick"
)

// The unit of these tests moves its watermark to n at the n-th second and takes in one
// alert updated at that time, committing every second.
func drive(t *testing.T, w *world, s *Store, from, to int) {
	t.Helper()

	for n := from; n <= to; n++ {
		c := store.Checkpoint{Floor: 1, Watermark: tick.Tick(n), SeenSince: tick.Tick(max(1, n-50))}
		e := store.Seen{Time: tick.Tick(n)}
		e.Key[0], e.Key[1] = byte(n), byte(n>>8)

		err := s.Commit(t.Context(), []store.Commit{{Key: testUnit, Checkpoint: c, Seen: []store.Seen{e}}})
		if err != nil {
			t.Fatal(err)
		}

		w.advance(time.Second)
	}
}

var testUnit = alert.UnitKey{LoginHost: "login.example", TenantID: "contoso", API: "graph"}

func seenTimes(seen []store.Seen) map[tick.Tick]bool {
	m := make(map[tick.Tick]bool)
	for _, e := range seen {
		m[e.Time] = true
	}

	return m
}

func TestAfterACrashOfTheMachineTheLastTwoMinutesAreUndone(t *testing.T) {
	const last = 300

	for name, test := range map[string]struct {
		end     func(w *world, s *Store)
		crashed bool
	}{
		"power cut": {func(w *world, s *Store) { die(t, s); w.reboot() }, true},
		"power cut while the clock jumped": {
			func(w *world, s *Store) { w.now = w.now.Add(5 * time.Hour); die(t, s); w.reboot() }, true,
		},
		"killed, same machine":             {func(w *world, s *Store) { die(t, s) }, false},
		"clean exit, then a reboot":        {func(w *world, s *Store) { s.Close(); w.reboot() }, false},
		"clean exit":                       {func(w *world, s *Store) { s.Close() }, false},
		"no boot id to be had, killed":     {func(w *world, s *Store) { die(t, s); w.boot = "" }, true},
		"no boot id to be had, clean exit": {func(w *world, s *Store) { s.Close(); w.boot = "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)

			s := w.open()
			if s.CrashedMachine() {
				t.Error("a new store says that the machine crashed")
			}

			drive(t, w, s, 1, last)
			test.end(w, s)
			lookFromOutside(t, w)

			s = w.open()
			if s.CrashedMachine() != test.crashed {
				t.Fatalf("CrashedMachine = %v", s.CrashedMachine())
			}

			if !test.crashed {
				if times := expectWatermark(t, s, last); len(times) != 51 || !times[last] {
					t.Errorf("%d seen", len(times))
				}

				return
			}

			undone := expectUndone(t, s, last)

			die(t, s)

			s = w.open()
			if expectWatermark(t, s, undone); s.CrashedMachine() != (w.boot == "") {
				t.Error("it was killed at once, and is undone twice")
			}

			drive(t, w, s, last+1, last+10)

			if times := expectWatermark(t, s, last+10); !times[last+5] {
				t.Error("it does not go on")
			}
		})
	}
}

// lookFromOutside opens the store as the CLI does, which changes nothing.
func lookFromOutside(t *testing.T, w *world) {
	t.Helper()

	s, err := w.tryOpen(noInputs)
	if err != nil || s.CrashedMachine() {
		t.Fatal(err)
	}

	s.Close()
}

// expectUndone checks that what was committed in the crash window before last is undone.
// It returns the watermark.
func expectUndone(t *testing.T, s *Store, last tick.Tick) tick.Tick {
	t.Helper()

	c, seen, ok, err := s.Load(t.Context(), testUnit)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}

	safe := last - tick.Tick(store.CrashWindow/time.Second)
	if c.Watermark > safe || c.Watermark < safe-tick.Tick(historyStep/time.Second)-1 {
		t.Errorf("watermark %d, want about %d", c.Watermark, safe)
	}

	times := seenTimes(seen)
	for n := c.Watermark - 50; n <= last; n++ {
		if times[n] != (n <= safe) && n != safe && n != safe+1 {
			t.Errorf("entry of %d is seen: %v; the machine lost what was committed after %d", n, times[n], safe)
		}
	}

	return c.Watermark
}

func TestAUnitYoungerThanTheWindowBeginsAgainAtItsFloor(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	drive(t, w, s, 1, 60)
	die(t, s)
	w.reboot()
	s = w.open()

	c, seen, ok, err := s.Load(t.Context(), testUnit)
	if err != nil || !ok || c.Floor != 1 || c.Watermark != 1 || c.SeenSince != 1 || len(seen) != 0 {
		t.Errorf("Load = %+v, %d seen, %v, %v", c, len(seen), ok, err)
	}
}

// Whatever the rhythm of commits: what was committed before the window is seen, what
// was committed in it is not, and the checkpoint is not ahead of what is seen.
func TestUndoAtRandomMoments(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 3))

	for round := range 6 {
		w := newWorld(t)
		s := w.open()
		committed := make(map[tick.Tick]time.Duration) // by entry: the uptime at its commit

		n := tick.Tick(1)
		for range 60 + rnd.IntN(60) {
			c := store.Checkpoint{Floor: 1, Watermark: n, SeenSince: max(1, n-80)}
			if err := s.Commit(
				t.Context(),
				[]store.Commit{{Key: testUnit, Checkpoint: c, Seen: []store.Seen{{Time: n}}}},
			); err != nil {
				t.Fatal(err)
			}

			committed[n] = w.up
			n++

			w.advance(time.Duration(rnd.IntN(8000)) * time.Millisecond)

			if rnd.IntN(40) == 0 { // another orderly start of the machine in between
				s.Close()
				w.reboot()

				for n := range committed {
					committed[n] = -time.Hour
				}

				s = w.open()
			}
		}

		alive := committed[n-1]

		die(t, s)
		w.reboot()

		c, seen, _, err := w.open().Load(t.Context(), testUnit)
		if err != nil {
			t.Fatal(err)
		}

		times := seenTimes(seen)

		for e := max(1, c.Watermark-80); e < n; e++ {
			switch age := alive - committed[e]; {
			case committed[e] < 0 || age > store.CrashWindow+unitstate.Span:
				if !times[e] {
					t.Errorf("round %d: %d was committed %s before the end and is not seen", round, e, age)
				}
			case age < store.CrashWindow-unitstate.Span:
				if times[e] {
					t.Errorf("round %d: %d was committed %s before the end and is seen", round, e, age)
				}

				if c.Watermark >= e {
					t.Errorf("round %d: the watermark %d is ahead of %d, committed %s before the end",
						round, c.Watermark, e, age)
				}
			}
		}
	}
}

func TestDeferredWorkDroppedWithinTheWindowComesBack(t *testing.T) {
	w := newWorld(t)
	s := w.open()

	ids := make([]int64, 3)
	for i := range ids {
		var err error
		ids[i], err = s.PutDeferred(t.Context(), testUnit, store.Deferred{
			Kind:   store.RejectedEvent,
			Reason: "x",
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	for i := range 2 {
		if err := s.DropDeferred(t.Context(), testUnit, ids[i]); err != nil {
			t.Fatal(err)
		}

		w.advance(store.CrashWindow / 3 * 2)
	}

	drive(t, w, s, 1, 1)
	die(t, s)
	w.reboot()

	list, err := w.open().ListDeferred(t.Context(), testUnit)
	if err != nil || len(list) != 2 || list[0].ID != ids[1] || list[1].ID != ids[2] {
		t.Errorf("ListDeferred = %+v, %v; want %v", list, err, ids[1:])
	}
}

func TestACrashAfterDefenderDBWasReplacedIsNoticed(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	drive(t, w, s, 1, 200)

	hurt := true

	err := s.sh.units.update(t.Context(), func(tx) error {
		if hurt {
			hurt = false
			return store.ErrDamaged
		}

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	drive(t, w, s, 201, 500)
	die(t, s)
	w.reboot()

	s = w.open()
	c, _, ok, err := s.Load(t.Context(), testUnit)
	if !s.CrashedMachine() || !ok || err != nil || c.Watermark > 380 || c.Watermark < 365 {
		t.Errorf("crashed: %v, %+v, %v, %v", s.CrashedMachine(), c, ok, err)
	}
}

func TestARewindSurvivesACrashOfTheMachine(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	drive(t, w, s, 1, 400)

	if err := s.Rewind(t.Context(), testUnit, 200); err != nil {
		t.Fatal(err)
	}

	if _, ok, err := s.ApplyRewind(t.Context(), testUnit); !ok || err != nil {
		t.Fatal(ok, err)
	}

	die(t, s)
	w.reboot()
	s = w.open()

	c, seen, _, err := s.Load(t.Context(), testUnit)
	if err != nil || c.Watermark != 200 {
		t.Errorf("watermark %d, %v", c.Watermark, err)
	}

	for n := range seenTimes(seen) {
		if n >= 200 {
			t.Errorf("entry of %d is seen", n)
		}
	}
}

func TestTheNumberOfBlobsStaysBounded(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	drive(t, w, s, 1, 2000)

	if n := len(s.sh.cache.m[testUnit].seen.List); n > unitstate.MaxDurable+int(store.CrashWindow/time.Second)+1 {
		t.Errorf("%d blobs", n)
	}

	if n := len(s.sh.cache.m[testUnit].state.History); n > int(store.CrashWindow/historyStep)+2 {
		t.Errorf("%d checkpoints in the history", n)
	}

	var rows, entries int

	err := s.view(t.Context(), s.sh.units, func(t tx) error {
		return t.QueryRow(`SELECT count(*), sum(n) FROM seen`).Scan(&rows, &entries)
	})
	if err != nil || rows != len(s.sh.cache.m[testUnit].seen.List) || entries > 400 {
		t.Errorf("%d rows, %d entries, %v", rows, entries, err)
	}

	for range 1000 { // many commits in one second
		if err := s.Commit(t.Context(), []store.Commit{
			{
				Key:        testUnit,
				Checkpoint: store.Checkpoint{Floor: 1, Watermark: 3000, SeenSince: 1950},
				Seen:       []store.Seen{{Time: 3000}},
			},
		}); err != nil {
			t.Fatal(err)
		}
	}

	if n := len(s.sh.cache.m[testUnit].seen.List); n > unitstate.MaxDurable+int(store.CrashWindow/time.Second)+2 {
		t.Errorf("%d blobs after 1000 commits in one second", n)
	}
}
