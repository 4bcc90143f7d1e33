package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/tokens"
)

// The copy of tokens.db is a second SQLite file, in rollback-journal mode so that it is
// one file. Each change of a chain is written to it as well, in a transaction of its
// own: a whole copy with each rotation would cost 10,000 tenants 40 MB of writing,
// several times a second. Both carry a generation that counts changes; when the copy is
// not exactly one behind, or cannot be written, a whole copy is made beside it and
// renamed over it. It is opened for each change and closed again, so that a rename
// never meets an open handle.
const (
	tokensFile = "tokens.db"
	copyFile   = "tokens.db.bak"
	freshFile  = "tokens.db.new" // a copy that is being made; nobody else opens it under this name
	copyParams = "&_journal_mode=DELETE&_synchronous=FULL&_pragma=secure_delete(1)&_pragma=cache_size(-256)"
)

// change runs fn in a transaction on tokens.db, and writes the rows and seeds that it
// returns to tokens.db and to the copy. It changes nothing in a file that may not be
// used with the configured key.
func (c *Chains) change(ctx context.Context, fn func(tx) ([]seal.Row, []seed, error)) error {
	return c.apply(ctx, &alteration{sh: c.s.sh, fn: fn, key: c.s.sh.key.Load()})
}

// rewrite is change with another key. It accepts the file even if it does not fit its
// seal.
func (c *Chains) rewrite(ctx context.Context, to *seal.Key, fn func(tx) ([]seal.Row, []seed, error)) error {
	return c.apply(ctx, &alteration{
		sh:     c.s.sh,
		fn:     fn,
		key:    to,
		anyway: true,
	})
}

func (c *Chains) apply(ctx context.Context, a *alteration) error {
	if err := c.s.writable(); err != nil {
		return err
	}

	sh := c.s.sh
	if err := sh.checkFiles(true); err != nil {
		return err
	}

	return sh.tokens.use(ctx, func() error {
		wait, cancel := context.WithTimeout(ctx, busyTimeout)
		defer cancel()

		lockErr := sh.locks.lock(wait, unix.F_WRLCK, rangeCopy)
		if lockErr == nil {
			defer sh.locks.unlock(rangeCopy)
		}

		err := sh.tokens.transact(ctx, a.run)
		if err != nil || a.idle {
			return err
		}

		sh.anchor.Commit(a.sealed)

		if a.barred != nil {
			sh.log.Warn(fmt.Sprintf("the tokens in %s were accepted, although: %v", sh.tokens.path(), a.barred))
		}

		copyErr := lockErr
		if copyErr == nil {
			copyErr = sh.updateCopy(a)
		}

		sh.copyTrouble(copyErr)

		return nil
	})
}

// alteration is one change to tokens.db. run sets the fields after anyway.
type alteration struct {
	sh     *shared
	fn     func(tx) ([]seal.Row, []seed, error)
	key    *seal.Key // encrypts the seal
	anyway bool      // accept the file even if it does not fit its seal

	idle       bool // there was nothing to do
	barred     error
	generation int64
	rows       []seal.Row
	seeds      []seed
	sealed     seal.Change
}

func (a *alteration) run(t tx) error {
	a.idle = false
	table := chainTable{t}

	a.barred = a.sh.guard(t)
	if a.barred != nil && (!a.anyway || !errors.Is(a.barred, tokens.ErrBarred)) {
		return a.barred
	}

	if errors.Is(a.barred, store.ErrPlain) { // encrypting the tokens is what this change does
		a.barred = nil
	}

	var err error

	a.rows, a.seeds, err = a.fn(t)
	if err != nil {
		return err
	}

	if len(a.rows)+len(a.seeds) == 0 && a.barred == nil {
		a.idle = true
		return nil
	}

	if err := table.writeAll(a.rows, a.seeds); err != nil {
		return err
	}

	err = t.row(`INSERT INTO meta VALUES ('generation', max(0, ?1) + 1)
		ON CONFLICT DO UPDATE SET v = max(v, ?1) + 1 RETURNING v`, int64(a.sh.anchor.Floor())).Scan(&a.generation)
	if err != nil {
		return err
	}

	a.sealed, err = a.sh.anchor.Reseal(table, a.key, uint64(a.generation), a.rows, a.anyway)

	return err
}

