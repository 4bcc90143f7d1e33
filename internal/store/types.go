package store

import (
	"cmp"
	"encoding/json"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/tick"
)

// Checkpoint is how far a unit has come. Times are ticks of the API's update time.
type Checkpoint struct {
	// Floor is where the very first poll began: nothing updated earlier is ever emitted.
	Floor tick.Tick
	// Watermark is the time up to which everything has been delivered that was updated
	// before it and was listed when it was read.
	Watermark tick.Tick
	// SeenSince is the time from which on the seen-set is complete: it holds every alert
	// version emitted with an update time at or after it. Earlier entries are not
	// needed: Load leaves them out at once, and they are deleted after CrashWindow.
	SeenSince tick.Tick
	// Swept is when the last sweep was complete.
	Swept tick.Tick
	// Lateness is the greatest delay observed between an alert's update and its being
	// listed; the overlap grows to it.
	Lateness time.Duration
	// Replay says that a node that died may have delivered what is emitted from now on,
	// so that it is marked as a possible repeat. A commit after the next whole read
	// clears it. Only a Shared store sets it.
	Replay bool
}

// Seen is one alert version that was emitted: SHA-256, cut to 128 bits, of its identity
// and version, and its update time.
type Seen struct {
	Key  [16]byte
	Time tick.Tick
}

// Status is what `defenderctl status` and the metrics show of one unit. It is kept as
// JSON; the Trouble is its zero value while all is well.
type Status struct {
	TenantName string
	ClientID   alert.ClientID
	// HomeTenantID is the tenant whose sign-in is used for the unit; empty: its own.
	HomeTenantID alert.TenantID `json:",omitempty"`
	State        health.State
	health.Trouble
	Since                   time.Time
	LastSuccess, LastAlert  time.Time
	LagSeconds              float64
	Emitted, Repeats, Polls uint64
	Errors                  uint64
	Deferred                int
	EffectiveInterval       time.Duration
	UpdatedAt               time.Time
	// Run names the run of the input that wrote it (see Freshen); empty if an older
	// version wrote it.
	Run string `json:",omitempty"`
	// History has the changes of the last day, oldest first; the last one is in force.
	History []Change `json:",omitempty"`
	// Notice is what is wrong with the input as a whole although its units go on, such
	// as a refused tenants file; nil if nothing is.
	Notice *health.Trouble `json:",omitempty"`
	// Hours counts the alerts that were emitted, by the hour.
	Hours health.Hours `json:",omitzero"`
	// RelationshipEnd is when the relationship (GDAP) through which the customer is
	// reached ends; zero if that is not known.
	RelationshipEnd time.Time `json:",omitzero"`
}

// UnmarshalJSON implements json.Unmarshaler. Versions before this one wrote a sentence
// as Reason: it becomes the Message.
func (s *Status) UnmarshalJSON(data []byte) error {
	type plain Status

	var read plain
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}

	if read.Reason != "" && !read.Reason.Known() {
		read.Message = cmp.Or(read.Message, string(read.Reason))
		read.Reason = ""
	}

	*s = Status(read)

	return nil
}

// DeferredKind says what was deferred. It is written into the store as it is.
type DeferredKind string

const (
	// UnreadableWindow is a window of update time that the API fails to answer while
	// it answers others.
	UnreadableWindow DeferredKind = "unreadable-window"
	// RejectedEvent is an event that Fluent Bit refuses while it takes others.
	RejectedEvent DeferredKind = "rejected-event"
	// ParkedBatch is a batch that was queued at an orderly end.
	ParkedBatch DeferredKind = "parked-batch"
)

// Deferred is work that was put off, so that it holds up nothing else. It is tried
// again until it is done.
type Deferred struct {
	// ID is set by the store.
	ID   int64
	Kind DeferredKind
	// From and To are the window, for UnreadableWindow only.
	From, To tick.Tick
	// Events are encoded events, one after the other. An UnreadableWindow has none.
	Events []byte
	// Reason is a text for people.
	Reason  string
	Tries   int
	NextTry time.Time
	// Replay says that a node that died may have delivered the events of this entry, or
	// those of its window, so that they are marked as possible repeats. Only a Shared
	// store sets it, when the unit is taken over.
	Replay bool
}
