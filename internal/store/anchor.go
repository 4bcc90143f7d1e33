package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"fluent-bit-defender/tokens"
)

// With a key, tokens.db carries a seal: an authenticated statement of what the whole
// table of chains holds and how many changes were made to it. A row that was put there,
// taken away, altered, or put back from an older state of the file does not fit it, and
// nothing is read then. The seal is
//
//	keyID[8] generation[8] sum[32] code[32]
//
// where sum adds up, modulo 2^256, the authentication codes of all rows. So a change of
// one row costs the code of that row, not of all (an incremental multiset hash; Clarke et
// al., Asiacrypt 2003). code authenticates the rest.
//
// A process verifies the whole table once and remembers the codes. When the seal is
// another than the one it knows, another process has written: only the rows with
// another version are read again then. A row is compared with its code each time it is
// used (find).
//
// What it cannot show: somebody who puts back an older tokens.db together with the
// tokens.db.bak of that time, while no process has them open, goes back in time
// unnoticed. Marks of seeds and what is not about tokens are not under it.
const (
	sealName = "seal"
	sealLen  = keyIDLen + 8 + sha256.Size + sha256.Size
)

// anchor is what a process knows of the seal of tokens.db. It is guarded by the gate of
// that file.
type anchor struct {
	// seal is the one that was verified; nil: none was yet, or there is none.
	seal []byte
	// rows stand under it; sum is the sum of their codes.
	rows map[tokens.ChainKey]sealedRow
	sum  rowCode
	// floor is the newest generation that was ever seen: an older seal is from an older
	// file.
	floor uint64
}

// rowCode is the authentication code of a row, or a sum of such.
type rowCode [sha256.Size]byte

// sealedRow is what is known of a row under the seal.
type sealedRow struct {
	version int64
	code    rowCode
}

// plus and minus are modulo 2^256.
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

func (s *sealer) code(r *chainRow) rowCode { return s.authenticate("row\n", r.bytes()) }

// writeSeal returns the seal of a table.
func (s *sealer) writeSeal(generation uint64, sum rowCode) []byte {
	b := slices.Clone(s.id[:])
	b = binary.BigEndian.AppendUint64(b, generation)
	b = append(b, sum[:]...)

	end := s.authenticate("seal\n", b)

	return append(b, end[:]...)
}

// readSeal returns what a seal says, if it was made with the key of s.
func (s *sealer) readSeal(b []byte) (generation uint64, sum rowCode, ok bool) {
	if len(b) != sealLen {
		return 0, sum, false
	}

	text, end := b[:sealLen-sha256.Size], b[sealLen-sha256.Size:]

	want := s.authenticate("seal\n", text)
	if !hmac.Equal(end, want[:]) {
		return 0, sum, false
	}

	copy(sum[:], text[keyIDLen+8:])

	return binary.BigEndian.Uint64(text[keyIDLen:]), sum, true
}

// tampered is ErrTampered with what was found and what to do.
func (sh *shared) tampered(found string) error {
	return fmt.Errorf("%s: %w: %s. Put back the newest good tokens.db and tokens.db.bak; or, if you know why, "+
		"stop Fluent Bit and run `defenderctl tokens rekey --key-file FILE`, which takes what is there as good",
		sh.tokens.path(), ErrTampered, found)
}

// guard reports whether what tokens.db holds may be used with the configured key.
func (sh *shared) guard(t tx) error {
	s := sh.sealer.Load()

	stored, err := storedSeal(t)
	switch {
	case err != nil:
		return err
	case stored == nil && s == nil:
		return nil
	case stored == nil:
		return sh.guardUnsealed(t, s)
	case s == nil:
		return fmt.Errorf("%s: %w", sh.tokens.path(), noKey(stored[:min(len(stored), keyIDLen)]))
	case bytes.Equal(stored, sh.anchor.seal):
		return nil
	case !bytes.Equal(stored[:min(len(stored), keyIDLen)], s.id[:]):
		return fmt.Errorf("%s: %w", sh.tokens.path(), s.wrongKey(stored[:min(len(stored), keyIDLen)]))
	}

	return sh.verifySeal(t, s, stored)
}

func storedSeal(t tx) ([]byte, error) {
	var b []byte

	err := t.row(`SELECT v FROM meta WHERE k = '` + sealName + `'`).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}

	return b, err
}

// guardUnsealed judges a file without a seal, for a sealer with a key: it is new, or was
// written by an older version, or without a key.
func (sh *shared) guardUnsealed(t tx, s *sealer) error {
	ours, plain := false, false
	err := allRows(t, func(r *chainRow) error {
		for _, b := range [][]byte{r.refresh, r.previous} {
			switch {
			case len(b) == 0:
			case b[0] == formSealed:
				return sh.tampered("its seal is missing")
			case b[0] == formPlain:
				plain = true
			case s.hasKeyOf(b):
				ours = true
			}
		}

		return nil
	})

	switch {
	case err != nil:
		return err
	case sh.anchor.floor > 0:
		return sh.tampered("its seal is missing")
	case plain && !ours:
		return fmt.Errorf("%s: %w", sh.tokens.path(), errPlain)
	}

	return nil
}

// verifySeal compares the seal with the table.
func (sh *shared) verifySeal(t tx, s *sealer, stored []byte) error {
	generation, sum, ok := s.readSeal(stored)
	if !ok {
		return sh.tampered("its seal is not genuine")
	}

	if generation < sh.anchor.floor {
		return sh.tampered("it is older than what was there before")
	}

	var counted uint64
	if err := t.row(`SELECT v FROM meta WHERE k = 'generation'`).Scan(&counted); err != nil {
		return err
	}

	found, err := s.survey(t, sh.anchor.rows)
	if err != nil {
		return err
	}

	if counted != generation || found.sum != sum {
		return sh.tampered("its tokens are not those that were written last")
	}

	found.seal = bytes.Clone(stored)
	found.floor = generation
	sh.anchor = found

	return nil
}

