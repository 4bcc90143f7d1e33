package ocsf

import (
	"fmt"

	"fluent-bit-defender/internal/alert"
)

// An Encoder writes the events of one tenant and API. It is not for concurrent use.
type Encoder struct{ e event }

// NewEncoder returns an Encoder. It fails if the API has no mapping.
func NewEncoder(api alert.API, tenant alert.TenantID) (*Encoder, error) {
	from, ok := sources[api]
	if !ok {
		return nil, fmt.Errorf("api %s has no mapping to OCSF", api)
	}

	e := &Encoder{event{source: from, tenant: []byte(tenant), log: []byte(api)}}
	e.e.observables.reset()

	return e, nil
}

// Append appends the keys of the event for a row to dst, and returns how many there
// are. It fails only if the row is not JSON or not an object. It does not check that
// the row is UTF-8. After an error, the bytes behind dst are undefined.
func (e *Encoder) Append(dst []byte, v alert.Version, raw []byte) ([]byte, int, error) {
	ev := &e.e
	defer ev.release()

	if err := ev.read(raw); err != nil {
		return dst, 0, err
	}

	ev.version = v
	ev.w.begin(dst)

	if ev.source.incident {
		ev.incident()
	} else {
		ev.detection()
	}

	return ev.w.b, ev.w.members(), nil
}

// mostScratch is how many bytes of each scratch memory are kept for the next row.
const mostScratch = 64 << 10

// release drops what belongs to the row, so that its memory can be freed.
func (e *event) release() {
	e.w.b = nil
	e.scan.src = nil
	e.profiles = profiles{}
	e.observables.reset()

	e.arena, e.joined, e.device = kept(e.arena), kept(e.joined), kept(e.device)
	if len(e.scan.arrays) > mostScratch/8 {
		e.scan.arrays = nil
	}
}

// kept returns b without content for the next row, or nil if b is large.
func kept(b []byte) []byte {
	if cap(b) > mostScratch {
		return nil
	}

	return b[:0]
}
