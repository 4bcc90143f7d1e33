package simulator

import (
	"slices"
	"time"
)

// plan holds the faults in force.
type plan struct {
	seed   uint64
	faults []*fault
}

// fault is a Fault, with how often it could have struck and did.
type fault struct {
	Fault
	kind       faultKind
	number     int
	seen, used int
}

// SetFaults replaces the faults; see FaultsHelp for the grammar. Schedules stay
// relative to New. An empty text ends them.
func (s *Simulator) SetFaults(grammar string) error {
	list, err := ParseFaults(grammar)
	if err != nil {
		return err
	}

	p := &plan{seed: s.cfg.Seed}
	for i, f := range list {
		p.faults = append(p.faults, &fault{Fault: f, kind: faultKinds[f.Name], number: i})
	}

	s.mu.Lock()
	s.plan = p
	s.mu.Unlock()

	return nil
}

func (f *fault) active(elapsed time.Duration) bool {
	return elapsed >= f.From && (f.To == 0 || elapsed < f.To) && (f.Count == 0 || f.used < f.Count)
}

// covers reports whether the scope has the API and the tenant.
func (f *fault) covers(api string, t *tenant) bool {
	switch f.API {
	case "all":
	case "":
		if api == Login || api == Discovery || api == Partner {
			return false
		}
	default:
		if f.API != api {
			return false
		}
	}

	return f.Tenant == "" || t != nil && (f.Tenant == t.ID || f.Tenant == t.Domain)
}

// roll decides by the rate. For the n-th matching request it decides the same in every
// run with the same seed.
func (f *fault) roll(seed uint64) bool {
	f.seen++
	switch {
	case f.Every > 0 && f.seen%f.Every != 0:
		return false
	case f.P > 0 && random(seed, "fault", f.number, f.seen).Float64() >= f.P:
		return false
	}

	f.used++

	return true
}

// skew returns the error of the servers' clock at a moment.
func (p *plan) skew(elapsed time.Duration) time.Duration {
	for _, f := range p.faults {
		if f.Name == "skew" && f.active(elapsed) {
			return f.By
		}
	}

	return 0
}

// late delays the listing of an alert, if a fault says so. The caller holds the
// tenant's lock.
func (s *Simulator) late(t *tenant, a Alert) Alert {
	s.mu.Lock()
	defer s.mu.Unlock()

	elapsed := s.cfg.Clock().Sub(s.started)
	for _, f := range s.plan.faults {
		if f.Name != "late" || !f.active(elapsed) || f.Tenant != "" && f.Tenant != t.ID && f.Tenant != t.Domain ||
			!f.roll(s.cfg.Seed) {
			continue
		}

		at := a.Updated
		if at.IsZero() {
			at = a.Created
		}

		if at.IsZero() {
			at = s.cfg.Clock()
		}

		if a.VisibleAt.IsZero() || a.VisibleAt.Before(at.Add(f.By)) {
			a.VisibleAt = at.Add(f.By)
		}

		break
	}

	return a
}

// replacing is a condition for strikesIf: the fault replaces the answer before the
// request is read.
func replacing(f *fault) bool {
	return f.Code > 0 && f.Name != "aadsts" || f.Name == "refuse" || f.Name == "redirect"
}

// draw picks the faults that strike this request: at most one that replaces the answer,
// and all that alter it. Handlers themselves ask for some faults, with strikes.
func (s *Simulator) draw(x *exchange) (replace *fault, alter []*fault) {
	s.mu.Lock()
	defer s.mu.Unlock()

	elapsed := s.cfg.Clock().Sub(s.started)
	for _, f := range s.plan.faults {
		if f.kind.mode || slices.Contains(handled, f.Name) || !f.active(elapsed) || !f.covers(x.scope, x.tenant) {
			continue
		}

		if f.Name == "login503" && x.kind != "token" && x.kind != "devicecode" {
			continue
		}

		if replacing(f) {
			if replace == nil && f.roll(s.cfg.Seed) {
				replace = f
			}
		} else if f.roll(s.cfg.Seed) {
			alter = append(alter, f)
		}
	}

	return replace, alter
}

// handled are the faults that a handler asks for itself.
var handled = []string{
	"aadsts", "die", "link", "links", "skip", "clamp", "emptypage", "lastlink", "move", "ties", "dup", "shuffle",
	"vanish", "expand",
}

// strikes reports whether the named fault strikes now; nil if not.
func (s *Simulator) strikes(x *exchange, name string) *fault {
	return s.strikesIf(x, name, anyFault)
}

// anyFault is a condition for strikesIf that holds for every fault.
func anyFault(*fault) bool { return true }

// strikesIf is strikes for those faults of the name that a condition holds for.
func (s *Simulator) strikesIf(x *exchange, name string, holds func(*fault) bool) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.strikesLocked(x, name, holds)
}

// strikesLocked is strikesIf where the caller holds s.mu.
func (s *Simulator) strikesLocked(x *exchange, name string, holds func(*fault) bool) *fault {
	elapsed := s.cfg.Clock().Sub(s.started)
	for _, f := range s.plan.faults {
		if f.Name == name && f.active(elapsed) && f.covers(x.scope, x.tenant) && holds(f) && f.roll(s.cfg.Seed) {
			s.stats.count(func(c *Stats) { c.Faults[name]++ })
			return f
		}
	}

	return nil
}