// survey computes the codes of all rows. Those that are known already, with the version
// that they have, are not read again.
func (s *sealer) survey(t tx, known map[tokens.ChainKey]sealedRow) (anchor, error) {
	a := anchor{rows: make(map[tokens.ChainKey]sealedRow, len(known))}

	add := func(r *chainRow) error {
		row := sealedRow{version: r.version, code: s.code(r)}
		a.rows[r.key] = row
		a.sum = a.sum.plus(row.code)

		return nil
	}
	if len(known) == 0 {
		return a, allRows(t, add)
	}

	changed, err := a.keep(t, known)
	if err != nil {
		return a, err
	}

	for _, key := range changed {
		r, ok, err := find(t, key)
		if err == nil && !ok {
			err = fmt.Errorf("%w: the row of tenant %q cannot be found", ErrDamaged, key.TenantID)
		}

		if err == nil {
			err = add(&r)
		}

		if err != nil {
			return a, err
		}
	}

	return a, nil
}

// keep adds the rows that are known with the version that they have, and returns the
// keys of the others.
func (a *anchor) keep(t tx, known map[tokens.ChainKey]sealedRow) (changed []tokens.ChainKey, err error) {
	rows, err := t.rows(`SELECT login_host, tenant_id, client_id, version FROM chains`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()

	for rows.Next() {
		var (
			key     tokens.ChainKey
			version int64
		)
		if err := rows.Scan(&key.LoginHost, &key.TenantID, &key.ClientID, &version); err != nil {
			return nil, err
		}

		row, ok := known[key]
		if !ok || row.version != version {
			changed = append(changed, key)
			continue
		}

		a.rows[key] = row
		a.sum = a.sum.plus(row.code)
	}

	return changed, rows.Err()
}

func allRows(t tx, do func(r *chainRow) error) error {
	rows, err := t.rows(`SELECT ` + chainColumns + ` FROM chains`)
	if err != nil {
		return err
	}

	return eachChain(rows, do)
}

// find reads the row of a chain, and refuses one that is not the one under the seal.
// guard was called in the same transaction.
func (sh *shared) find(t tx, key tokens.ChainKey) (r chainRow, ok bool, err error) {
	r, ok, err = find(t, key)
	if err != nil {
		return r, ok, err
	}

	if err := sh.compare(key, &r, ok); err != nil {
		return chainRow{}, false, err
	}

	return r, ok, nil
}

// compare reports whether what was found of a chain is what stands under the seal.
func (sh *shared) compare(key tokens.ChainKey, r *chainRow, found bool) error {
	s := sh.sealer.Load()
	if s == nil || sh.anchor.seal == nil {
		return nil
	}

	want, known := sh.anchor.rows[key]
	if found != known || found && s.code(r) != want.code {
		return sh.tampered("the tokens of tenant " + key.TenantID + " are not those that were written last")
	}

	return nil
}

// resealed is what a change makes of the anchor. It counts once the transaction is
// committed.
type resealed struct {
	seal       []byte
	sum        rowCode
	generation uint64
	// rows are those that were written, or with whole all rows.
	rows  map[tokens.ChainKey]sealedRow
	whole bool
}

// reseal writes the seal after a change to rows, in the same transaction. anew computes
// it from the whole table, whatever is known of it. Without a key there is no seal.
func (sh *shared) reseal(t tx, s *sealer, generation uint64, rows []chainRow, anew bool) (resealed, error) {
	if s == nil {
		return resealed{generation: generation, whole: true}, putSeal(t, nil)
	}

	next := resealed{generation: generation, whole: anew || sh.anchor.seal == nil}
	if next.whole {
		found, err := s.survey(t, nil)
		if err != nil {
			return resealed{}, err
		}

		next.sum = found.sum
		next.rows = found.rows
	} else {
		next.sum, next.rows = sh.anchor.with(s, rows)
	}

	next.seal = s.writeSeal(generation, next.sum)

	return next, putSeal(t, next.seal)
}

// putSeal writes a seal, or removes it.
func putSeal(t tx, seal []byte) error {
	var err error
	if seal == nil {
		_, err = t.exec(`DELETE FROM meta WHERE k = '` + sealName + `'`)
	} else {
		_, err = t.exec(`INSERT INTO meta VALUES ('`+sealName+`', ?) ON CONFLICT DO UPDATE SET v = excluded.v`, seal)
	}

	return err
}

// with returns the sum after rows were written, and what is known of these.
func (a *anchor) with(s *sealer, rows []chainRow) (sum rowCode, changed map[tokens.ChainKey]sealedRow) {
	sum = a.sum

	changed = make(map[tokens.ChainKey]sealedRow, len(rows))
	for i := range rows {
		key := rows[i].key

		before, ok := changed[key]
		if !ok {
			before, ok = a.rows[key]
		}

		if ok {
			sum = sum.minus(before.code)
		}

		changed[key] = sealedRow{version: rows[i].version, code: s.code(&rows[i])}
		sum = sum.plus(changed[key].code)
	}

	return sum, changed
}

// follow makes a committed change what is known.
func (a *anchor) follow(next resealed) {
	a.seal = next.seal
	a.sum = next.sum

	a.floor = next.generation
	if next.whole {
		a.rows = next.rows
		return
	}

	maps.Copy(a.rows, next.rows)
}

// forget drops what is known: the file is another one. Its copy may be some changes
// behind, so its age proves nothing.
func (a *anchor) forget() { *a = anchor{} }
