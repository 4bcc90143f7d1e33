package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"fluent-bit-defender/internal/tick"
)

// ID is a record_id: 32 lower-case hex digits. It is the same for one version of one
// alert on every machine and in every run, so that a receiver can discard a repeat.
type ID [32]byte

// MakeID returns the record_id of a row: the first 32 hex digits of SHA-256 over
//
//	tenantID "\n" api "\n" identity "\n" version
//
// with version as text, times in decimal ticks (100 ns since 1970 UTC), and empty when
// the row has none. It does not allocate unless the four together exceed some 450
// bytes.
func MakeID(tenantID TenantID, api API, identity, version []byte) ID {
	var stack [512]byte

	b := append(stack[:0], tenantID...)
	b = append(b, '\n')
	b = append(b, api...)
	b = append(b, '\n')
	b = append(b, identity...)
	b = append(b, '\n')
	b = append(b, version...)
	sum := sha256.Sum256(b)

	var id ID
	hex.Encode(id[:], sum[:16])

	return id
}

// Key identifies a row, so that a repeat of it is recognised. It has 128 bits, in memory
// and in the store.
type Key [16]byte

// Key returns the 16 bytes that the hex digits of the ID stand for. An ID that was not
// made by MakeID may have other characters; then Key is the first 16 bytes of the SHA-256
// of its bytes.
func (id ID) Key() Key {
	var key Key
	if _, err := hex.Decode(key[:], id[:]); err != nil {
		sum := sha256.Sum256(id[:])
		copy(key[:], sum[:])
	}

	return key
}

// String returns the 32 digits as text.
func (id ID) String() string { return string(id[:]) }

// HealthID returns the record_id of a health record. It has no alert, so its identity is
// the moment at.
func HealthID(tenantID TenantID, api API, at tick.Tick) ID {
	var version [20]byte
	return MakeID(tenantID, api, []byte("health"), strconv.AppendInt(version[:0], int64(at), 10))
}
