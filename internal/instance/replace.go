package instance

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
)

// replace starts tenants that were added, ends those that were removed, and restarts
// those that have changed. next are all tenants from now on. If anything differs, one
// line is logged that begins with why. s.mu must be held.
func (s *tenantSet) replace(next []config.Tenant, why string) {
	removed := make(map[alert.UnitKey]*entry)

	for key, e := range s.entries {
		if !e.leaving {
			removed[key] = e
		}
	}

	waiting := maps.Clone(s.pending)
	clear(s.pending)

	unchanged, changed, added := 0, 0, 0

	for _, t := range next {
		key := t.Unit()
		e := removed[key]
		delete(removed, key)

		switch p := waiting[key]; {
		case p != nil && p.tenant.Equal(t):
			s.pending[key] = p
			continue
		case e == nil:
			added++
		case e.tenant.Equal(t):
			unchanged++
			continue
		default:
			changed++
		}

		s.pending[key] = &pendingEntry{tenant: t}
	}

	for key, e := range removed {
		e.leaving = true

		switch {
		case s.node == nil:
			s.input.Retire(key, func() { go s.left(key, e) })
		case !e.held:
			s.forget(key, e)
		}
	}

	if changed+added+len(removed) > 0 {
		s.log.Info(fmt.Sprintf("%s: %d tenants go on, %d restart, %d start, %d end",
			why, unchanged, changed, added, len(removed)))
	}

	s.startPending()
	s.want()
}

// left releases the unit of a tenant that was removed, when everything that it had read
// is committed.
func (s *tenantSet) left(key alert.UnitKey, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.forget(key, e)
}

// forget releases the unit of a tenant that was removed. s.mu must be held.
func (s *tenantSet) forget(key alert.UnitKey, e *entry) {
	if s.entries[key] == e {
		delete(s.entries, key)
		s.shared.release(key, e.limiter)
	}
}

// startPending starts what can start. The rest is tried again at the next upkeep: its
// unit belongs to another input or is still leaving here, or a file that it needs is
// not there. s.mu must be held.
func (s *tenantSet) startPending() {
	started := false

	for key, p := range s.pending {
		err := s.start(key, p.tenant)
		if err == nil {
			delete(s.pending, key)

			started = true

			continue
		}

		if text := strings.Join(faults(err), "; "); text != p.logged {
			p.logged = text
			logs.Tenant(s.log, p.tenant.TenantName).Warn(text + "; it is tried again every few seconds")
		}
	}

	if started {
		s.want()
	}
}

// start starts a tenant, or restarts it with its new settings. On an error the old
// settings stay in force. s.mu must be held.
func (s *tenantSet) start(key alert.UnitKey, t config.Tenant) error {
	if e := s.entries[key]; e != nil {
		return s.restart(key, e, t)
	}

	if err := s.claim(t); err != nil {
		return err
	}

	e := s.entries[key]

	parts, err := s.unitConfig(e.tenant)
	if err != nil {
		s.forget(key, e)
		return err
	}

	s.add(e, parts)

	return nil
}

// add makes a unit part of the input if this process holds it. s.mu must be held once the
// input has started.
func (s *tenantSet) add(e *entry, parts collect.UnitConfig) {
	if e.held {
		e.polled = true

		s.input.Add(parts)
	}
}

// restart restarts the unit of an entry with new settings. s.mu must be held.
func (s *tenantSet) restart(key alert.UnitKey, e *entry, t config.Tenant) error {
	if e.leaving {
		return errors.New("it cannot start yet: what it read before it was removed is still being delivered")
	}

	parts, err := s.unitConfig(&t)
	if err != nil {
		return err
	}

	e.tenant = &t
	e.limiter = s.shared.move(e.limiter, t)

	if e.polled {
		s.input.Retire(key, nil)
	}

	s.add(e, parts)

	return nil
}
