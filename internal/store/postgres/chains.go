package postgres

import "fluent-bit-defender/internal/store"

// chainState is what a Store needs for its chains.
type chainState struct{}

// Chains is the part of a Store that keeps refresh tokens. It implements store.Chains.
type Chains struct {
	store.Chains

	s *Store
}

// Tokens implements store.Store.
func (s *Store) Tokens() store.Chains { return &Chains{s: s} }
