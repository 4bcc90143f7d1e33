package advice

import "fmt"

// Fate says what a fault waits for. It is the only question that a program has to ask
// of one.
type Fate int

const (
	// TryAgain says that the same request may succeed later by itself, not before
	// RetryAfter: the network, a quota, a fault of the service. It is the zero value.
	TryAgain Fate = iota
	// NewToken says that the access token was refused; another one may be accepted.
	NewToken
	// NeedsFix says that what we send or read is wrong until a person changes it: an
	// id, a secret, an address, a file, a clock.
	NeedsFix
	// NeedsSignIn says that a person has to sign in again, or to configure a new refresh
	// token.
	NeedsSignIn
	// NotAuthorised says that a person in the customer's tenant has to allow something:
	// consent, an assignment, a policy, a licence.
	NotAuthorised
)

var fateNames = [...]string{
	TryAgain:      "try-again",
	NewToken:      "new-token",
	NeedsFix:      "needs-fix",
	NeedsSignIn:   "needs-sign-in",
	NotAuthorised: "not-authorised",
}

// String returns one word for logs.
func (f Fate) String() string {
	if f < TryAgain || int(f) >= len(fateNames) {
		return fmt.Sprintf("fate(%d)", int(f))
	}

	return fateNames[f]
}

// NeedsPerson reports whether the fault stays until a person does something.
func (f Fate) NeedsPerson() bool { return f >= NeedsFix }

// The exit codes of a command that ends with a fault.
const (
	// ExitFailed: the network, a timeout, a wrong secret, a wrong setting.
	ExitFailed = 1
	// ExitNeedsSignIn: a person has to sign in again.
	ExitNeedsSignIn = 3
	// ExitNotAuthorised: consent, an assignment, a policy or a licence is missing.
	ExitNotAuthorised = 4
)

// ExitCode returns the exit code of a command that ends with a fault of this fate.
func (f Fate) ExitCode() int {
	switch f {
	case NeedsSignIn:
		return ExitNeedsSignIn
	case NotAuthorised:
		return ExitNotAuthorised
	}

	return ExitFailed
}
