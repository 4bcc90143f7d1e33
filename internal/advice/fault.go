package advice

import (
	"errors"
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/config/plain"
)

// Fault is something that went wrong, explained to a person. The methods of *Fault make
// it an error; a type that embeds Fault has them too.
type Fault struct {
	// Reason is the word for it. Every fault of a unit has one; a fault of a
	// configuration, which no unit ever shows, has none.
	Reason Reason `json:"reason,omitempty"`
	// Problem says what is wrong, in one sentence without a full stop.
	Problem string `json:"problem"`
	// Remedy says what a person can do about it; empty where there is nothing to do.
	Remedy string `json:"remedy,omitempty"`
	// Fate says what the fault waits for.
	Fate Fate `json:"-"`
	// RetryAfter is how long the service asked to be left alone; 0 when it did not say.
	RetryAfter time.Duration `json:"-"`
	// Codes are what the service itself said: its codes and the HTTP status. The first
	// is the one that decided what the fault is.
	Codes []string `json:"-"`
	// Trace are the service's ids of the request, each with its name, for its support:
	// "trace id …", "correlation id …".
	Trace []string `json:"-"`
	// Scope says who else has the same fault; 0 where that is not known.
	Scope Scope `json:"-"`
	// Err is the cause, where it is ours or the network's.
	Err error `json:"-"`
}

// MaxLine bounds a printed fault in bytes; the command of a remedy has to fit in whole.
const MaxLine = 2400

// maxCause bounds the cause in it.
const maxCause = 500

// Error returns one line: problem and cause, remedy, codes, ids.
func (f *Fault) Error() string { return f.line(f.Remedy, f.Codes, f.Trace) }

// Message returns Error without the remedy and the ids, for where these stand beside it.
func (f *Fault) Message() string { return f.line("", f.Codes) }

// Traces returns the ids of the request as one text; empty when there are none.
func (f *Fault) Traces() string { return strings.Join(f.Trace, ", ") }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Explained returns f. It makes Of find the fault in a type that embeds it.
func (f *Fault) Explained() *Fault { return f }

// line returns one line of problem and cause, remedy, and details in brackets.
func (f *Fault) line(remedy string, details ...[]string) string {
	var b strings.Builder
	b.WriteString(f.Problem)

	if f.Err != nil {
		cause := plain.Line(f.Err.Error(), maxCause)
		if cause != "" && !strings.Contains(f.Problem, cause) {
			b.WriteString(": " + cause)
		}
	}

	if remedy != "" {
		b.WriteString("; " + remedy)
	}

	codes := ""
	if list := slices.Concat(details...); len(list) > 0 {
		codes = " (" + strings.Join(list, ", ") + ")"
	}

	return plain.Line(b.String(), MaxLine-len(codes)) + codes
}

// Of returns the explained fault that err is or wraps; nil when there is none.
func Of(err error) *Fault {
	var e interface {
		error
		Explained() *Fault
	}
	if !errors.As(err, &e) {
		return nil
	}

	return e.Explained()
}

// ExitCode returns the exit code of a command that ends with err: that of its fate
// where err is or wraps a fault, ExitFailed for any other error, 0 for nil.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}

	if f := Of(err); f != nil {
		return f.Fate.ExitCode()
	}

	return ExitFailed
}

// Flatten returns the errors that were joined with errors.Join, at any depth. For an
// error that is not a joined one it returns that error alone, and for nil it returns nil.
func Flatten(err error) []error {
	if err == nil {
		return nil
	}

	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}

	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, Flatten(e)...)
	}

	return all
}
