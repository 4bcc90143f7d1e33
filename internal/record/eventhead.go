package record

import (
	"encoding/binary"
	"slices"
	"strings"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/record/msgpack"
	"fluent-bit-defender/internal/tick"
)

// The beginning of every event: [[EventTime, {}], {"mssp": …. EventTime is fixext8 of
// type 0 with big-endian seconds and nanoseconds (Fluentd forward protocol v1.5,
// "EventTime Ext Format"); the record is a map16 whose size is filled in last.
const (
	atTime   = 4  // offset of the seconds
	atRecord = 13 // offset of the record's map16
	idSize   = 32
)

// prefix returns the beginning of every event of this kind, up to the end of mssp. Its
// time and its record_id are 0.
func prefix(kind string, o Options) []byte {
	b := []byte{msgpack.FixArray | 2, msgpack.FixArray | 2, msgpack.FixExt8, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	b = append(b, msgpack.FixMap, msgpack.Map16, 0, 0)
	b = msgpack.AppendStr(b, "mssp")

	b = append(b, msgpack.FixMap|msspKeys)
	for _, kv := range [...][2]string{
		{"kind", kind},
		{"tenant_id", string(o.TenantID)},
		{"tenant", o.Tenant},
		{"api", string(o.API)},
	} {
		b = msgpack.AppendStr(b, kv[0])
		b = msgpack.AppendStr(b, strings.ToValidUTF8(kv[1], "\uFFFD"))
	}

	b = msgpack.AppendStr(b, "record_id")
	b = msgpack.AppendStrHeader(b, idSize)

	return append(b, make([]byte, idSize)...)
}

// begin appends a prefix with its time and id.
func begin(dst, prefix []byte, at tick.Tick, id *alert.ID) []byte {
	start := len(dst)
	dst = append(dst, prefix...)
	putTime(dst[start+atTime:], at)
	copy(dst[len(dst)-idSize:], id[:])

	return dst
}

// maxSeconds is the last second an event can have: the two after it mark groups of
// records (Fluent Bit, include/fluent-bit/flb_log_event.h), and the field ends there,
// in the year 2106.
const maxSeconds = 1<<32 - 3

// putTime writes an EventTime. Times before 1970 become 1970, times after maxSeconds the
// last one that an event can have.
func putTime(b []byte, at tick.Tick) {
	sec, nsec := int64(at/tick.Second), int64(at%tick.Second)*100
	switch {
	case at < 0:
		sec, nsec = 0, 0
	case sec > maxSeconds:
		sec, nsec = maxSeconds, 999_999_900
	}

	binary.BigEndian.PutUint32(b, uint32(sec))
	binary.BigEndian.PutUint32(b[4:], uint32(nsec))
}

// setSize fills in the number of keys of the record whose map16 is at offset at,
// making a map32 of it when there are more than fit.
func setSize(dst []byte, at, n int) []byte {
	if n < 1<<16 {
		binary.BigEndian.PutUint16(dst[at+1:], uint16(n))
		return dst
	}

	dst = slices.Insert(dst, at+3, 0, 0)
	dst[at] = msgpack.Map32
	binary.BigEndian.PutUint32(dst[at+1:], uint32(n))

	return dst
}

// appendCEF adds the key cef to a record that has n keys so far, and sets its size.
func appendCEF(dst []byte, record, n int, line []byte) []byte {
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "cef"), line)
	return setSize(dst, record, n+1)
}
