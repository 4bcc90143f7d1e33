package alert

import (
	"cmp"

	"fluent-bit-defender/internal/tick"
)

// Rules are the settings that decide what a row counts as.
type Rules struct {
	API      API
	TenantID TenantID // the configured one
	// Updates says that every version of an alert counts, not only the first. Without
	// it windows go by the creation time, where the API allows that.
	Updates   bool
	TimeField TimeField
}

// Moment is when a row was read.
type Moment struct {
	// Present is the end of what the poll could read, by the clock of the API's host.
	Present tick.Tick
	// Now is the moment by this machine's clock.
	Now tick.Tick
}

// Version is what one row counts as: one version of one alert.
type Version struct {
	// ID is the record_id.
	ID ID
	// Repeat is the same for two rows of which one is to be dropped.
	Repeat Key
	// At is the time that windows go by. A row without it is as old as the Moment's
	// Present, and Undated.
	At      tick.Tick
	Undated bool
	// Time is the time that the event gets.
	Time tick.Tick
	// Updated and Created are the row's own times, 0 where it has none.
	Updated, Created tick.Tick
	// Tenant is the tenant that the row claims to belong to, in lower case; empty if it
	// claims none.
	Tenant TenantID
}

// Identifier decides what the rows of one unit count as. It is the only place that does:
// the input and `defenderctl pull` agree by using it. It is for one goroutine at a time.
type Identifier struct {
	rules      Rules
	byCreation bool // windows go by the creation time
	describer  *Describer
}

// NewIdentifier returns the Identifier of a unit. It fails if a rule has a value that
// there is not.
func NewIdentifier(r Rules) (*Identifier, error) {
	facts, err := r.API.Descriptor()
	if err != nil {
		return nil, err
	}

	if r.TimeField, err = ParseTimeField(string(r.TimeField)); err != nil {
		return nil, err
	}

	describer, err := NewDescriber(r.API)
	if err != nil {
		return nil, err
	}

	return &Identifier{
		rules:      r,
		byCreation: !r.Updates && facts.Row.WindowsByCreated,
		describer:  describer,
	}, nil
}

// Identify says what a row counts as that was read at the given moment. It keeps no
// reference to raw.
func (i *Identifier) Identify(raw []byte, read Moment) Version {
	row := i.describer.Describe(raw)
	id := MakeID(i.rules.TenantID, i.rules.API, row.Identity, row.Version)
	window := i.window(row)

	return Version{
		ID:      id,
		Repeat:  i.repeatKey(id, row, raw),
		At:      cmp.Or(window, read.Present),
		Undated: window == 0,
		Time:    cmp.Or(i.eventTime(row), read.Now),
		Updated: row.Updated,
		Created: row.Created,
		Tenant:  row.Tenant,
	}
}

// window returns the time that windows go by, 0 if the row has none.
func (i *Identifier) window(row Row) tick.Tick {
	if i.byCreation {
		return dated(row.Created)
	}

	return dated(row.Updated)
}

// eventTime returns the time that the key `time_field` asks for, 0 for the moment of
// reading.
func (i *Identifier) eventTime(row Row) tick.Tick {
	switch i.rules.TimeField {
	case TimeUpdated:
		return dated(row.Updated)
	case TimeCreated:
		return dated(row.Created)
	case TimeNow:
	}

	return 0
}

// repeatKey returns the key of the version, or of the alert where only its first version
// counts. A row without a version is told apart by all its bytes.
func (i *Identifier) repeatKey(id ID, row Row, raw []byte) Key {
	switch {
	case !i.rules.Updates:
		return MakeID(i.rules.TenantID, i.rules.API, row.Identity, nil).Key()
	case row.Whole:
		return MakeID("", "", id[:], raw).Key()
	}

	return id.Key()
}
