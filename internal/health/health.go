// Package health names the states of a unit. People and other programs read them in
// `defenderctl status`, in health records and in /metrics: see docs/contract.md.
package health

// State says whether a unit works. The zero value is no state.
type State string

const (
	// Starting means that the first poll has not ended yet.
	Starting State = "starting"
	// OK means that the last poll was read to its end.
	OK State = "ok"
	// Failing means that the last poll was not read to its end, or alerts are missing.
	Failing State = "failing"
	// Waiting means that Fluent Bit accepts no events, so nothing is polled.
	Waiting State = "waiting"
	// Stopped means that the input has ended normally.
	Stopped State = "stopped"
	// Stale means that the stored status is too old to rely on. It is never stored:
	// the program that shows a status sets it after a look at the status's age.
	Stale State = "stale"
)

// Good reports whether nothing needs attention: the state is OK or Starting.
func (s State) Good() bool { return s == OK || s == Starting }
