package advice

import "fmt"

// Scope says whom a refusal of the sign-in service concerns: who else would be refused
// too.
//
// It is about a refusal by one customer's tenant. A chain of refresh tokens may serve
// many customers, so no customer's refusal may stop the others: whether the chain
// itself has ended is for the chain's own tenant to say.
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
	// ScopeService is the sign-in service itself: nothing was decided about anybody.
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
