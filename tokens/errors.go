package tokens

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/secret"
)

// Fate says what a failed sign-in waits for.
type Fate int

const (
	// Transient: the same request may succeed later by itself (network, 429, 5xx).
	Transient Fate = iota
	// NeedsSignIn: a person has to sign in again, or a new refresh token has to be given.
	NeedsSignIn
	// NotAuthorised: someone in the customer's tenant has to allow something (consent,
	// policy, licence).
	NotAuthorised
	// Config: what we send is wrong: an id, a secret, an address, a clock.
	Config
)

// String is one word for logs.
func (f Fate) String() string {
	switch f {
	case Transient:
		return "transient"
	case NeedsSignIn:
		return "needs-sign-in"
	case NotAuthorised:
		return "not-authorised"
	case Config:
		return "config"
	}

	return fmt.Sprintf("fate(%d)", int(f))
}

// ExitClass is the exit code of a command that ends with an error.
type ExitClass int

const (
	// ExitFailed: network, timeout, wrong secret, wrong setting.
	ExitFailed ExitClass = 1
	// ExitNeedsSignIn: a person has to sign in again.
	ExitNeedsSignIn ExitClass = 3
	// ExitNotAuthorised: consent, assignment, policy or licence is missing.
	ExitNotAuthorised ExitClass = 4
)

// Error is why there is no access token. Its text is one bounded line without any secret:
// what happened, what to do, then the raw codes.
type Error struct {
	// Fate and Exit are for programs, Sentence and Remedy for people.
	Fate Fate
	// Exit is the exit code for a command.
	Exit ExitClass
	// Scope says whom a refusal concerns; 0 where it is none of the service's.
	Scope Scope
	// Sentence says what happened, Remedy what to do about it.
	Sentence, Remedy string
	// RetryAfter is how long the service asked to be left alone; 0 when it did not say.
	RetryAfter time.Duration
	// Code is the AADSTS number that decided, 0 when there was none; Codes are all of
	// them.
	Code  int
	Codes []int
	// OAuth is the error of RFC 6749 section 5.2, such as invalid_grant; Suberror
	// Microsoft's refinement.
	OAuth, Suberror string
	// TraceID and CorrelationID find the request in Microsoft's logs. CorrelationID is
	// the one we sent when the answer had none.
	TraceID, CorrelationID string
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// Err is the cause where it is ours or the network's; nil for a refusal by the
	// service.
	Err error

	// dead: this refresh token will never work again. doubtful: the service was seen to
	// refuse good ones so (AADSTS70000).
	dead, doubtful bool
	// lost: the request went out and no whole answer came back, so a refresh token may
	// have been rotated unseen.
	lost bool
	// rotated is the new refresh token of an answer that cannot be used otherwise: the
	// service may hold the old one for used up.
	rotated secret.Text
}

// maxErrorText bounds Error's line in bytes; the command of a remedy has to fit in whole.
const maxErrorText = 2400

// Error is one line: sentence, remedy, raw codes.
func (e *Error) Error() string { return e.line(e.Remedy) }

// Reason is Error without the remedy, for where that stands beside it.
func (e *Error) Reason() string { return e.line("") }

func (e *Error) line(remedy string) string {
	var b strings.Builder
	b.WriteString(e.Sentence)

	if e.Err != nil {
		if text := plain.Line(e.Err.Error(), 500); text != "" && !strings.Contains(e.Sentence, text) {
			b.WriteString(": " + text)
		}
	}

	if remedy != "" {
		b.WriteString("; " + remedy)
	}

	if raw := e.raw(); raw != "" {
		raw = " (" + raw + ")"
		return plain.Line(b.String(), maxErrorText-len(raw)) + raw
	}

	return plain.Line(b.String(), maxErrorText)
}

// raw lists what support asks for.
func (e *Error) raw() string {
	var parts []string
	for _, c := range e.orderedCodes() {
		parts = append(parts, codeName(c))
	}

	if e.OAuth != "" {
		parts = append(parts, e.OAuth)
	}

	if e.Suberror != "" {
		parts = append(parts, e.Suberror)
	}

	if e.Status != 0 {
		parts = append(parts, "HTTP "+strconv.Itoa(e.Status))
	}

	if e.TraceID != "" {
		parts = append(parts, "trace id "+e.TraceID)
	}

	if e.CorrelationID != "" {
		parts = append(parts, "correlation id "+e.CorrelationID)
	}

	return strings.Join(parts, ", ")
}

// orderedCodes puts the code that decided first.
func (e *Error) orderedCodes() []int {
	if e.Code == 0 {
		return e.Codes
	}

	list := []int{e.Code}
	for _, c := range e.Codes {
		if !slices.Contains(list, c) {
			list = append(list, c)
		}
	}

	return list
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Dead tells that the refresh token which was sent will never work again.
func (e *Error) Dead() bool { return e.dead }

// ExitCode is the exit code for err: its ExitClass where it is, or wraps, an Error; else
// ExitFailed. A nil err is 0.
func ExitCode(err error) int {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e) && e.Exit != 0:
		return int(e.Exit)
	}

	return int(ExitFailed)
}

// aboutGrant reports whether the service refused what was redeemed, and not the
// application or its credential: another refresh token may be accepted.
func (e *Error) aboutGrant() bool {
	if e.Fate == Transient || e.Status == 0 || e.Scope == ScopeCredential {
		return false
	}

	if _, application := applicationCodes[e.Code]; application {
		return false
	}

	return e.OAuth != "" && e.OAuth != "invalid_client" && e.OAuth != "unauthorized_client"
}

// configError is a fault on our side of the wire, such as an unreadable secret.
func configError(sentence, remedy string, err error) *Error {
	return &Error{
		Fate:     Config,
		Exit:     ExitFailed,
		Sentence: sentence,
		Remedy:   remedy,
		Err:      err,
	}
}
