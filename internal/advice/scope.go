package advice

import "fmt"

// Scope says whom a refusal of the sign-in service concerns: who else would be refused
// too.
//
// A chain of refresh tokens may serve many customers, and the refusal of one customer's
// tenant must not stop the others. Only the chain's own tenant can say that the chain
// itself has ended.
type Scope int

const (
	// ScopeCustomer is one customer's tenant: its consent, its policies, its accounts.
	ScopeCustomer Scope = iota + 1
	// ScopeChain is one user's sign-in, and so every tenant that is reached with it.
	ScopeChain
	// ScopeCredential is the secret or certificate of the application: all who use it.
	ScopeCredential
	// ScopeApplication is the registration of the application, or what this program
	// sends for it.
	ScopeApplication
	// ScopeService is the sign-in service itself: its answer says nothing about the
	// tenant, the user or the application.
	ScopeService
)

var scopeNames = [...]string{
	ScopeCustomer:    "customer",
	ScopeChain:       "chain",
	ScopeCredential:  "credential",
	ScopeApplication: "application",
	ScopeService:     "service",
}

// String returns one word for logs.
func (s Scope) String() string {
	if s < ScopeCustomer || int(s) >= len(scopeNames) {
		return fmt.Sprintf("scope(%d)", int(s))
	}

	return scopeNames[s]
}
