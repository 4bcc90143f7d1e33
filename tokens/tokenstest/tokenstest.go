// Package tokenstest helps to test what uses package tokens: a ChainStore in memory,
// and the test that every ChainStore must pass.
package tokenstest

import (
	"context"
	"sync"

	"fluent-bit-defender/tokens"
)

// Store is a ChainStore in memory, for tests. Fail lets a test play a broken disk. Use
// New to make one. It is safe for concurrent use.
type Store struct {
	mu    sync.Mutex
	rows  map[tokens.ChainKey]tokens.Chain
	seeds map[tokens.ChainKey]map[[32]byte]bool
	kept  map[tokens.AccessKey]tokens.Access
	locks map[tokens.ChainKey]chan struct{}
	fail  map[string]error
	saves int
}

// New returns an empty store.
func New() *Store {
	return &Store{
		rows:  map[tokens.ChainKey]tokens.Chain{},
		seeds: map[tokens.ChainKey]map[[32]byte]bool{},
		kept:  map[tokens.AccessKey]tokens.Access{},
		locks: map[tokens.ChainKey]chan struct{}{},
		fail:  map[string]error{},
	}
}

// Fail makes every later call of one method ("Lock", "Load", "Save", which stands for
// Swap too, "SeedSeen", "KeepAccess" or "KeptAccess") return err, without any effect;
// nil ends that.
func (s *Store) Fail(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.fail[method] = err
}

// Saves returns how many calls of Save and Swap have succeeded.
func (s *Store) Saves() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.saves
}

// Lock implements tokens.ChainStore.
func (s *Store) Lock(ctx context.Context, key tokens.ChainKey) (func(), error) {
	s.mu.Lock()
	if err := s.fail["Lock"]; err != nil {
		s.mu.Unlock()
		return nil, err
	}

	l, ok := s.locks[key]
	if !ok {
		l = make(chan struct{}, 1)
		s.locks[key] = l
	}
	s.mu.Unlock()

	if err := ctx.Err(); err != nil {
		return nil, err
	}

	select {
	case l <- struct{}{}:
		return sync.OnceFunc(func() { <-l }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Load implements tokens.ChainStore.
func (s *Store) Load(_ context.Context, key tokens.ChainKey) (tokens.Chain, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.fail["Load"]; err != nil {
		return tokens.Chain{}, false, err
	}

	c, ok := s.rows[key]

	return c, ok, nil
}

// Save implements tokens.ChainStore.
func (s *Store) Save(_ context.Context, key tokens.ChainKey, c tokens.Chain, seeds ...[32]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.save(key, c, seeds)
}

// Swap implements tokens.ChainStore.
func (s *Store) Swap(_ context.Context, key tokens.ChainKey, c tokens.Chain, seeds ...[32]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.fail["Save"] == nil && s.rows[key].Version != c.Version {
		return tokens.ErrOvertaken
	}

	return s.save(key, c, seeds)
}

// save does the work of Save. The caller holds s.mu.
func (s *Store) save(key tokens.ChainKey, c tokens.Chain, seeds [][32]byte) error {
	if err := s.fail["Save"]; err != nil {
		return err
	}

	c.Version = s.rows[key].Version + 1

	s.rows[key] = c
	for _, f := range seeds {
		if s.seeds[key] == nil {
			s.seeds[key] = map[[32]byte]bool{}
		}

		s.seeds[key][f] = true
	}

	s.saves++

	return nil
}

// KeepAccess implements tokens.ChainStore. This store keeps access tokens, as a store
// that encrypts does.
func (s *Store) KeepAccess(_ context.Context, at tokens.AccessKey, a tokens.Access) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.fail["KeepAccess"]; err != nil {
		return err
	}

	if a.Token.IsZero() {
		delete(s.kept, at)
		return nil
	}

	s.kept[at] = a

	return nil
}

// KeptAccess implements tokens.ChainStore.
func (s *Store) KeptAccess(_ context.Context, at tokens.AccessKey) (tokens.Access, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.fail["KeptAccess"]; err != nil {
		return tokens.Access{}, false, err
	}

	a, ok := s.kept[at]

	return a, ok, nil
}

// SeedSeen implements tokens.ChainStore.
func (s *Store) SeedSeen(_ context.Context, key tokens.ChainKey, f [32]byte) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.fail["SeedSeen"]; err != nil {
		return false, err
	}

	return s.seeds[key][f], nil
}
