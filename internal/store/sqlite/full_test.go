package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// smallDisk mounts a file system of the given size under the world's directory. Without
// the right to mount, SQLite's own limit on the number of pages stands in for it: the
// same error, by another way.
func smallDisk(t *testing.T, w *world, size string) (mounted bool) {
	t.Helper()

	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}

	if err := syscall.Mount("tmpfs", w.dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		return false
	}

	t.Cleanup(func() {
		checkConsistency(t, w.dir)

		if err := syscall.Unmount(w.dir, 0); err != nil {
			t.Error(err)
		}
	})

	return true
}

// fillDisk leaves no room for the files of s, and returns what makes room again.
func fillDisk(t *testing.T, w *world, s *Store, mounted bool) (release func()) {
	t.Helper()

	if !mounted {
		limit := func(pages string) {
			for _, f := range []*file{s.sh.tokens, s.sh.units} {
				if _, err := f.db.Exec("PRAGMA max_page_count = " + pages); err != nil {
					t.Fatal(err)
				}
			}
		}
		limit("1") // SQLite takes the present size then

		return func() { limit("1000000") }
	}

	ballast := filepath.Join(w.dir, "ballast")

	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}

	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}

	f.Close()

	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}

	return func() { _ = os.Remove(ballast) }
}

// fillFiles uses the room that the files have inside, until both refuse. It returns the
// watermark that was committed last.
func fillFiles(t *testing.T, w *world, s *Store) (committed tick.Tick) {
	t.Helper()

	big := chainOf(strings.Repeat("x", 4000))

	var tokenErr, unitErr error
	for n := 100; n < 2000 && tokenErr == nil; n++ {
		tokenErr = s.Tokens().Save(t.Context(), chainKey(n), big)
	}

	n := tick.Tick(6)
	for ; n < 2000 && unitErr == nil; n++ {
		unitErr = s.Commit(t.Context(), []store.Commit{{
			Key:        testUnit,
			Checkpoint: store.Checkpoint{Floor: 1, Watermark: n, SeenSince: 1},
			Seen:       append(make([]store.Seen, 200), store.Seen{Time: n}),
		}})
	}

	for what, err := range map[string]error{"tokens": tokenErr, "units": unitErr} {
		if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), w.dir) {
			t.Errorf("%s: %v", what, err)
		}
	}

	return n - 2
}

// expectWatermark checks how far the unit of tests has come, and returns what it has
// seen.
func expectWatermark(t *testing.T, s *Store, want tick.Tick) map[tick.Tick]bool {
	t.Helper()

	c, seen, ok, err := s.Load(t.Context(), testUnit)
	if err != nil || !ok || c.Watermark != want {
		t.Errorf("watermark %d, want %d, %v, %v", c.Watermark, want, ok, err)
	}

	return seenTimes(seen)
}

func TestAFullDiskIsSaidAndTheStoreRecoversWhenThereIsRoom(t *testing.T) {
	w := newWorld(t)
	mounted := smallDisk(t, w, "2m")
	s := w.open()
	save(t, s, 1, "before")
	drive(t, w, s, 1, 5)

	release := fillDisk(t, w, s, mounted)
	committed := fillFiles(t, w, s)

	seen := expectWatermark(t, s, committed)
	if !seen[committed] || seen[committed+1] {
		t.Errorf("while full, the last that was committed is seen: %t, the next one: %t",
			seen[committed], seen[committed+1])
	}

	expectToken(t, s, 1, "before")

	release()
	save(t, s, 1, "after")
	drive(t, w, s, int(committed)+3, int(committed)+5)
	expectToken(t, s, 1, "after")
	die(t, s)

	s = w.open()
	expectToken(t, s, 1, "after")

	if seen := expectWatermark(t, s, committed+5); !seen[committed] {
		t.Error("what was committed before the disk was full is not seen")
	}

	if names := list(t, w.dir); strings.Contains(names, "damaged") || strings.Contains(names, freshFile) {
		t.Errorf("files: %s", names)
	}

	if result, err := integrity(filepath.Join(w.dir, copyFile)); err != nil || result != "ok" {
		t.Errorf("the copy: %q, %v", result, err)
	}
}

func TestOpenOnAFullDiskSaysSo(t *testing.T) {
	w := newWorld(t)
	if !smallDisk(t, w, "16k") {
		t.Skip("no right to mount a file system")
	}

	_, err := w.tryOpen()
	if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), w.dir) {
		t.Errorf("Open: %v", err)
	}

	if len(registry.open) != 0 {
		t.Error("something stays open")
	}

	if err := os.RemoveAll(filepath.Join(w.dir, tokensFile)); err != nil { // there is no room to check it in
		t.Fatal(err)
	}
}
