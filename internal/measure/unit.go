package measure

import (
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// Unit is everything that is shown of a unit at one moment.
type Unit struct {
	Key    alert.UnitKey
	Status store.Status
	Reading

	// Throttled is for how long, since the start, the API had asked to send nothing.
	Throttled time.Duration
	// Ends says when the unit's credentials and its access end.
	Ends Ends

	// Shared says that the unit is in a store that several machines share, and Holder
	// which node holds it there.
	Shared bool
	Holder Holder
	// Elsewhere says that another node polls the unit, not this process: Status is what
	// that node has written, and there are no metrics of the unit.
	Elsewhere bool
}

// Ends are the times at which something ends unless a person renews it. A zero time is
// not known, or there is no such thing.
type Ends struct {
	// RefreshToken is when the chain of refresh tokens ends if it is not used.
	RefreshToken time.Time
	// Credential is when the application's certificate or secret ends.
	Credential time.Time
	// Relationship is when the delegated administration (GDAP) of the customer ends.
	Relationship time.Time
}

// Input is what is shown of an input as a whole at one moment.
type Input struct {
	// Bytes and Events are the size and number of the events that wait for Fluent Bit.
	Bytes, Events int
	// Blocked: events wait, and Fluent Bit accepts none.
	Blocked bool
	// FileRejected: the newest version of the tenants file is refused.
	FileRejected bool
	// Discovery says whether the provider's customers can be listed.
	Discovery Discovery
	// Notice is what is wrong with the input as a whole; nil while nothing is.
	Notice *health.Trouble
	// StoreErrors counts the calls of the store that failed since the start.
	StoreErrors uint64
	// Starts has the times from when a poll was due until it began.
	Starts Histogram
	// Nodes has this process as a node on a store that several machines share. It is
	// empty if the store is in files of this machine.
	Nodes []Node
}

// Discovery says whether the lists of a provider's customers can be had.
type Discovery struct {
	// On: the input discovers customers. Without it the rest means nothing.
	On bool
	// Failed: the last list failed, or was empty.
	Failed bool
	// Listed is when the last good list was asked for; zero when there was none.
	Listed time.Time
}

// Join returns what is shown of two inputs together: of each field the worse value.
func (d Discovery) Join(other Discovery) Discovery {
	switch {
	case !other.On:
		return d
	case !d.On:
		return other
	}

	if other.Listed.Before(d.Listed) {
		d.Listed = other.Listed
	}

	d.Failed = d.Failed || other.Failed

	return d
}