func (t chainTable) writeAll(rows []seal.Row, seeds []seed) error {
	for i := range rows {
		if err := t.write(&rows[i]); err != nil {
			return err
		}
	}

	for _, s := range seeds {
		if err := s.write(t.tx); err != nil {
			return err
		}
	}

	return nil
}

// copyTrouble logs when writing the copy begins to fail, and when it works again.
func (sh *shared) copyTrouble(err error) {
	path := sh.dir.join(copyFile)
	if err != nil && !sh.copyFails {
		sh.log.Warn(
			fmt.Sprintf(
				"%s, the copy that is used when %s is damaged, cannot be written: %v",
				path,
				tokensFile,
				explain(path, err),
			),
		)
	} else if err == nil && sh.copyFails {
		sh.log.Info(fmt.Sprintf("%s is written again", path))
	}

	sh.copyFails = err != nil
}

// updateCopy brings the copy from one generation to the next, or makes a whole new one.
// The caller holds rangeCopy and tokens.mu.
func (sh *shared) updateCopy(a *alteration) error {
	if a.barred != nil { // the copy may differ from what the file was
		return sh.wholeCopy()
	}

	if ok, err := sh.appendCopy(a); ok || errors.Is(err, store.ErrFull) {
		return err
	}

	return sh.wholeCopy()
}

func (sh *shared) appendCopy(a *alteration) (done bool, err error) {
	info, err := os.Lstat(sh.dir.join(copyFile))
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false, err
	}

	db, err := sql.Open("sqlite", dsn(sh.dir.join(copyFile), "rw", copyParams))
	if err != nil {
		return false, err
	}
	defer db.Close()

	db.SetMaxOpenConns(1)
	f := &file{db: db}
	err = f.transact(context.Background(), func(t tx) error {
		var at int64
		if err := t.QueryRow(`SELECT v FROM meta WHERE k = 'generation'`).Scan(&at); err != nil {
			return err
		}

		if at != a.generation-1 {
			return nil
		}

		done = true
		table := chainTable{t}

		if err := table.writeAll(a.rows, a.seeds); err != nil {
			return err
		}

		if err := table.PutSeal(a.sealed.Seal); err != nil {
			return err
		}

		_, err := t.Exec(`UPDATE meta SET v = ? WHERE k = 'generation'`, a.generation)

		return err
	})

	return done && err == nil, explain(sh.dir.join(copyFile), err)
}

