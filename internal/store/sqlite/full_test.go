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

func TestAFullDiskIsSaidAndTheStoreRecoversWhenThereIsRoom(t *testing.T) {
	w := newWorld(t)
	mounted := smallDisk(t, w, "2m")
	s := w.open()
	save(t, s, 1, "before")
	drive(t, w, s, 1, 5)

	var release func()

	ballast := filepath.Join(w.dir, "ballast")

	if mounted {
		release = func() { _ = os.Remove(ballast) }

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
	} else {
		limit := func(pages string) {
			for _, f := range []*file{s.sh.tokens, s.sh.units} {
				if _, err := f.db.Exec("PRAGMA max_page_count = " + pages); err != nil {
					t.Fatal(err)
				}
			}
		}
		limit("1") // SQLite takes the present size then

		release = func() { limit("1000000") }
	}
	// Fill what room the files have inside, until both refuse.
	big := chainOf(strings.Repeat("x", 4000))

	var tokenErr, unitErr error
	for n := 100; n < 2000 && tokenErr == nil; n++ {
		tokenErr = s.Tokens().Save(t.Context(), chainKey(n), big)
	}

	n := 6
	for ; n < 2000 && unitErr == nil; n++ {
		unitErr = s.Commit(t.Context(), []store.Commit{{
			Key:        testUnit,
			Checkpoint: store.Checkpoint{Floor: 1, Watermark: tick.Tick(n), SeenSince: 1},
			Seen:       append(make([]store.Seen, 200), store.Seen{Time: tick.Tick(n)}),
		}})
	}

	for what, err := range map[string]error{"tokens": tokenErr, "units": unitErr} {
		if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), w.dir) {
			t.Errorf("%s: %v", what, err)
		}
	}

	committed := tick.Tick(n - 2)

	c, seen, ok, err := s.Load(t.Context(), testUnit)
	if err != nil || !ok || c.Watermark != committed || !seenTimes(seen)[committed] || seenTimes(seen)[committed+1] {
		t.Errorf("while full: watermark %d, committed %d, %v, %v", c.Watermark, committed, ok, err)
	}

	expectToken(t, s, 1, "before")

	release()
	save(t, s, 1, "after")
	drive(t, w, s, n+1, n+3)
	expectToken(t, s, 1, "after")
	die(t, s)
	s = w.open()
	expectToken(t, s, 1, "after")

	c, seen, ok, err = s.Load(t.Context(), testUnit)
	if err != nil || !ok || c.Watermark != tick.Tick(n+3) || !seenTimes(seen)[committed] {
		t.Errorf("after: %+v, %v, %v", c, ok, err)
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
