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

// Key is what repeats of a row are recognised by: 128 bits, in memory and in the store.
type Key [16]byte

// Key returns the number behind the hex digits, the first 128 bits of the hash: half as
// long. An ID that MakeID did not make may have no such number; then Key is the first 128
// bits of the SHA-256 of its bytes.
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

// HealthID returns the record_id of a health record. There is no alert behind it, so it is
// made of the moment at.
func HealthID(tenantID TenantID, api API, at tick.Tick) ID {
	var version [20]byte
	return MakeID(tenantID, api, []byte("health"), strconv.AppendInt(version[:0], int64(at), 10))
}
