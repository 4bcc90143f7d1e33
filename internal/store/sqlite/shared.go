package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
)

// shared is what all openings of one directory in this process have in common. A file
// is opened only once, since SQLite's locks belong to the process.
type shared struct {
	id      sharedID
	dir     directory
	key     atomic.Pointer[seal.Key]
	locks   ranges
	checked atomic.Int64 // when checkFiles last checked, in nanoseconds since began
	chains  chainMutexes // locks chains among goroutines, as locks does among processes
	tokens  *file
	units   *file
	cache   unitCaches
	now     func() time.Time
	uptime  func() time.Duration
	bootID  func() string
	log     *slog.Logger

	copyFails bool        // guarded by tokens.mu
	anchor    seal.Anchor // guarded by tokens.mu

	// Guarded by registry.mu.
	refs, inputRefs int
	inputsLock      *os.File
	crashed         bool
	warnings        []string
	rescueFailed    time.Time
}

type sharedID struct {
	dir      [2]uint64
	readOnly bool
}

// registry has the directories that are open in this process. It is package state
// because SQLite's POSIX locks are process state.
var registry = struct {
	mu   sync.Mutex
	open map[sharedID]*shared
}{open: make(map[sharedID]*shared)}

// share returns what all openings of a directory have in common, and opens it if this is
// the first. The caller holds registry.mu.
func share(o Options, key *seal.Key) (sh *shared, warnings []string, err error) {
	for _, sh := range registry.open { // one whose directory was replaced gets its new id first
		_ = sh.restoreFiles()
	}

	dir, warnings, err := prepareDir(o.Dir, o.ReadOnly)
	if err != nil {
		return nil, nil, err
	}

	id := sharedID{dir.id, o.ReadOnly}
	if sh := registry.open[id]; sh != nil {
		return sh, warnings, sh.join(key, o.Inputs)
	}

	sh = &shared{
		id:     id,
		dir:    dir,
		now:    o.Now,
		uptime: o.Uptime,
		bootID: o.BootID,
		log:    o.Log,
	}
	sh.key.Store(key)

	if err := sh.open(o.Inputs); err != nil {
		return nil, nil, err
	}

	registry.open[id] = sh

	return sh, warnings, nil
}

// join checks a further opening against the first. The caller holds registry.mu.
func (sh *shared) join(key *seal.Key, inputs bool) error {
	if !key.Same(sh.key.Load()) {
		return fmt.Errorf(
			"%s: %w: two inputs of this process have different key_file settings; give them the same",
			sh.dir.path,
			store.ErrKey,
		)
	}

	if inputs && sh.inputsLock == nil {
		return sh.beginInputs()
	}

	return nil
}

// open opens the files for the first opening. On an error nothing stays open.
func (sh *shared) open(inputs bool) (err error) {
	defer func() {
		if err != nil {
			_ = sh.shut()
		}
	}()

	if inputs {
		if sh.inputsLock, err = lockInputs(sh.dir, otherDir); err != nil {
			return err
		}
	}

	f, err := sh.dir.openLockFile(lockFile)
	if err != nil && (!sh.dir.readOnly || !errors.Is(err, os.ErrNotExist)) {
		return err
	}

	sh.locks.replace(f)
	sh.makeFiles()

	if f != nil {
		unlock, err := sh.lockForOpening()
		if err != nil {
			return err
		}
		defer unlock()
	}

	if err := sh.openFiles(); err != nil {
		return err
	}

	if inputs {
		return sh.markBoot()
	}

	return nil
}

// lockForOpening takes the lock of a user, which is kept until the store is closed, and
// the lock under which files are made and checked, which is kept until unlock is
// called.
func (sh *shared) lockForOpening() (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()

	unlock = func() {}

	if !sh.dir.readOnly {
		if err := sh.locks.lock(ctx, unix.F_WRLCK, rangeOpen); err != nil {
			return nil, err
		}

		unlock = func() { sh.locks.unlock(rangeOpen) }
	}

	if err := sh.locks.lock(ctx, unix.F_RDLCK, rangeUsers); err != nil {
		unlock()
		return nil, err
	}

	return unlock, nil
}

// openTimeout bounds the wait for other processes that open the same directory.
const openTimeout = 30 * time.Second

