package simulator

import (
	"maps"
	"sync"
)

// Stats counts the requests to the simulator so far.
type Stats struct {
	// Count is the number of requests by kind: siem, endpoint, graph, incidents,
	// discovery, partner, token, authorize, devicecode, adminconsent, other.
	Count map[string]int
	// Status counts answers by kind and status, such as "siem 200"; "siem 0" are those
	// that were broken off before a status.
	Status map[string]int
	// Concurrent is the greatest number of requests of a kind that were answered at the
	// same moment.
	Concurrent map[string]int
	// ConcurrentTenant likewise, by kind, space, tenant GUID: more than 1 means that
	// polls of a tenant overlapped.
	ConcurrentTenant map[string]int
	// ConcurrentChain is the greatest number of redemptions of the same chain of
	// refresh tokens at the same moment.
	ConcurrentChain int
	// Early counts requests made before the time that a Retry-After named had passed,
	// by kind.
	Early map[string]int
	// Redeemed counts refresh tokens redeemed; Refused token requests that were
	// refused, by AADSTS code; RefusedRedemptions those among them that brought a
	// refresh token.
	Redeemed, RefusedRedemptions int
	Refused                      map[int]int
	// DeadAgain counts redemptions of a refresh token that had been refused for good
	// before: clients must not try a dead token again.
	DeadAgain int
	// Misplaced counts redemptions, at another tenant, of a refresh token that a customer
	// of a provider gave; Consents the calls that consented by Partner Center.
	Misplaced, Consents int
	// Faults counts what was injected, by the name in the grammar.
	Faults map[string]int
	// OverQuota counts the requests beyond an API's quota.
	OverQuota map[string]int
	// Rows and Bytes count what was written in answers of the data APIs, by API.
	Rows, Bytes map[string]int64
}

// Requests returns a copy of the counts.
func (s *Simulator) Requests() Stats {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()

	c := s.stats.Stats
	c.Count = maps.Clone(c.Count)
	c.Status = maps.Clone(c.Status)
	c.Concurrent = maps.Clone(c.Concurrent)
	c.ConcurrentTenant = maps.Clone(c.ConcurrentTenant)
	c.Early = maps.Clone(c.Early)
	c.Refused = maps.Clone(c.Refused)
	c.Faults = maps.Clone(c.Faults)
	c.OverQuota = maps.Clone(c.OverQuota)
	c.Rows = maps.Clone(c.Rows)
	c.Bytes = maps.Clone(c.Bytes)

	return c
}

type statistics struct {
	mu sync.Mutex
	Stats
	inside map[string]int
	tokens []*TokenRequest
}

func (s *statistics) init() {
	s.Stats = Stats{
		Count:            map[string]int{},
		Status:           map[string]int{},
		Concurrent:       map[string]int{},
		ConcurrentTenant: map[string]int{},
		Early:            map[string]int{},
		Refused:          map[int]int{},
		Faults:           map[string]int{},
		OverQuota:        map[string]int{},
		Rows:             map[string]int64{},
		Bytes:            map[string]int64{},
	}
	s.inside = map[string]int{}
}

// enter counts a request; the function that it returns counts the answer.
func (s *statistics) enter(kind string) func(*exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.Count[kind]++
	s.inside[kind]++
	s.Concurrent[kind] = max(s.Concurrent[kind], s.inside[kind])

	return func(x *exchange) {
		s.mu.Lock()
		defer s.mu.Unlock()

		s.inside[kind]--
		s.Status[kind+" "+itoa(x.status)]++
	}
}

// within counts how many are inside a named section at once, until the function it
// returns is called.
func (s *statistics) within(name string, most func(n int)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.inside[name]++
	most(s.inside[name])

	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()

		s.inside[name]--
	}
}

func (s *statistics) count(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()

	f(&s.Stats)
}
