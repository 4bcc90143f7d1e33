package store

import "time"

// Nanos returns a time as stores keep it: in nanoseconds since 1970, and 0 for the zero
// time.
func Nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}

	return t.UnixNano()
}

// FromNanos returns the time for which Nanos returns n, in UTC.
func FromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}

	return time.Unix(0, n).UTC()
}
