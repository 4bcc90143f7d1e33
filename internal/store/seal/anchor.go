package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// The seal of a table of chains is
//
//	keyID[8] generation[8] sum[32] code[32]
//
// where sum adds up, modulo 2^256, the authentication codes of all rows. So a change of
// one row costs the code of that row, not of all (an incremental multiset hash; Clarke
// et al., Asiacrypt 2003). code authenticates the rest. If a row was added, removed,
// altered, or put back from an older state of the table by somebody without the key,
// the table does not fit the seal, and nothing is read from it.
//
// A process verifies the whole table once and remembers the codes. If the seal is
// another one than it knows, another process has written, and only the rows with
// another version are read again. A row is compared with its code each time it is used
// (Find).
const sealLen = keyIDLen + 8 + sha256.Size + sha256.Size

// Table is a store's table of chains, in one transaction.
type Table interface {
	// Seal returns what PutSeal stored last; nil if there is none.
	Seal() ([]byte, error)
	// PutSeal stores a seal, or removes it if it is nil.
	PutSeal([]byte) error
	// Generation returns how many changes were made to the table.
	Generation() (uint64, error)
	// Find returns the row of a chain; ok is false if there never was one.
	Find(key tokens.ChainKey) (r Row, ok bool, err error)
	// Each calls do for each row, until it returns an error.
	Each(do func(r *Row) error) error
	// EachVersion calls do for the version of each row.
	EachVersion(do func(key tokens.ChainKey, version int64)) error
}

// Anchor is what a process knows of the seal of one table. The store's lock on the table
// guards it.
type Anchor struct {
	// 	// Where names the table, for people. Remedy says how to get good tokens back.
	Where, Remedy string
	// seal is the seal that was verified; nil: none was verified yet, or there is none.
	seal []byte
	// rows are the rows that it covers, and sum is the sum of their codes.
	rows map[tokens.ChainKey]sealedRow
	sum  rowCode
	// floor is the newest generation that was ever seen. A seal with an older one is
	// from an older table.
	floor uint64
}

// rowCode is the authentication code of a row, or a sum of such codes.
type rowCode [sha256.Size]byte

// sealedRow is what is known of a row under the seal.
type sealedRow struct {
	version int64
	code    rowCode
}

// plus returns the sum modulo 2^256, minus the difference.
func (c rowCode) plus(d rowCode) rowCode {
	carry := 0
	for i := len(c) - 1; i >= 0; i-- {
		carry += int(c[i]) + int(d[i])
		c[i] = byte(carry)
		carry >>= 8
	}

	return c
}

func (c rowCode) minus(d rowCode) rowCode {
	borrow := 0
	for i := len(c) - 1; i >= 0; i-- {
		borrow += int(c[i]) - int(d[i])
		c[i] = byte(borrow)
		borrow >>= 8
	}

	return c
}

func (k *Key) code(r *Row) rowCode { return k.authenticate("row\n", r.Bytes()) }

// writeSeal returns the seal of a table.
func (k *Key) writeSeal(generation uint64, sum rowCode) []byte {
	b := slices.Clone(k.id[:])
	b = binary.BigEndian.AppendUint64(b, generation)
	b = append(b, sum[:]...)

	end := k.authenticate("seal\n", b)

	return append(b, end[:]...)
}

// Generation returns the generation that a seal states; ok is false unless the seal was
// made with k.
func (k *Key) Generation(seal []byte) (generation uint64, ok bool) {
	if k == nil {
		return 0, false
	}

	generation, _, ok = k.readSeal(seal)

	return generation, ok
}

func (k *Key) readSeal(b []byte) (generation uint64, sum rowCode, ok bool) {
	if len(b) != sealLen {
		return 0, sum, false
	}

	text, end := b[:sealLen-sha256.Size], b[sealLen-sha256.Size:]

	want := k.authenticate("seal\n", text)
	if !hmac.Equal(end, want[:]) {
		return 0, sum, false
	}

	copy(sum[:], text[keyIDLen+8:])

	return binary.BigEndian.Uint64(text[keyIDLen:]), sum, true
}

// tampered is store.ErrTampered with what was found and the remedy.
func (a *Anchor) tampered(found string) error {
	return fmt.Errorf("%s: %w: %s. %s; or, if you know why, "+
		"stop Fluent Bit and run `defenderctl tokens rekey --key-file FILE`, which accepts what is there",
		a.Where, store.ErrTampered, found, a.Remedy)
}

// Check returns an error unless what the table holds may be used with k: store.ErrKey,
// store.ErrPlain or store.ErrTampered.
func (a *Anchor) Check(t Table, k *Key) error {
	stored, err := t.Seal()
	switch {
	case err != nil:
		return err
	case stored == nil && k == nil:
		return nil
	case stored == nil:
		return a.checkUnsealed(t, k)
	case k != nil && bytes.Equal(stored, a.seal):
		return nil
	}

	if err := k.mismatch(stored[:min(len(stored), keyIDLen)]); err != nil {
		return fmt.Errorf("%s: %w", a.Where, err)
	}

	return a.verify(t, k, stored)
}

// checkUnsealed is Check for a table without a seal. It is new, or was written by an
// older version or without a key.
func (a *Anchor) checkUnsealed(t Table, k *Key) error {
	ours, plain := false, false

	err := t.Each(func(r *Row) error {
		for _, b := range [][]byte{r.Refresh, r.Previous} {
			switch {
			case len(b) == 0:
			case b[0] == formSealed:
				return a.tampered("its seal is missing")
			case b[0] == formPlain:
				plain = true
			case k.encrypted(b):
				ours = true
			}
		}

		return nil
	})

	switch {
	case err != nil:
		return err
	case a.floor > 0:
		return a.tampered("its seal is missing")
	case plain && !ours:
		return fmt.Errorf("%s: %w", a.Where, errPlain)
	}

	return nil
}

