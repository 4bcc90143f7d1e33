package alert

// TenantID names a customer's tenant: a GUID or a domain, as configured, in lower case.
type TenantID string

// ClientID names the application that signs in, as Entra's application (client) id.
type ClientID string

// UnitKey names a unit: what is polled, and what progress is kept for.
type UnitKey struct {
	// LoginHost is the host[:port] of the sign-in service, in lower case.
	LoginHost string
	TenantID  TenantID
	API       API
	// StateID is the key state_id, normally empty.
	StateID string
}
