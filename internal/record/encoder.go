package record

import (
	"encoding/base64"
	"slices"
	"unicode/utf8"

	"fluent-bit-defender/internal/alert"
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

// An Encoder writes the events of one tenant and API. It keeps the beginning of an event
// in memory, to which each event adds its time and id. It keeps scratch space between
// calls, and is not for concurrent use.
type Encoder struct {
	opt                Options
	body               bodyEncoder
	alert, raw, health []byte      // beginnings of events, see prefix; nil before the first event
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

// prepare makes the beginnings of events. NewEncoder does not, since most of ten thousand
// tenants have no event for days.
func (e *Encoder) prepare() {
	if e.alert == nil {
		e.alert, e.raw, e.health = prefix("alert", e.opt), prefix("raw", e.opt), prefix("health", e.opt)
	}
}

// Alert appends one event to dst: the time of the version, then the record of the row
// raw, which has to be one JSON object. raw is validated as it is read. If it is refused,
// Alert returns dst as it was, and an error that wraps one of this package's sentinels
// and names the offset in raw; the caller then calls Raw. If dst has enough room, and the
// format has no CEF line, Alert does not allocate.
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

	// The key cef belongs right behind mssp: the body moves back.
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
