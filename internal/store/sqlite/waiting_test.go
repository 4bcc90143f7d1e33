package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fluent-bit-defender/internal/store"
	"path/filepath"
	"testing"
	"time"
)

// hold takes the write lock of a database as another process does that is slow, or
// stopped, until release is called.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()

	db, err := sql.Open("sqlite", dsn(path, "rw", ""))
	if err != nil {
		t.Fatal(err)
	}

	db.SetMaxOpenConns(1)

	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}

	release = func() { _ = tx.Rollback(); _ = db.Close() }
	t.Cleanup(release)

	return release
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)

	return ctx
}

func TestAContextEndsTheWaitForAnotherProcess(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	drive(t, w, s, 1, 1)
	release := hold(t, filepath.Join(w.dir, unitsFile))

	err := s.Commit(soon(t), []store.Commit{{Key: testUnit, Seen: []store.Seen{{Time: 7}}}})
	if !errors.Is(err, store.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit: %v", err)
	}

	if c, _, ok, err := s.Load(t.Context(), testUnit); err != nil || !ok || c.Watermark != 1 {
		t.Errorf("reading meanwhile: %+v, %v, %v", c, ok, err)
	}

	release()
	drive(t, w, s, 2, 3)
}

func TestAContextEndsTheWaitForAnotherCall(t *testing.T) {
	w := newWorld(t)
	s := w.open()

	inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		left <- s.update(context.Background(), s.sh.units, func(tx) error {
			close(inside)
			<-leave

			return nil
		})
	}()

	<-inside

	if _, err := s.PendingRewind(soon(t)); !errors.Is(err, store.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("PendingRewind: %v", err)
	}

	close(leave)

	if err := <-left; err != nil {
		t.Error(err)
	}
}

func TestSaveOutlastsItsContextAndAnotherProcess(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	save(t, s, 1, "old")
	release := hold(t, filepath.Join(w.dir, tokensFile))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	saved := make(chan error)
	go func() { saved <- s.Tokens().Save(ctx, chainKey(1), chainOf("rotated")) }()

	select {
	case err := <-saved:
		t.Errorf("it did not wait: %v", err)
		return
	// Long enough to try and be refused. If it is not even that far, the test is weaker.
	case <-time.After(4 * busyPiece):
	}

	release()

	if err := <-saved; err != nil {
		t.Fatal(err)
	}

	expectToken(t, s, 1, "rotated")
}

func TestCloseDoesNotWaitLongForAnotherProcess(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	release := hold(t, filepath.Join(w.dir, unitsFile))

	err := s.Close()
	// The mark has a limit of its own, not the 10 s of SQLite.
	if !errors.Is(err, store.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}

	release()

	if s := w.open(); s.CrashedMachine() {
		t.Error("the same run of the machine is taken for another one")
	}
}
