package record

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/record/msgpack"
	"fluent-bit-defender/internal/tick"
)

// DefaultCEFMaxBytes is the longest CEF line when Options do not say.
const DefaultCEFMaxBytes = 8192

// Options are what every record of a tenant has in common.
type Options struct {
	TenantID    alert.TenantID
	Tenant      string // its name for people; TenantID when empty
	API         alert.API
	Format      Format
	CEFMaxBytes int // longest CEF line in bytes; 0 means DefaultCEFMaxBytes
}

// An Encoder writes the events of one tenant and API. It holds the key mssp ready-made,
// so that per event it is copied and its id filled in. It keeps scratch space between
// calls and is not for concurrent use.
type Encoder struct {
	opt                Options
	body               bodyEncoder
	alert, raw, health []byte      // event up to and with mssp, without the id; nil before the first event
	cef                *cefBuilder // nil if the format has no line
	replay             bool        // see Replay
}

// NewEncoder returns an Encoder. It fails if there is no such API or format. Bytes in
// the options that are not UTF-8 become U+FFFD: Fluent Bit's outputs need UTF-8.
func NewEncoder(o Options) (*Encoder, error) {
	if o.Tenant == "" {
		o.Tenant = string(o.TenantID)
	}

	if o.CEFMaxBytes <= 0 {
		o.CEFMaxBytes = DefaultCEFMaxBytes
	}

	form, line, err := o.Format.row()
	if err != nil {
		return nil, err
	}

	cef, err := newCEFBuilder(o)
	if err != nil {
		return nil, err
	}

	if !line {
		cef = nil
	}

	body, err := form.encoder(o)
	if err != nil {
		return nil, err
	}

	return &Encoder{opt: o, body: body, cef: cef}, nil
}

// prepare makes what the first event needs: most of ten thousand tenants have none for
// days.
func (e *Encoder) prepare() {
	if e.alert == nil {
		e.alert, e.raw, e.health = prefix("alert", e.opt), prefix("raw", e.opt), prefix("health", e.opt)
	}
}

// The beginning of every event: [[EventTime, {}], {"mssp": …. EventTime is fixext8 of
// type 0 with big-endian seconds and nanoseconds (Fluentd forward protocol v1.5,
// "EventTime Ext Format"); the record is a map16 whose size is filled in last.
const (
	atTime   = 4  // offset of the seconds
	atRecord = 13 // offset of the record's map16
	idSize   = 32
)

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

// putTime writes an EventTime. Times before 1970 become 1970, times after 2106 the last
// one that exists.
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

// Alert appends one event to dst: the time of the version, then the record of the row
// raw, which has to be one JSON object. raw is validated as it is read. On an error dst
// comes back as it was; the error wraps one of this package's sentinels with the offset
// in raw, and the row is a case for Raw. With room in dst it does not allocate (without
// a CEF line).
func (e *Encoder) Alert(dst []byte, v alert.Version, raw []byte) ([]byte, error) {
	e.prepare()

	start := len(dst)
	dst = slices.Grow(dst, len(e.alert)+len(replayKey)+roomFor(raw))
	dst = begin(dst, e.alert, v.Time, &v.ID)

	if e.replay {
		dst = mark(dst, start)
	}

	body := len(dst)

	dst, n, err := e.body.Append(dst, v, raw)
	if err != nil {
		return dst[:start], err
	}

	if e.cef == nil {
		return setSize(dst, start+atRecord, n+1), nil
	}

	line := e.cef.alert(raw, v.ID)

	// The record is there; its key cef belongs straight behind mssp.
	end := len(dst)
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "cef"), line)
	e.cef.move = append(e.cef.move[:0], dst[end:]...)
	copy(dst[body+len(e.cef.move):], dst[body:end])
	copy(dst[body:], e.cef.move)

	return setSize(dst, start+atRecord, n+2), nil
}

// Raw appends a record of kind "raw" for a row that Alert refused: its bytes as text,
// or in base64 (RFC 4648 §4) when they are not UTF-8.
func (e *Encoder) Raw(dst []byte, at tick.Tick, id alert.ID, row []byte) []byte {
	e.prepare()

	start := len(dst)
	dst = begin(dst, e.raw, at, &id)

	if e.replay {
		dst = mark(dst, start)
	}

	dst = msgpack.AppendStr(dst, "raw")
	if utf8.Valid(row) {
		dst = msgpack.AppendStr(dst, row)
	} else {
		dst = msgpack.AppendStrHeader(dst, base64.StdEncoding.EncodedLen(len(row)))
		dst = base64.StdEncoding.AppendEncode(dst, row)
	}

	if e.cef != nil {
		return appendCEF(dst, start+atRecord, 2, e.cef.raw(id))
	}

	return setSize(dst, start+atRecord, 2)
}

// Health is the state of a tenant at one moment.
type Health struct {
	health.Trouble
	State       health.State
	LastSuccess time.Time // end of the last complete poll; zero when there was none
	LagSeconds  float64   // age of the watermark
	// RelationshipEnd is when the relationship with the customer ends (GDAP); zero if
	// that is not known. The record has no key for it then.
	RelationshipEnd time.Time
	At              time.Time // the moment; the event's time
}

// status returns the value of the key status of the record. The first poll is not
// waited for: until it fails a tenant counts as well.
func (h Health) status() string {
	if h.State.Good() {
		return string(health.OK)
	}

	return string(h.State)
}

// healthKeys is how many keys every health record has.
const healthKeys = 8

// sentence returns message and remedy in one text.
func (h Health) sentence() string {
	if h.Message == "" || h.Remedy == "" {
		return h.Message + h.Remedy
	}

	return h.Message + "; " + h.Remedy
}

// Health appends a record of kind "health". last_success is RFC 3339 in UTC, or null
// when there never was one; relationship_end is there only where it is known. The
// record_id is made of tenant, API and the moment.
func (e *Encoder) Health(dst []byte, h Health) []byte {
	e.prepare()

	at := tick.FromTime(h.At)
	id := alert.HealthID(e.opt.TenantID, e.opt.API, at)
	start := len(dst)
	dst = begin(dst, e.health, at, &id)
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "status"), h.status())
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "reason"), string(h.Reason))
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "message"), strings.ToValidUTF8(h.Message, "\uFFFD"))
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "remedy"), strings.ToValidUTF8(h.Remedy, "\uFFFD"))
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "trace"), strings.ToValidUTF8(h.Trace, "\uFFFD"))

	dst = msgpack.AppendStr(dst, "last_success")
	if h.LastSuccess.IsZero() {
		dst = append(dst, msgpack.Nil)
	} else {
		dst = msgpack.AppendStr(dst, h.LastSuccess.UTC().Format(time.RFC3339Nano))
	}

	dst = msgpack.AppendDouble(msgpack.AppendStr(dst, "lag_seconds"), finite(h.LagSeconds))
	keys := healthKeys

	if !h.RelationshipEnd.IsZero() {
		end := h.RelationshipEnd.UTC().Format(time.RFC3339)
		dst = msgpack.AppendStr(msgpack.AppendStr(dst, "relationship_end"), end)
		keys++
	}

	if e.cef != nil {
		return appendCEF(dst, start+atRecord, keys, e.cef.health(h))
	}

	return setSize(dst, start+atRecord, keys)
}

// finite keeps out the doubles that JSON outputs cannot write.
func finite(f float64) float64 {
	if f-f != 0 {
		return 0
	}

	return f
}

// appendCEF adds the key cef to a record that has n keys so far, and sets its size.
func appendCEF(dst []byte, record, n int, line []byte) []byte {
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "cef"), line)
	return setSize(dst, record, n+1)
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
