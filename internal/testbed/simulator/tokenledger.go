package simulator

import (
	"slices"
	"strings"
	"time"
)

// TokenRequest is one request to a token endpoint, those too that a fault answered.
type TokenRequest struct {
	// Came and Answered are in true time; Answered is zero while it is being answered.
	Came, Answered time.Time
	// Tenant is the GUID of the tenant in the path, or the path's text if there is no
	// such tenant. Home says that it is the provider's own.
	Tenant string
	Home   bool
	// Grant is the grant_type, empty if the request was not read.
	Grant string
	// Status is the status of the answer, AADSTS the code that it was refused with.
	Status, AADSTS int
}

// TokenLedger is a list of requests in the order in which they came.
type TokenLedger []TokenRequest

// TokenRequests returns the requests to the token endpoints so far.
func (s *Simulator) TokenRequests() TokenLedger {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()

	list := make(TokenLedger, 0, len(s.stats.tokens))
	for _, r := range s.stats.tokens {
		list = append(list, *r)
	}

	return list
}

// Of returns the requests for one tenant.
func (l TokenLedger) Of(tenantID string) TokenLedger {
	return slices.DeleteFunc(slices.Clone(l), func(r TokenRequest) bool {
		return !strings.EqualFold(r.Tenant, tenantID)
	})
}

// Redeemed returns the redemptions of a refresh token that were answered with an access
// token: those at the provider's own tenant, or those elsewhere.
func (l TokenLedger) Redeemed(home bool) TokenLedger {
	return slices.DeleteFunc(slices.Clone(l), func(r TokenRequest) bool {
		return r.Grant != "refresh_token" || r.Status != 200 || r.Home != home
	})
}

// MostWithin returns the greatest number of requests that came within d of each other:
// in no stretch of time shorter than d were there more.
func (l TokenLedger) MostWithin(d time.Duration) int {
	most, first := 0, 0

	for i, r := range l {
		for r.Came.Sub(l[first].Came) >= d {
			first++
		}

		most = max(most, i-first+1)
	}

	return most
}

// MostInFlight returns the greatest number of requests that were being answered at the
// same moment.
func (l TokenLedger) MostInFlight() int {
	most := 0

	for i, r := range l {
		n := 1

		for _, earlier := range l[:i] {
			if earlier.Answered.IsZero() || earlier.Answered.After(r.Came) {
				n++
			}
		}

		most = max(most, n)
	}

	return most
}

// enterToken adds a request to the ledger. The caller completes it with leaveToken.
func (s *Simulator) enterToken(x *exchange, home bool) *TokenRequest {
	name, _, _ := strings.Cut(strings.TrimPrefix(x.r.URL.Path, "/"), "/")
	r := &TokenRequest{Came: s.cfg.Clock(), Tenant: name, Home: home}

	if x.tenant != nil {
		r.Tenant = x.tenant.ID
	}

	s.stats.mu.Lock()
	s.stats.tokens = append(s.stats.tokens, r)
	s.stats.mu.Unlock()

	return r
}

// leaveToken completes a request of the ledger.
func (s *Simulator) leaveToken(x *exchange, r *TokenRequest) {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()

	r.Answered = s.cfg.Clock()
	r.Grant, r.Status, r.AADSTS = x.grantType, x.status, x.aadsts
}
