package collect

import (
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/tokens"
)

// verdict is what a poll's error means for the tenant.
type verdict struct {
	kind kind
	// line is for the log; reason and remedy, one line each, for the status and health
	// records.
	line, reason, remedy string
	// cause tells one fault from another: a new one is a change of state. Transient
	// faults are all one.
	cause string
	// retryAfter is what the service asked for, if it did.
	retryAfter time.Duration
	asked      bool
	// quick says that nobody throttles us: nothing was reached.
	quick bool
}

type kind int

const (
	fine      kind = iota
	postponed      // nothing failed: the call budget is used up
	transient
	human // from here on somebody has to do something
	signIn
)

// verdictOf classifies the error that a poll ended with.
func verdictOf(err error) verdict {
	var (
		api  *defender.Error
		auth *tokens.Error
	)
	switch {
	case err == nil:
		return verdict{}
	case errors.As(err, &auth):
		return signInVerdict(auth)
	case errors.As(err, &api):
		v := verdict{
			kind:       transient,
			line:       api.Error(),
			reason:     api.Reason(),
			remedy:     api.Remedy,
			retryAfter: api.RetryAfter,
			asked:      api.HasRetryAfter,
			quick:      api.Unreachable,
		}
		if api.Budget {
			v.kind = postponed
		}

		if api.Fate != defender.TryAgain {
			v.kind, v.cause = human, fmt.Sprintf("api %d %s", api.Status, api.Code)
		}

		return v
	}

	return verdict{kind: transient, line: err.Error(), reason: err.Error()}
}

// levelOf: a person is needed for errors only.
func levelOf(v verdict) Level {
	if v.kind >= human {
		return Error
	}

	return Warn
}

func describe(v verdict) string {
	if v.kind == transient {
		return v.line + "; will try again by itself"
	}

	return v.line
}

// signInVerdict is the verdict on a sign-in that failed. A new code is a new cause: the
// remedy is another one.
func signInVerdict(e *tokens.Error) verdict {
	v := verdict{
		kind:       human,
		line:       e.Error(),
		reason:     e.Reason(),
		remedy:     e.Remedy,
		retryAfter: e.RetryAfter,
		asked:      e.RetryAfter > 0,
	}
	switch e.Fate {
	case advice.TryAgain:
		v.kind, v.quick = transient, e.Refusal.Status == 0
		return v
	case advice.NeedsSignIn:
		v.kind = signIn
	}

	v.cause = fmt.Sprintf("sign-in %d", e.Code)
	if e.Code == 0 { // with a code the name says nothing more, and a death that is remembered has lost it
		v.cause = "sign-in " + e.Refusal.OAuth
	}

	return v
}
