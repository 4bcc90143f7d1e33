package alert

// TimeField is a value of the key `time_field`: it selects the time of an event.
type TimeField string

// The values of the key `time_field`. If the row lacks the selected time, the event gets
// the time at which the row was read.
const (
	TimeUpdated TimeField = "updated" // the update time
	TimeCreated TimeField = "created" // the creation time
	TimeNow     TimeField = "now"     // the moment at which the row was read
)

// TimeFields returns the values of the key `time_field`, the default first.
func TimeFields() []TimeField { return []TimeField{TimeUpdated, TimeCreated, TimeNow} }

// TimeFieldNames returns the values of the key `time_field` as texts, the default first.
func TimeFieldNames() []string { return namesOf(TimeFields()) }

// ParseTimeField reads a value of the key `time_field`, in any case; an empty one is the
// default. Its error is an *UnknownError.
func ParseTimeField(s string) (TimeField, error) {
	return parse("time_field", "time field", s, TimeFields())
}
