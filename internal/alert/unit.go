package alert

import (
	"cmp"
	"regexp"
)

// TenantID names a customer's tenant: a GUID or a domain, as configured, in lower case.
type TenantID string

// ClientID names the application that signs in, as Entra's application (client) id.
type ClientID string

// UnitKey identifies a unit: one tenant and API that are polled, with progress of their
// own.
type UnitKey struct {
	// LoginHost is the host[:port] of the sign-in service, in lower case.
	LoginHost string
	TenantID  TenantID
	API       API
	// StateID is the key state_id, normally empty.
	StateID string
}

// Compare orders keys: by tenant first.
func (k UnitKey) Compare(other UnitKey) int {
	return cmp.Or(
		cmp.Compare(k.TenantID, other.TenantID),
		cmp.Compare(k.API, other.API),
		cmp.Compare(k.StateID, other.StateID),
		cmp.Compare(k.LoginHost, other.LoginHost),
	)
}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// IsGUID reports whether a text has the form of Entra's ids of tenants and
// applications, in any case. A tenant may also be named by a domain.
func IsGUID(s string) bool { return guid.MatchString(s) }
