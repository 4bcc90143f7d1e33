package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
)

// SQLite goes on writing into a file that was removed, moved away or replaced, and
// everything that is written then is lost at the next start: with tokens.db, each
// tenant needs a new sign-in. So a Store checks that its files are still where it
// opened them. If not, the process that runs inputs writes them there again, from the
// files that it has open. Other processes then open the new files: if two processes
// rescued the same file, one would lose what the other has written since.

const (
	checkEvery  = time.Second      // each check is a few lstat(2)
	rescuePause = 30 * time.Second // after a failed rescue
)

// fileID is device and inode of a file; zero if there is none.
type fileID [2]uint64

// fileIDs are the files that have the names of a database, in the order of suffixes.
type fileIDs [4]fileID

// names returns the files that have the names of the database now; nil if that cannot
// be found out.
func (f *file) names() *fileIDs {
	s := new(fileIDs)

	for i, suffix := range suffixes {
		info, err := os.Lstat(f.path() + suffix)
		if err == nil {
			st := info.Sys().(*syscall.Stat_t)
			s[i] = fileID{st.Dev, st.Ino}
		} else if !noSuchFile(err) {
			return nil
		}
	}

	return s
}

// noSuchFile reports whether an error says that there is no such file, also because its
// directory was replaced by something else.
func noSuchFile(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// moved reports whether another file, or none, has the name of the database now; if
// beside is true, also that of its log or index.
func (f *file) moved(beside bool) bool {
	was, is := f.opened.Load(), f.names()
	switch {
	case was == nil || is == nil:
		return false
	case beside:
		return *was != *is
	}

	return was[0] != is[0]
}

// spareNames is called before a database is closed. If the database was moved, it keeps
// SQLite from removing the log of another one that has its name now.
func (f *file) spareNames() {
	if !f.moved(true) {
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), exclusiveTimeout)
	defer cancel()

	if conn, err := f.db.Conn(ctx); err == nil {
		_ = conn.Raw(func(c any) error {
			control, ok := c.(sqlite.FileControl)
			if !ok {
				return driver.ErrSkip
			}

			_, err := control.FileControlPersistWAL("main", 1)

			return err
		})
		_ = conn.Close()
	}
}

// movedLock is moved for a lock file.
func (sh *shared) movedLock(name string, f *os.File) bool {
	if f == nil {
		return false
	}

	is, err := os.Lstat(sh.dir.join(name))
	if err != nil {
		return noSuchFile(err)
	}

	was, err := f.Stat()

	return err == nil && !os.SameFile(was, is)
}

// vanished returns the names of our files that are no longer where they were opened.
// The caller holds registry.mu.
func (sh *shared) vanished() (names []string) {
	for _, f := range []*file{sh.tokens, sh.units} {
		if f.moved(sh.inputsLock != nil) {
			names = append(names, f.name)
		}
	}

	if sh.movedLock(lockFile, sh.locks.f.Load()) {
		names = append(names, lockFile)
	}

	if sh.movedLock(inputsFile, sh.inputsLock) {
		names = append(names, inputsFile)
	}

	return names
}

var began = time.Now()

// checkFiles restores files that have vanished. It checks once a second at most, unless
// now is true. If it returns an error, the files must not be used.
func (sh *shared) checkFiles(now bool) error {
	clock := int64(time.Since(began))
	if last := sh.checked.Load(); !now && last != 0 && clock-last < int64(checkEvery) {
		return nil
	}

	if !registry.mu.TryLock() { // somebody opens or closes a store
		return nil
	}

	defer registry.mu.Unlock()

	sh.checked.Store(clock)

	return sh.restoreFiles()
}

// restoreFiles restores the files, or opens those that another process has restored.
// The caller holds registry.mu.
func (sh *shared) restoreFiles() error {
	names := sh.vanished()

	rescues := sh.inputsLock != nil
	if len(names) == 0 || rescues && time.Since(sh.rescueFailed) < rescuePause {
		return nil
	}

	ctx, cancel := context.WithTimeout(context.Background(), exclusiveTimeout)
	defer cancel()

	for _, f := range []*file{sh.tokens, sh.units} {
		if f.mu.lock(ctx) != nil {
			return nil // a long call uses it: the next check tries again
		}
		defer f.mu.unlock()
	}

	if !rescues {
		return sh.switchFiles(ctx)
	}

	found, err := sh.rescue(ctx)
	sh.reportRescue(names, found, err)

	return nil
}

// reportRescue logs how a rescue ended. It logs a failure once, until a rescue
// succeeds.
func (sh *shared) reportRescue(names, found []string, err error) {
	what := fmt.Sprintf(
		"%s: %s no longer there, though in use (removed, moved away, or replaced by a restored backup?)",
		sh.dir.path,
		areOrIs(names),
	)

	if err != nil {
		if sh.rescueFailed.IsZero() {
			sh.log.Error(fmt.Sprintf(
				"%s, and cannot be written again (%v). The work goes on with what is still open, and it is tried "+
					"again every %s; do not stop Fluent Bit before, or refresh tokens are lost",
				what,
				err,
				rescuePause,
			))
		}

		sh.rescueFailed = time.Now()

		return
	}

	text := what + "; everything was written again from what was still open, nothing is lost"
	if len(found) > 0 {
		text += "; what was there instead is now " + strings.Join(found, " and ") +
			" (stop Fluent Bit before you restore a backup)"
	}

	sh.log.Error(text)
	sh.rescueFailed = time.Time{}
}

