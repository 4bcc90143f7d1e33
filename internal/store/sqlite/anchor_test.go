package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/internal/store/storetest"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

// attacked is a data_dir of an attacker who can write its files.
type attacked struct {
	w *world
	s *Store
}

func (a *attacked) Open(key []byte) tokens.ChainStore {
	a.close()
	a.s = a.w.open(noInputs, withKey(key))

	return a.s.Tokens()
}

func (a *attacked) close() {
	if a.s != nil {
		if err := a.s.Close(); err != nil {
			a.w.t.Fatal(err)
		}
	}
}

func (a *attacked) Row(key tokens.ChainKey) any {
	a.w.t.Helper()

	var (
		row seal.Row
		ok  bool
	)

	err := a.s.sh.tokens.update(a.w.t.Context(), func(t tx) (err error) {
		row, ok, err = chainTable{t}.Find(key)
		return err
	})
	if err != nil {
		a.w.t.Fatal(err)
	}

	if !ok {
		return nil
	}

	return row
}

func (a *attacked) Put(key tokens.ChainKey, row any) {
	a.w.t.Helper()

	err := a.s.sh.tokens.update(a.w.t.Context(), func(t tx) error {
		if row == nil {
			err := t.exec(`DELETE FROM chains WHERE tenant_id = ?`, key.TenantID)
			return err
		}

		r := row.(seal.Row)
		r.Key = key

		return chainTable{t}.write(&r)
	})
	if err != nil {
		a.w.t.Fatal(err)
	}
}

func (a *attacked) Rekey(to []byte) error {
	_, err := a.s.Tokens().Rekey(a.w.t.Context(), to)
	return err
}

func TestSQLiteKeepsThePromisesOfStore(t *testing.T) {
	storetest.TestStore(
		t,
		func(t *testing.T) store.Store { return newWorld(t).open(noInputs) },
		func(t *testing.T) tokenstest.Tamperer { return &attacked{w: newWorld(t)} },
	)
}

// refused expects that no token is used, and that the operator is told what to do.
func refused(t *testing.T, s *Store, want error) {
	t.Helper()

	_, ok, err := s.Tokens().Load(t.Context(), chainKey(1))
	if ok || !errors.Is(err, want) || errors.Is(want, store.ErrTampered) &&
		!strings.Contains(err.Error(), "tokens rekey") {
		t.Errorf("Load: %v, %v; want %v", ok, err, want)
	}

	list, err := s.Tokens().List(t.Context())
	if err != nil || len(list) == 0 || !errors.Is(list[0].Err, want) || !list[0].Chain.Refresh.IsZero() {
		t.Errorf("List: %+v, %v; want %v", list, err, want)
	}

	if text := strings.Join(s.Warnings(), "\n"); !s.inputs && !strings.Contains(text, want.Error()) {
		t.Errorf("warnings: %q", text)
	}
}

// changedFile is a closed store with two changes of one chain; older has its files
// after the first one.
func changedFile(t *testing.T) (w *world, older string) {
	t.Helper()
	w = newWorld(t)
	older = t.TempDir()
	s := w.open(noInputs, withKey(testKey))
	save(t, s, 1, "old")
	s.Close()

	for _, name := range []string{tokensFile, copyFile} {
		copyTo(t, filepath.Join(w.dir, name), filepath.Join(older, name))
	}

	s = w.open(noInputs, withKey(testKey))
	save(t, s, 1, "new")
	s.Close()

	return w, older
}

func TestASealThatWasTamperedWithIsRefused(t *testing.T) {
	for name, change := range map[string]string{
		"taken away":  `DELETE FROM meta WHERE k = 'seal'`,
		"of nonsense": `UPDATE meta SET v = x'0102' WHERE k = 'seal'`,
		"with another sum": `UPDATE meta SET v = substr(v, 1, 16) || zeroblob(32) || substr(v, 49) WHERE k ` +
			`= 'seal'`,
		"with another count":     `UPDATE meta SET v = 9 WHERE k = 'generation'`,
		"beside a lost row":      `DELETE FROM chains`,
		"beside a row marked so": `UPDATE chains SET dead = '', crc = crc + 0, account = ''`,
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := changedFile(t)
			s := w.open(noInputs, withKey(testKey))
			save(t, s, 2, "another") // so that a lost row leaves another one, and List has something to say
			s.Close()

			path := filepath.Join(w.dir, tokensFile)

			switch name {
			case "beside a lost row":
				change += ` WHERE tenant_id = '` + chainKey(1).TenantID + `'`
			case "beside a row marked so":
				s := w.open(noInputs, withKey(testKey))
				a := &attacked{w: w, s: s}
				row := a.Row(chainKey(1)).(seal.Row)
				row.Dead = `{"codes":[700082]}`
				a.Put(chainKey(1), row)
				s.Close()

				change = ""
			}

			if change != "" {
				tamper(t, path, change)
			}

			s = w.open(noInputs, withKey(testKey))
			if name == "of nonsense" { // it names another key
				refused(t, s, store.ErrKey)
				return
			}

			refused(t, s, store.ErrTampered)
		})
	}
}

func TestAnOlderFileGivesWayToItsNewerCopy(t *testing.T) {
	w, older := changedFile(t)
	copyTo(t, filepath.Join(older, tokensFile), filepath.Join(w.dir, tokensFile))

	s := w.open(noInputs, withKey(testKey))
	expectToken(t, s, 1, "new")

	if !w.logged("older than its copy") || !w.logged("came back from its copy") {
		t.Errorf("log: %q", w.logs.String())
	}

	save(t, s, 1, "newer")
	s.Close()
	expectToken(t, w.open(noInputs, withKey(testKey)), 1, "newer")
}

