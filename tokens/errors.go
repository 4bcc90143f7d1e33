package tokens

import (
	"slices"
	"strconv"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
)

// Error is why there is no access token: a fault that is explained, and what the
// sign-in service said. Its text is one bounded line without any secret.
type Error struct {
	// Fault has reason, problem, remedy and fate. Its Codes and Trace are empty: see
	// Explained.
	advice.Fault
	// Code is the AADSTS number that decided; 0 when there was none.
	Code int
	// Refusal is what the service said. If the answer had no CorrelationID, it is the
	// one that we sent. Status is 0 if there was no answer.
	Refusal Refusal

	// dead says that the refresh token that was sent will never work again.
	dead bool
	// unreliable says that good tokens were refused in this way too (AADSTS70000).
	unreliable bool
	// lost says that the request went out and no whole answer came back, so that the
	// service may have rotated the refresh token without our knowing.
	lost bool
	// rotated is the new refresh token of an answer that is of no other use: the service
	// may not accept the old one any more.
	rotated secret.Text
}

// Error returns one line: problem, remedy, codes.
func (e *Error) Error() string { return e.Explained().Error() }

// Message returns Error without the remedy and the ids, for a place that shows these
// separately.
func (e *Error) Message() string { return e.Explained().Message() }

// Explained returns the fault with the service's codes and ids in it.
func (e *Error) Explained() *advice.Fault {
	f := e.Fault
	f.Codes = e.codes()
	f.Trace = e.Refusal.trace()

	return &f
}

// Dead reports whether the refresh token that was sent will never work again.
func (e *Error) Dead() bool { return e.dead }

// codes lists the codes of the refusal, the one that decided first.
func (e *Error) codes() []string {
	var list []string

	if e.Code != 0 {
		list = append(list, codeName(e.Code))
	}

	for _, c := range e.Refusal.AADSTS {
		if name := codeName(c); !slices.Contains(list, name) {
			list = append(list, name)
		}
	}

	add := func(prefix, text string) {
		if text != "" {
			list = append(list, prefix+text)
		}
	}
	add("", e.Refusal.OAuth)
	add("", e.Refusal.Suberror)

	if e.Refusal.Status != 0 {
		add("HTTP ", strconv.Itoa(e.Refusal.Status))
	}

	return list
}

// trace lists the service's ids of the request.
func (r Refusal) trace() []string {
	var list []string

	if r.TraceID != "" {
		list = append(list, "trace id "+r.TraceID)
	}

	if r.CorrelationID != "" {
		list = append(list, "correlation id "+r.CorrelationID)
	}

	return list
}

// refusesToken reports whether the service refused the token that was redeemed, and not
// the application or its credential. Then it may accept another refresh token.
func (e *Error) refusesToken() bool {
	if e.Fate == advice.TryAgain || e.Refusal.Status == 0 || e.Scope == advice.ScopeCredential {
		return false
	}

	if _, application := applicationCodes[e.Code]; application {
		return false
	}

	switch e.Refusal.OAuth {
	case "", "invalid_client", "unauthorized_client":
		return false
	}

	return true
}

// newError returns an Error that does not come from an answer of the service.
func newError(reason advice.Reason, fate advice.Fate, problem, remedy string, cause error) *Error {
	return &Error{Fault: advice.Fault{
		Reason:  reason,
		Problem: problem,
		Remedy:  remedy,
		Fate:    fate,
		Err:     cause,
	}}
}

// settingError returns a fault on our side, such as a secret that cannot be read.
func settingError(reason advice.Reason, problem, remedy string, cause error) *Error {
	return newError(reason, advice.NeedsFix, problem, remedy, cause)
}