// openFiles opens both databases and brings the copy of tokens.db up to date. The
// caller holds rangeOpen.
func (sh *shared) openFiles() error {
	if err := sh.dir.inspectAll(copyFile); err != nil {
		return err
	}

	for _, db := range []*file{sh.tokens, sh.units} {
		if err := db.open(); err != nil {
			return err
		}

		sh.warnings = append(sh.warnings, db.warnings...)
	}

	if sh.dir.readOnly {
		return nil
	}

	if err := sh.locks.try(unix.F_WRLCK, rangeCopy); err == nil { // else another process is writing it now
		sh.refreshCopy()
		sh.locks.unlock(rangeCopy)
	}

	if _, err := sh.dir.narrow(copyFile); err != nil {
		return explain(sh.dir.join(copyFile), err)
	}

	return nil
}

func (sh *shared) makeFiles() {
	sh.anchor = seal.Anchor{
		Where:  sh.dir.join(tokensFile),
		Remedy: "Put back the newest good " + tokensFile + " and " + copyFile,
	}

	sh.tokens = sh.newFile(tokensSpec)
	sh.tokens.restore = sh.restoreTokens
	sh.tokens.replaced = sh.anchor.Forget

	sh.units = sh.newFile(unitsSpec)
	sh.units.reset = sh.cache.clear
	sh.units.renewed = sh.renewBoot
}

func (sh *shared) newFile(s spec) *file {
	return &file{
		spec:  s,
		mu:    newMutex(),
		dir:   sh.dir,
		locks: &sh.locks,
		log:   sh.log,
		now:   sh.now,
	}
}

var tokensSpec = spec{
	name:    tokensFile,
	appID:   0x6664746b, // "fdtk"
	version: 3,
	// Version 2 changed defender.db only, but both files have the same versions.
	upgrades: []upgrade{{}, tokensTo3},
	schema:   tokensSchema,
	// FULL: Save promises that the chain survives a crash of the machine.
	// secure_delete: a removed token is overwritten.
	params: "&_journal_mode=WAL&_synchronous=FULL&_pragma=secure_delete(1)&_pragma=cache_size(-512)" +
		"&_pragma=journal_size_limit(1048576)",
	verify: verifyChains,
	lost: "there are no refresh tokens any more: sign in to each tenant again with " +
		"`defenderctl tokens acquire`",
}

var unitsSpec = spec{
	name:     unitsFile,
	appID:    0x66646664, // "fdfd"
	version:  3,
	upgrades: []upgrade{unitsTo2, unitsTo3},
	schema:   unitsSchema,
	// FULL, not NORMAL. With NORMAL a commit is on disk only when the write-ahead log
	// is next synced, which is minutes later at a low rate. After a power cut the file
	// would be older by an unknown time, all of which repeats. And the last commit on
	// disk would not show when the machine died, which is needed to undo the two
	// minutes whose chunks may be missing. With FULL every commit is on disk when it
	// returns, and exactly those two minutes are undone at the next start (boot.go).
	// This costs one fdatasync per commit, and a commit is for all units.
	params: "&_journal_mode=WAL&_synchronous=FULL&_pragma=cache_size(-2048)&_pragma=journal_size_limit(8388608)",
	verify: verifyUnits,
	lost:   "polling restarts from lookback; alerts since then may be emitted again",
}

// beginInputs turns a store that was opened without Inputs into one that polls. The
// caller holds registry.mu.
func (sh *shared) beginInputs() error {
	lock, err := lockInputs(sh.dir, otherDir)
	if err != nil {
		return err
	}

	sh.inputsLock = lock
	if err := sh.markBoot(); err != nil {
		return errors.Join(err, sh.endInputs())
	}

	return nil
}

// endInputs lets another process run inputs. The caller holds registry.mu.
func (sh *shared) endInputs() error {
	_ = sh.units.mu.lock(context.Background())
	sh.cache = unitCaches{}
	sh.units.mu.unlock()
	lock := sh.inputsLock
	sh.inputsLock = nil

	return lock.Close()
}

// excludeInputs keeps inputs of any process from starting until release is called. It
// returns store.ErrInUse if inputs are running.
func (sh *shared) excludeInputs() (release func(), err error) {
	registry.mu.Lock()
	defer registry.mu.Unlock()

	if sh.inputsLock != nil {
		return nil, fmt.Errorf("%s: %w: inputs of this very process run on it", sh.dir.path, store.ErrInUse)
	}

	lock, err := lockInputs(sh.dir, stopOther)
	if err != nil {
		return nil, err
	}

	return func() { _ = lock.Close() }, nil
}

// shut releases everything.
func (sh *shared) shut() error {
	var errs []error

	for _, f := range []*file{sh.tokens, sh.units} {
		if f != nil {
			errs = append(errs, f.close())
		}
	}

	errs = append(errs, sh.locks.close())
	if sh.inputsLock != nil {
		errs = append(errs, sh.inputsLock.Close())
	}

	return errors.Join(errs...)
}