func TestAnOlderFileIsRefusedInARunningProcess(t *testing.T) {
	w, older := changedFile(t)
	s := w.open(noInputs, withKey(testKey))
	expectToken(t, s, 1, "new")

	// The rows and the seal of the older file, written into the open one.
	a := &attacked{w: w, s: s}

	source := &attacked{w: newWorld(t)}
	if err := os.Mkdir(source.w.dir, 0o700); err != nil {
		t.Fatal(err)
	}

	copyTo(t, filepath.Join(older, tokensFile), filepath.Join(source.w.dir, tokensFile))
	source.s = source.w.open(readOnly, withKey(testKey))

	var (
		row    seal.Row
		stored []byte
	)

	err := source.s.view(t.Context(), source.s.sh.tokens, func(tx tx) (err error) {
		if stored, err = (chainTable{tx}).Seal(); err == nil {
			row, _, err = chainTable{tx}.Find(chainKey(1))
		}

		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	a.Put(chainKey(1), row)

	err = s.sh.tokens.update(t.Context(), func(tx tx) error {
		if err := tx.exec(`UPDATE meta SET v = 1 WHERE k = 'generation'`); err != nil {
			return err
		}

		return chainTable{tx}.PutSeal(stored)
	})
	if err != nil {
		t.Fatal(err)
	}

	if c, ok, err := s.Tokens().Load(t.Context(), chainKey(1)); ok || !errors.Is(err, store.ErrTampered) {
		t.Errorf("Load: %q, %v, %v", c.Refresh.Reveal(), ok, err)
	}

	if err := s.Tokens().Save(t.Context(), chainKey(1), chainOf("x")); !errors.Is(err, store.ErrTampered) {
		t.Errorf("Save: %v", err)
	}
}

func TestTheFileOfAnOlderVersionIsSealedWhenItIsOpened(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{tokensFile, copyFile} {
		copyTo(t, filepath.Join("..", "..", "..", "testdata", "store", "v1", name), filepath.Join(w.dir, name))
	}

	looking := w.open(readOnly, withKey(testKey))
	expectToken(t, looking, 1, "version-1-token") // without a change to the file
	looking.Close()

	s := w.open(noInputs, withKey(testKey))
	a := &attacked{w: w, s: s}

	row := a.Row(chainKey(1)).(seal.Row)
	if !row.Current(s.sh.key.Load()) || !s.sh.anchor.Sealed() || len(s.Warnings()) > 0 {
		t.Errorf("form %d, sealed %t, warnings %q", row.Refresh[0], s.sh.anchor.Sealed(), s.Warnings())
	}

	s.Close()
	tamper(t, filepath.Join(w.dir, tokensFile), `DELETE FROM meta WHERE k = 'seal'`)
	refused(t, w.open(noInputs, withKey(testKey)), store.ErrTampered)
}

// verified returns what somebody knows who has read the whole table just now.
func verified(t testing.TB, s *Store) seal.Anchor {
	t.Helper()

	fresh := seal.Anchor{Where: s.sh.anchor.Where, Remedy: s.sh.anchor.Remedy}

	err := s.view(t.Context(), s.sh.tokens, func(t tx) error { return fresh.Check(chainTable{t}, s.sh.key.Load()) })
	if err != nil {
		t.Fatal(err)
	}

	return fresh
}

// The seal that grew with each change is the one that the whole table gives.
func TestTheSealFollowsEveryKindOfChange(t *testing.T) {
	w := newWorld(t)

	s := w.open(noInputs, withKey(testKey))
	for n := range 20 {
		save(t, s, n%7, fmt.Sprint("token-", n))

		if n%5 == 4 {
			if _, err := s.Tokens().Remove(t.Context(), chainKey(n%7)); err != nil {
				t.Fatal(err)
			}
		}

		if fresh := verified(t, s); !reflect.DeepEqual(fresh, s.sh.anchor) {
			t.Fatalf("after change %d %+v is known, want %+v", n, s.sh.anchor, fresh)
		}
	}
}

func TestTheWritesOfAnotherProcessAreFollowed(t *testing.T) {
	w := newWorld(t)

	s := w.open(noInputs, withKey(testKey))
	for n := range 5 {
		save(t, s, n, fmt.Sprint("token-", n))
	}

	mine := verified(t, s) // what this process knows before the other one writes

	save(t, s, 1, "by another process")
	save(t, s, 7, "new")

	if _, err := s.Tokens().Remove(t.Context(), chainKey(2)); err != nil {
		t.Fatal(err)
	}

	theirs := s.sh.anchor
	s.sh.anchor = mine
	expectToken(t, s, 1, "by another process")
	expectToken(t, s, 7, "new")
	expectToken(t, s, 2, "")
	expectToken(t, s, 3, "token-3")

	if !reflect.DeepEqual(s.sh.anchor, theirs) {
		t.Errorf("%+v is known, want %+v", s.sh.anchor, theirs)
	}

	// A row that keeps its version and changes all the same is met when it is used, the
	// others are fine.
	a := &attacked{w: w, s: s}
	row := a.Row(chainKey(3)).(seal.Row)
	row.Account = "somebody else"
	a.Put(chainKey(3), row)

	if _, ok, err := s.Tokens().Load(t.Context(), chainKey(3)); ok || !errors.Is(err, store.ErrTampered) {
		t.Errorf("Load: %v, %v", ok, err)
	}

	expectToken(t, s, 4, "token-4")
}
