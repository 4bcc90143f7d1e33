package collect

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/tokens"
)

// verdict is what a poll's error means for the unit.
type verdict struct {
	kind kind
	// line is for the log, trouble for the status and health records.
	line    string
	trouble health.Trouble
	// cause tells one fault from another: if it differs from that of the last verdict,
	// the state has changed. All transient faults have the same cause.
	cause string
	// retryAfter is how long the service asked to wait, if asked is true.
	retryAfter time.Duration
	asked      bool
	// quick says that no server was reached, so that soon trying again disturbs none.
	quick bool
}

// kind says what has to happen after a poll.
type kind int

const (
	fine      kind = iota // nothing
	postponed             // the call budget has to allow more requests
	transient             // the unit tries again by itself
	human                 // a person has to fix something
	signIn                // a person has to sign in again
)

// needsPerson reports whether the fault stays until a person does something.
func (k kind) needsPerson() bool { return k >= human }

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
			trouble:    troubleOf(api.Explained()),
			retryAfter: api.RetryAfter,
			asked:      api.RetryAfter > 0,
			quick:      api.Unreachable,
		}
		if api.Budget {
			v.kind = postponed
		}

		if api.Fate != advice.TryAgain {
			v.kind, v.cause = human, fmt.Sprintf("api %d %s", api.Status, api.Code)
		}

		return v
	}

	return unexplainedVerdict(err)
}

// unexplainedVerdict is the verdict on an error that is not an explained fault: one of
// the store, or a mistake of this program.
func unexplainedVerdict(err error) verdict {
	trouble := health.Trouble{
		Reason:  advice.Internal,
		Message: err.Error(),
		Remedy:  reportIt,
	}

	var failed storeError
	if errors.As(err, &failed) {
		trouble = storeTrouble(err)
	}

	return verdict{kind: transient, line: err.Error(), trouble: trouble}
}

// reportIt is the remedy of a fault in this program.
const reportIt = "see the log, and report it"

// troubleOf returns what is shown of a fault. A fault without a reason is a mistake of
// this program, and is shown as such.
func troubleOf(f *advice.Fault) health.Trouble {
	return health.Trouble{
		Reason:  cmp.Or(f.Reason, advice.Internal),
		Message: f.Message(),
		Remedy:  f.Remedy,
		Trace:   f.Traces(),
	}
}

// levelOf returns the log level of a failure: error if a person is needed. The end of a
// sign-in that many tenants share is logged by package tokens, once for all of them.
func levelOf(v verdict) slog.Level {
	switch {
	case v.trouble.Reason == advice.ChainDead:
		return slog.LevelDebug
	case v.kind.needsPerson():
		return slog.LevelError
	}

	return slog.LevelWarn
}

// describe returns the log line of a failure.
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
		trouble:    troubleOf(e.Explained()),
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
	// If there is a code, the OAuth name says nothing more. It may be missing, if it is
	// known from an earlier answer that the token is dead.
	if e.Code == 0 {
		v.cause = "sign-in " + e.Refusal.OAuth
	}

	return v
}
