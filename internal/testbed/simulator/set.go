package simulator

import (
	"fmt"
	"slices"
	"strings"
)

// SetTenant changes a tenant's settings (not its id, alerts or applications). It panics
// if there is none with that GUID or domain.
func (s *Simulator) SetTenant(tenantID string, change func(*Tenant)) {
	t := s.mustTenant(tenantID)
	s.mu.Lock()
	defer s.mu.Unlock()

	c := t.Tenant
	change(&c)

	// Not the tenant as a whole: its ID and alerts are read without this lock.
	t.Name, t.User, t.Cloud = c.Name, c.User, c.Cloud
	t.MSSPAuthorised, t.Forbidden, t.Guest = c.MSSPAuthorised, c.Forbidden, c.Guest
	t.NoRole, t.NoMFA = c.NoRole, c.NoMFA
	t.AADSTS, t.MissingPrincipals = c.AADSTS, c.MissingPrincipals
}

// SetMSSPAuthorised enters the applications on the MSSP tab of the customer's portal,
// or takes them out.
func (s *Simulator) SetMSSPAuthorised(tenantID string, authorised bool) {
	s.SetTenant(tenantID, func(t *Tenant) { t.MSSPAuthorised = authorised })
}

// SetTenantGone makes a tenant unknown to the sign-in service (AADSTS90002) and deleted
// for the APIs, or brings it back.
func (s *Simulator) SetTenantGone(tenantID string, gone bool) {
	t := s.mustTenant(tenantID)
	s.mu.Lock()
	defer s.mu.Unlock()

	t.gone = gone
}

// SetApp changes an application as a tenant knows it: its secret, permissions, or the
// code it is refused with. New refresh tokens in RefreshTokens become valid. It panics
// if the tenant does not know the application.
func (s *Simulator) SetApp(tenantID, clientID string, change func(*App)) {
	t := s.mustTenant(tenantID)
	s.mu.Lock()
	defer s.mu.Unlock()

	a := t.app(clientID)
	if a == nil {
		panic("simulator: tenant " + tenantID + " does not know the application " + clientID)
	}

	change(a)

	for _, seed := range a.RefreshTokens {
		if s.refresh[seed] == nil {
			s.seed(t, a, seed)
		}
	}
}

// AddApp returns consent to an application in a tenant, in place of the one with the
// same client id if there is one.
func (s *Simulator) AddApp(tenantID string, a App) {
	t := s.mustTenant(tenantID)
	s.mu.Lock()
	defer s.mu.Unlock()

	t.Apps = slices.DeleteFunc(t.Apps, func(b App) bool { return strings.EqualFold(a.ClientID, b.ClientID) })

	t.Apps = append(t.Apps, a)
	for _, seed := range a.RefreshTokens {
		if s.refresh[seed] == nil {
			s.seed(t, &a, seed)
		}
	}
}

// RemoveApp withdraws the consent for an application in a tenant: AADSTS700016 from
// then on, and its tokens end.
func (s *Simulator) RemoveApp(tenantID, clientID string) {
	t := s.mustTenant(tenantID)
	s.mu.Lock()
	t.Apps = slices.DeleteFunc(t.Apps, func(b App) bool { return strings.EqualFold(clientID, b.ClientID) })
	s.mu.Unlock()
	s.EndAccessTokens(tenantID)
}

// RevokeRefreshTokens makes every refresh token that the tenant's applications hold now
// dead, refused with the AADSTS code (50173 is an administrator's revocation).
func (s *Simulator) RevokeRefreshTokens(tenantID string, code int) {
	t := s.mustTenant(tenantID)
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, rt := range s.refresh {
		if rt.tenant == t {
			rt.dead = code
		}
	}
}

// EndAccessTokens makes every access token of a tenant expire at once.
func (s *Simulator) EndAccessTokens(tenantID string) {
	t := s.mustTenant(tenantID)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, at := range s.access {
		if at.tenant == t && now.Before(at.expires) {
			at.expires = now
		}
	}
}

// IssueRefreshToken makes a new refresh token, as if the tenant's operator had signed
// in to the application, and returns its text.
func (s *Simulator) IssueRefreshToken(tenantID, clientID string) (string, error) {
	t := s.mustTenant(tenantID)
	s.mu.Lock()
	defer s.mu.Unlock()

	a := t.app(clientID)
	if a == nil {
		return "", fmt.Errorf("simulator: tenant %s does not know the application %s", tenantID, clientID)
	}

	text := fmt.Sprintf("1.A%s.%d", base64URL(random(s.cfg.Seed, "issue", s.issued), 96), s.issued+1)
	s.seed(t, a, text)

	return text, nil
}

// SetRotation changes what becomes of redeemed refresh tokens.
func (s *Simulator) SetRotation(mode RotationMode) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.cfg.Rotation = mode
}

// SetOmitRefresh leaves the refresh token out of answers to a refresh, or not.
func (s *Simulator) SetOmitRefresh(omit bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.cfg.OmitRefresh = omit
}

// SetAutoConsent makes the interactive pages decide at once, or wait for a person.
func (s *Simulator) SetAutoConsent(auto bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.cfg.AutoConsent = auto
}

// TenantIDs lists the GUIDs of the tenants in the order they were added.
func (s *Simulator) TenantIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()

	var list []string
	for _, t := range s.tenants {
		list = append(list, t.ID)
	}

	return list
}
