package collect

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// verdict is what a poll's error means for the unit.
type verdict struct {
	kind kind
	// line is for the log; trouble for the status and health records.
	line    string
	trouble health.Trouble
	// cause tells one fault from another: a new cause is a change of state. All transient
	// faults are one cause.
	cause string
	// retryAfter is what the service asked for, if it did.
	retryAfter time.Duration
	asked      bool
	// quick says that nothing was reached, so that nobody throttles us.
	quick bool
}

// kind says who has to do something after a poll.
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

// unexplainedVerdict is the verdict on an error that is no explained fault. What a poll
// calls besides sign-in and API is the store.
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

// storeError is an error of the store.
type storeError struct{ error }

// Unwrap returns what the store returned.
func (e storeError) Unwrap() error { return e.error }

// storeTrouble is what is shown while the store fails.
func storeTrouble(err error) health.Trouble {
	remedy := "make room on the disk of data_dir and check that its files can be written"

	switch {
	case errors.Is(err, store.ErrUnreachable):
		remedy = "see whether the database runs, and whether this machine reaches it"
	case errors.Is(err, store.ErrDenied):
		remedy = "check user, password and rights of the database that `store` names"
	}

	return health.Trouble{
		Reason:  advice.Store,
		Message: plain.Line(err.Error(), advice.MaxLine),
		Remedy:  remedy + "; it is tried again by itself",
	}
}

// troubleOf returns what is shown of a fault. One without a reason is a mistake of this
// program, and is shown as such.
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
	case v.kind >= human:
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
	// With a code the OAuth name says nothing more, and a token's death that is
	// remembered has no name.
	if e.Code == 0 {
		v.cause = "sign-in " + e.Refusal.OAuth
	}

	return v
}
