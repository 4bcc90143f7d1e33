package postgres

import "fluent-bit-defender/internal/store"

// leaseState is what a Store needs for its leases.
type leaseState struct {
	store.Leases
}

// closeLeases ends what listens for other nodes.
func (s *Store) closeLeases() {}
