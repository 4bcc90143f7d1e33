package simulator

import (
	"encoding/json"
	"time"
)

// served is what the ledger knows of a row. The tenant's lock guards it.
type served struct {
	count, partial int
	first          time.Time
	variant        variant
}

// Ledger is what one API of one tenant listed and served up to now. Keys are identity +
// "\n" + version as the project's records have them: FullId, id or incidentId, and the
// update time in decimal 100-ns ticks since 1970 (empty for siem; ticks:alerts for
// incidents).
type Ledger struct {
	// Served counts in how many whole answers a version was. A whole answer was written
	// to the connection; whether a client that died has read it is not known. Incidents
	// of Graph without their alerts do not count.
	Served map[string]int
	// First is when a version was first served, in true time.
	First map[string]time.Time
	// Partial counts the answers broken off after the version's last byte.
	Partial map[string]int
	// Exists has every version that was listed at some time, with the bytes that were
	// served last, or would be.
	Exists map[string]json.RawMessage
	// Latest has the version that is listed now, as its key, for each identity.
	Latest map[string]string
	// Updated is each version's update time as stored, in 100-ns ticks.
	Updated map[string]int64
}

// Ledger returns the ledger of a tenant and API. It panics if there is no such tenant.
func (s *Simulator) Ledger(tenantID, api string) Ledger {
	t := s.mustTenant(tenantID)
	now := s.cfg.Clock()

	t.mu.Lock()
	defer t.mu.Unlock()

	v := t.view(api)
	n := len(v.rows)
	l := Ledger{
		Served:  map[string]int{},
		First:   map[string]time.Time{},
		Partial: map[string]int{},
		Exists:  make(map[string]json.RawMessage, n),
		Latest:  make(map[string]string, n),
		Updated: make(map[string]int64, n),
	}

	for _, r := range v.rows {
		if unseen := r.gone || r.listed.After(now) ||
			r.next != nil && !r.next.listed.After(r.listed); unseen &&
			r.ledger.count+r.ledger.partial == 0 {
			continue
		}

		key := r.key()

		l.Exists[key], l.Updated[key] = r.bytes(r.ledger.variant), int64(r.updated)
		if r.listedAt(now) {
			l.Latest[r.identity] = key
		}

		if r.ledger.count > 0 {
			l.Served[key] += r.ledger.count
			if at, ok := l.First[key]; !ok || r.ledger.first.Before(at) {
				l.First[key] = r.ledger.first
			}
		}

		if r.ledger.partial > 0 {
			l.Partial[key] += r.ledger.partial
		}
	}

	return l
}

// record notes what was written of an answer.
func (x *exchange) record(written int64, whole bool) {
	if x.tenant == nil || len(x.rows) == 0 {
		return
	}

	if x.api == GraphIncidents && x.variant == asShort {
		return // without its alerts, which its version is made of, an incident was not served
	}

	now := x.sim.cfg.Clock()
	x.tenant.mu.Lock()
	defer x.tenant.mu.Unlock()

	for i, r := range x.rows {
		r.ledger.variant = x.variant

		switch {
		case whole:
			if r.ledger.count == 0 {
				r.ledger.first = now
			}

			r.ledger.count++
		case x.ends[i] <= written:
			r.ledger.partial++
		}
	}
}
