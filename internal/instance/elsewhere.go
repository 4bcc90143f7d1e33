package instance

import (
	"context"
	"fmt"
	"sync"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
)

// elsewhere remembers what the store says of units that other nodes poll, since the
// status page asks often. The zero value knows nothing.
type elsewhere struct {
	mu       sync.Mutex // guards the fields below
	statuses map[alert.UnitKey]store.Status
	holders  map[alert.UnitKey]store.Holder
}

// lookElsewhere asks the store who polls the units of this input, and what their status
// is. Only the goroutine that calls upkeep calls it.
func (s *tenantSet) lookElsewhere(ctx context.Context) {
	leases, shared := s.dir.store.(store.Leases)
	if s.node == nil || !shared {
		return
	}

	holders, err := leases.Holders(ctx)

	var statuses map[alert.UnitKey]store.Status
	if err == nil {
		statuses, err = s.dir.store.Statuses(ctx)
	}

	if err != nil {
		s.log.Debug(fmt.Sprintf("the units of other nodes cannot be looked up: %v", err))
		return
	}

	store.Freshen(statuses)

	s.elsewhere.mu.Lock()
	defer s.elsewhere.mu.Unlock()

	s.elsewhere.statuses, s.elsewhere.holders = statuses, holders
}

// withElsewhere returns the units that this process polls, and those of this input that
// another node polls or nobody does.
func (s *tenantSet) withElsewhere(units []measure.Unit) []measure.Unit {
	own := make(map[alert.UnitKey]bool, len(units))
	state := s.node.State()
	holder := measure.Holder{
		Node:    state.ID,
		Renewed: time.Now().Add(-state.Age),
		Live:    state.Age < state.TTL,
	}

	for i := range units {
		units[i].Shared, units[i].Holder = true, holder
		own[units[i].Key] = true
	}

	tenants := s.tenants()

	s.elsewhere.mu.Lock()
	defer s.elsewhere.mu.Unlock()

	for _, t := range tenants {
		key := t.Unit()
		if own[key] {
			continue
		}

		h := s.elsewhere.holders[key]
		status, known := s.elsewhere.statuses[key]

		if !known {
			status = store.Status{
				TenantName:   t.TenantName,
				ClientID:     t.ClientID,
				HomeTenantID: t.HomeTenantID,
			}
		}

		units = append(units, measure.Unit{
			Key:       key,
			Status:    status,
			Shared:    true,
			Elsewhere: true,
			Holder: measure.Holder{
				Node:    h.Node,
				Renewed: h.Renewed,
				Live:    h.Live,
			},
		})
	}

	return units
}