func areOrIs(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}

	return strings.Join(names, ", ") + " are"
}

// rescue writes files that have vanished again, from those that are still open. It
// returns the new names of files that were there instead. The caller holds registry.mu
// and both files' mu. After an error it can be called again.
func (sh *shared) rescue(ctx context.Context) (found []string, err error) {
	if err := sh.remakeDir(); err != nil {
		return nil, err
	}

	if err := sh.relock(); err != nil {
		return nil, err
	}

	for _, at := range []int64{rangeOpen, rangeCopy} {
		if err := sh.locks.lock(ctx, unix.F_WRLCK, at); err != nil {
			return nil, err
		}
		defer sh.locks.unlock(at)
	}

	sh.copyTrouble(sh.wholeCopy()) // first, so that the tokens are in it if this process dies

	for _, f := range []*file{sh.tokens, sh.units} {
		if !f.moved(true) {
			continue
		}

		name, err := f.rewrite()
		if name != "" {
			found = append(found, name)
		}

		if err != nil {
			return found, explain(f.path(), err)
		}
	}

	return found, nil
}

// remakeDir makes the directory again, with the same owner, if it is gone. It calls
// adopt in any case.
func (sh *shared) remakeDir() error {
	_, err := os.Lstat(sh.dir.path)
	gone := noSuchFile(err)

	d, _, err := prepareDir(sh.dir.path, false)
	if err != nil {
		return err
	}

	if gone && os.Geteuid() == 0 {
		made, err := openDir(unix.AT_FDCWD, d.path)
		if err != nil {
			return &fs.PathError{Op: "open", Path: d.path, Err: err}
		}
		defer made.Close()

		if err := unix.Fchownat(int(made.Fd()), "", sh.dir.uid, sh.dir.gid, unix.AT_EMPTY_PATH); err != nil {
			return &fs.PathError{Op: "chown", Path: d.path, Err: err}
		}

		d.uid, d.gid = sh.dir.uid, sh.dir.gid
	}

	sh.adopt(d)

	return nil
}

// adopt makes the directory that has the path of ours the one that is used.
func (sh *shared) adopt(d directory) {
	for _, ours := range []*directory{&sh.dir, &sh.tokens.dir, &sh.units.dir} {
		ours.id, ours.uid, ours.gid = d.id, d.uid, d.gid // the rest is the same, and read without locks
	}

	if registry.open[sh.id] == sh {
		delete(registry.open, sh.id)
		sh.id.dir = d.id
		registry.open[sh.id] = sh
	}
}

// relock makes lock files again that are gone, and locks them as before. A redemption
// under way keeps its lock on the old file.
func (sh *shared) relock() error {
	if sh.movedLock(inputsFile, sh.inputsLock) {
		f, err := lockInputs(sh.dir, otherDir)
		if err != nil {
			return err
		}

		_ = sh.inputsLock.Close()
		sh.inputsLock = f
	}

	if sh.movedLock(lockFile, sh.locks.f.Load()) {
		f, err := sh.dir.openLockFile(lockFile)
		if err != nil {
			return err
		}

		if err := tryRange(f, unix.F_RDLCK, rangeUsers); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", f.Name(), err), f.Close())
		}

		sh.locks.replace(f)
	}

	return nil
}

// rewrite writes the whole database to its name and opens that file. found is the new
// name of a file that was there and is not ours.
func (f *file) rewrite() (found string, err error) {
	if err := vacuumFresh(f.db, f.dir); err != nil {
		return "", err
	}

	was, is := f.opened.Load(), f.names()
	for i := range suffixes {
		if found == "" && is != nil && is[i] != (fileID{}) && is[i] != was[i] {
			if found, err = f.dir.quarantine(f.name, "found", f.now()); err != nil {
				return found, err
			}
		}
	}
	// SQLite would take a log of the old file for that of the new one.
	for _, suffix := range suffixes[1:] {
		if err := os.Remove(f.path() + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return found, err
		}
	}

	if err := f.dir.rename(freshFile, f.name); err != nil {
		return found, err
	}

	_ = f.disconnect()

	return found, f.reconnect()
}

// switchFiles opens the files that have replaced ours. The caller holds registry.mu and
// both files' mu.
func (sh *shared) switchFiles(ctx context.Context) error {
	for _, f := range []*file{sh.tokens, sh.units} {
		if is := f.names(); f.moved(false) && is[0] == (fileID{}) && !sh.dir.readOnly {
			return fmt.Errorf("%s was removed while it was open: run the command again", f.path())
		}
	}

	d, _, err := prepareDir(sh.dir.path, sh.dir.readOnly)
	if err != nil {
		return err
	}

	sh.adopt(d)

	if err := sh.relock(); err != nil && (!sh.dir.readOnly || !errors.Is(err, fs.ErrNotExist)) {
		return err
	}

	if !sh.dir.readOnly {
		if err := sh.locks.lock(ctx, unix.F_WRLCK, rangeOpen); err != nil {
			return err
		}
		defer sh.locks.unlock(rangeOpen)
	}

	for _, f := range []*file{sh.tokens, sh.units} {
		if !f.moved(false) {
			continue
		}

		if err := f.reopen(); err != nil {
			return err
		}
	}

	return nil
}

// reopen opens the file that has the name of ours now.
func (f *file) reopen() error {
	_ = f.disconnect()
	if f.reset != nil {
		f.reset()
	}

	err := f.open()
	if err != nil && f.db == nil && !f.dir.readOnly {
		_ = f.reconnect()
	}

	return err
}