// verify compares a seal that is not known yet with the table, and remembers both.
func (a *Anchor) verify(t Table, k *Key, stored []byte) error {
	generation, sum, ok := k.readSeal(stored)
	if !ok {
		return a.tampered("its seal is not genuine")
	}

	if generation < a.floor {
		return a.tampered("it is older than what was there before")
	}

	counted, err := t.Generation()
	if err != nil {
		return err
	}

	rows, found, err := k.survey(t, a.rows)
	if err != nil {
		return err
	}

	if counted != generation || found != sum {
		return a.tampered("its tokens are not those that were written last")
	}

	a.seal = bytes.Clone(stored)
	a.rows = rows
	a.sum = sum
	a.floor = generation

	return nil
}

// survey computes the codes of all rows, and their sum. It does not read rows again
// that are known in their present version.
func (k *Key) survey(t Table, known map[tokens.ChainKey]sealedRow) (
	rows map[tokens.ChainKey]sealedRow, sum rowCode, err error,
) {
	rows = make(map[tokens.ChainKey]sealedRow, len(known))
	put := func(key tokens.ChainKey, row sealedRow) {
		rows[key] = row
		sum = sum.plus(row.code)
	}
	read := func(r *Row) error {
		put(r.Key, sealedRow{version: r.Version, code: k.code(r)})
		return nil
	}

	if len(known) == 0 {
		err = t.Each(read)
		return rows, sum, err
	}

	var changed []tokens.ChainKey

	err = t.EachVersion(func(key tokens.ChainKey, version int64) {
		if row, ok := known[key]; ok && row.version == version {
			put(key, row)
		} else {
			changed = append(changed, key)
		}
	})
	if err != nil {
		return rows, sum, err
	}

	for _, key := range changed {
		r, ok, err := t.Find(key)
		if err == nil && !ok {
			err = fmt.Errorf("%w: the row of tenant %q cannot be found", store.ErrDamaged, key.TenantID)
		}

		if err != nil {
			return rows, sum, err
		}

		_ = read(&r)
	}

	return rows, sum, nil
}

// Find reads the row of a chain, and returns an error unless it is the one that the
// seal covers. The caller has called Check in the same transaction.
func (a *Anchor) Find(t Table, k *Key, key tokens.ChainKey) (r Row, ok bool, err error) {
	r, ok, err = t.Find(key)
	if err != nil {
		return r, ok, err
	}

	if err := a.Compare(k, key, &r, ok); err != nil {
		return Row{}, false, err
	}

	return r, ok, nil
}

// Compare returns store.ErrTampered unless the row that was found of a chain is the one
// that the seal covers. The caller has called Check in the same transaction.
func (a *Anchor) Compare(k *Key, key tokens.ChainKey, r *Row, found bool) error {
	if k == nil || a.seal == nil {
		return nil
	}

	want, known := a.rows[key]
	if found != known || found && k.code(r) != want.code {
		return a.tampered("the tokens of tenant " + key.TenantID + " are not those that were written last")
	}

	return nil
}

// Change is the state of the Anchor after a change of the table. The caller passes it
// to Anchor.Commit when the transaction is committed.
type Change struct {
	// Seal is the new one; nil without a key.
	Seal []byte

	sum        rowCode
	generation uint64
	// rows are the rows that were written; if whole is true, all rows.
	rows  map[tokens.ChainKey]sealedRow
	whole bool
}

// Reseal writes the seal after a change to rows, in the same transaction. If anew is
// true, it computes the seal from the whole table and not from what is known. Without a
// key there is no seal.
func (a *Anchor) Reseal(t Table, k *Key, generation uint64, rows []Row, anew bool) (Change, error) {
	next := Change{generation: generation, whole: anew || a.seal == nil || k == nil}

	switch {
	case k == nil:
		return next, t.PutSeal(nil)
	case next.whole:
		found, sum, err := k.survey(t, nil)
		if err != nil {
			return Change{}, err
		}

		next.sum = sum
		next.rows = found
	default:
		next.sum, next.rows = a.with(k, rows)
	}

	next.Seal = k.writeSeal(generation, next.sum)

	return next, t.PutSeal(next.Seal)
}

// with returns the sum after rows were written, and their codes.
func (a *Anchor) with(k *Key, rows []Row) (sum rowCode, changed map[tokens.ChainKey]sealedRow) {
	sum = a.sum
	changed = make(map[tokens.ChainKey]sealedRow, len(rows))

	for i := range rows {
		key := rows[i].Key

		before, ok := changed[key]
		if !ok {
			before, ok = a.rows[key]
		}

		if ok {
			sum = sum.minus(before.code)
		}

		changed[key] = sealedRow{version: rows[i].Version, code: k.code(&rows[i])}
		sum = sum.plus(changed[key].code)
	}

	return sum, changed
}

// Commit records a change whose transaction was committed.
func (a *Anchor) Commit(c Change) {
	a.seal = c.Seal
	a.sum = c.sum
	a.floor = c.generation

	if c.whole {
		a.rows = c.rows
		return
	}

	maps.Copy(a.rows, c.rows)
}

// Sealed reports whether a seal was verified, or written.
func (a *Anchor) Sealed() bool { return a.seal != nil }

// Floor returns the newest generation that was ever seen. An older table is refused.
func (a *Anchor) Floor() uint64 { return a.floor }

// Raise makes a generation the oldest one that is accepted.
func (a *Anchor) Raise(generation uint64) { a.floor = generation }

// Forget forgets what is known, since the table is another one now. It may be a copy
// that is some changes behind, so that its age proves nothing.
func (a *Anchor) Forget() { *a = Anchor{Where: a.Where, Remedy: a.Remedy} }
