package alert

// TimeField says which time an event gets, spelled as the key `time_field` has it.
type TimeField string

// The values of the key `time_field`. A row without the time asked for gets the moment
// at which it was read.
const (
	TimeUpdated TimeField = "updated" // the update time
	TimeCreated TimeField = "created" // the creation time
	TimeNow     TimeField = "now"     // the moment at which the row was read
)

// TimeFields returns the values of the key `time_field`, the default first.
func TimeFields() []TimeField { return []TimeField{TimeUpdated, TimeCreated, TimeNow} }

// TimeFieldNames returns the same as texts.
func TimeFieldNames() []string { return namesOf(TimeFields()) }

// ParseTimeField reads a value of the key `time_field`, in any case; an empty one is the
// default. Its error is an *UnknownError.
func ParseTimeField(s string) (TimeField, error) {
	return parse("time_field", "time field", s, TimeFields())
}
