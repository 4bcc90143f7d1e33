// Package health names the states in which a unit can be. They are what people and
// other programs read in `defenderctl status`, in health records and in /metrics; see
// docs/contract.md.
package health

// State is how a unit does. The zero value is no state.
type State string

const (
	// Starting is before the first poll has ended.
	Starting State = "starting"
	// OK: the last poll was read to its end.
	OK State = "ok"
	// Failing: the last poll was not read to its end, or alerts are missing.
	Failing State = "failing"
	// Waiting: Fluent Bit takes nothing, so nothing is polled.
	Waiting State = "waiting"
	// Stopped: the input has ended in an orderly way.
	Stopped State = "stopped"
	// Stale: nobody has written the status for so long that it says nothing. It is
	// never stored; whoever shows a status finds it out.
	Stale State = "stale"
)

// Good reports whether nothing needs attention: OK, or Starting.
func (s State) Good() bool { return s == OK || s == Starting }
