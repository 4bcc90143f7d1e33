package alert

import (
	"cmp"

	"fluent-bit-defender/internal/tick"
)

// Rules are the settings that decide which version of which alert a row is.
type Rules struct {
	API      API
	TenantID TenantID // the configured one
	// Updates says that every version of an alert is an event of its own. Without it
	// only the first version is, and windows filter by the creation time where the API
	// allows that.
	Updates   bool
	TimeField TimeField
	// Histories says that Version.Alert is wanted. It costs a hash for each row.
	Histories bool
}

// Moment is when a row was read.
type Moment struct {
	// Present is the latest time that the poll could read up to, by the clock of the
	// API's host.
	Present tick.Tick
	// Now is the time of reading by this machine's clock.
	Now tick.Tick
}

// Version identifies what a row is: one version of one alert.
type Version struct {
	// ID is the record_id.
	ID ID
	// Repeat is equal for two rows if one of them is a repeat, which is dropped.
	Repeat Key
	// Alert is equal for all versions of one alert. It is empty if the rules do not ask
	// for it, and where an alert has one version only.
	Alert Key
	// History is what is known of earlier versions. An Identifier does not know it.
	History History
	// At is the time that windows filter by. For a row without that time, At is the
	// Moment's Present and Undated is set.
	At      tick.Tick
	Undated bool
	// Time is the time of the event.
	Time tick.Tick
	// Updated and Created are the row's own times, 0 where it has none.
	Updated, Created tick.Tick
	// Tenant is the tenant that the row claims to belong to, in lower case; empty if it
	// claims none.
	Tenant TenantID
}

// History says whether an earlier version of an alert was emitted.
type History uint8

// The histories.
const (
	HistoryUnknown History = iota // what was emitted long ago is forgotten
	FirstVersion
	LaterVersion
)

// Identifier finds out which versions of which alerts the rows of one unit are. Both the
// input and `defenderctl pull` use it, so that they agree. It is for one goroutine at a
// time.
type Identifier struct {
	rules      Rules
	byCreation bool // windows filter by the creation time
	describer  *Describer
}

// NewIdentifier returns the Identifier of a unit. It fails if a rule has an unknown
// value.
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

// Identify returns the version that a row is, which was read at the given moment. It
// keeps no reference to raw.
func (i *Identifier) Identify(raw []byte, read Moment) Version {
	row := i.describer.Describe(raw)
	id := MakeID(i.rules.TenantID, i.rules.API, row.Identity, row.Version)
	window := i.window(row)

	return Version{
		ID:      id,
		Repeat:  i.repeatKey(id, row, raw),
		Alert:   i.alertKey(row),
		At:      cmp.Or(window, read.Present),
		Undated: window == 0,
		Time:    cmp.Or(i.eventTime(row), read.Now),
		Updated: row.Updated,
		Created: row.Created,
		Tenant:  row.Tenant,
	}
}

// window returns the row's time that windows filter by, 0 if the row has none.
func (i *Identifier) window(row Row) tick.Tick {
	if i.byCreation {
		return dated(row.Created)
	}

	return dated(row.Updated)
}

// eventTime returns the row's time that the key `time_field` selects. It returns 0 if the
// row has none, or if the event gets the time of reading.
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

// repeatKey returns the key of the version, or of the alert if only its first version is
// an event. The key of a row without a version depends on all its bytes.
func (i *Identifier) repeatKey(id ID, row Row, raw []byte) Key {
	switch {
	case !i.rules.Updates:
		return MakeID(i.rules.TenantID, i.rules.API, row.Identity, nil).Key()
	case row.Whole:
		return MakeID("", "", id[:], raw).Key()
	}

	return id.Key()
}

// alertKey returns the key of the alert, whatever version the row is. It differs from the
// keys of all versions, which are hashes over a time or nothing in place of "alert".
func (i *Identifier) alertKey(row Row) Key {
	if !i.rules.Histories || i.describer.rule == VersionInIdentity {
		return Key{}
	}

	return MakeID(i.rules.TenantID, i.rules.API, row.Identity, []byte("alert")).Key()
}