// wholeCopy replaces the copy with a new one of tokens.db.
func (sh *shared) wholeCopy() error {
	// A journal left beside the old copy would be rolled back into the new one.
	if err := os.Remove(sh.dir.join(copyFile + "-journal")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	if info, err := os.Lstat(sh.dir.join(copyFile)); err == nil && !info.Mode().IsRegular() {
		if _, err := sh.dir.quarantine(copyFile, "damaged", sh.now()); err != nil {
			return err
		}
	}

	return vacuumInto(sh.tokens.db, sh.dir, copyFile)
}

// vacuumInto writes a whole copy of a database to a new file and renames that to name,
// so that the file of this name is complete at any time.
func vacuumInto(db *sql.DB, d directory, name string) error {
	if err := vacuumFresh(db, d); err != nil {
		return err
	}

	return d.rename(freshFile, name)
}

// vacuumFresh writes a whole copy of a database to freshFile. If other processes may do
// that too, the caller holds rangeCopy.
func vacuumFresh(db *sql.DB, d directory) error {
	fresh := d.join(freshFile)
	for _, suffix := range suffixes {
		if err := os.Remove(fresh + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}

	if existed, err := d.create(freshFile); err != nil || existed {
		return errors.Join(err, fmt.Errorf("%s: cannot be made", fresh))
	}

	if _, err := db.Exec(`VACUUM INTO ?`, fresh); err != nil {
		_ = os.Remove(fresh)
		return err
	}
	// VACUUM INTO does not sync what it wrote. No SQLite handle is on the file any more:
	// it may be opened here.
	f, err := os.OpenFile(fresh, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}

	return errors.Join(f.Sync(), f.Close())
}

// restoreTokens replaces tokens.db with its copy. It returns false if there is no good
// copy; it renames a damaged one.
func (sh *shared) restoreTokens() (bool, error) {
	info, err := os.Lstat(sh.dir.join(copyFile))
	if errors.Is(err, fs.ErrNotExist) || (err == nil && info.Mode().IsRegular() && info.Size() == 0) {
		return false, nil
	}

	if err != nil {
		return false, explain(sh.dir.join(copyFile), err)
	}

	c := sh.copyToRead()

	err = c.dir.inspect(copyFile)
	if err == nil {
		err = c.judgeFile(true)
	}

	if err == nil {
		err = c.connect()
	}

	if err == nil {
		defer c.disconnect()

		if err = vacuumInto(c.db, sh.dir, tokensFile); err == nil {
			sh.anchor.Forget()
			return true, nil
		}
	}

	if !isDamage(err) {
		return false, explain(sh.dir.join(copyFile), err)
	}

	renamed, renameErr := sh.dir.quarantine(copyFile, "damaged", sh.now())
	sh.log.Error(
		fmt.Sprintf(
			"%s, the copy of %s, is damaged as well (%v); it was renamed to %s",
			sh.dir.join(copyFile),
			tokensFile,
			err,
			renamed,
		),
	)

	return false, renameErr
}

// copyToRead returns the copy as a file of its own, not open yet. A copy of an older
// version is not converted: the file that is made from it is, and then the copy is
// replaced.
func (sh *shared) copyToRead() *file {
	c := &file{
		spec: sh.tokens.spec,
		dir:  sh.dir,
		now:  sh.now,
		log:  sh.log,
	}
	c.name = copyFile
	c.params = copyParams
	c.asItIs = true

	return c
}

// refreshCopy replaces the copy at start unless it is good, of the present version and
// of the same generation.
//
// A copy that is newer than the file, by its seal, replaces the file: somebody put back
// an older file, or the disk lost what it had confirmed. While another process has the
// file open, the file is refused instead.
func (sh *shared) refreshCopy() {
	var mine int64
	if err := sh.tokens.db.QueryRow(`SELECT v FROM meta WHERE k = 'generation'`).Scan(&mine); err != nil {
		return // nothing was ever saved, or the next use of the table reports a fault
	}

	its, sealed, current := sh.generationOfCopy()
	switch {
	case its > mine && sealed:
		_ = sh.tokens.disconnect()
		if err := sh.tokens.replace(errOlder); err != nil {
			sh.log.Error(err.Error())

			sh.anchor.Raise(uint64(its))

			if err := sh.tokens.reconnect(); err != nil {
				sh.log.Error(explain(sh.tokens.path(), err).Error())
			}
		}
	case its != mine || !current:
		sh.copyTrouble(sh.wholeCopy())
	}
}

// errOlder is the damage of a file that is older than its copy.
var errOlder = fmt.Errorf("%w: it is older than its copy", store.ErrDamaged)

// generationOfCopy returns how many changes the copy has, or -1 if that is not known.
// sealed reports whether a seal with our key confirms the number, and current whether
// the copy is of the present version.
func (sh *shared) generationOfCopy() (generation int64, sealed, current bool) {
	c := sh.copyToRead()

	info, err := os.Lstat(c.path())
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 || c.connect() != nil {
		return -1, false, false
	}
	defer c.disconnect()

	var version int64
	if c.db.QueryRow(`SELECT (SELECT v FROM meta WHERE k = 'generation'), (SELECT v FROM meta WHERE k = 'version')`).
		Scan(&generation, &version) != nil {
		return -1, false, false
	}

	current = version == c.version

	var stored []byte

	key := sh.key.Load()
	if key == nil || c.db.QueryRow(`SELECT v FROM meta WHERE k = '`+sealName+`'`).Scan(&stored) != nil {
		return generation, false, current
	}

	counted, ok := key.Generation(stored)

	return generation, ok && counted == uint64(generation), current
}
