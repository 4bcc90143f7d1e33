package health

import "time"

// HoursShown is how many hours Hours counts.
const HoursShown = 24

// Hours counts events by the hour in which they happened, for the last HoursShown hours
// of UTC. The zero value has counted nothing.
type Hours struct {
	// Last is the hour of the newest event, counted from 1970.
	Last int64
	// Counts has the events of each hour h at index h % HoursShown.
	Counts [HoursShown]uint32
}

// hourOf returns the number of the hour that t is in.
func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// Add counts an event at t. If t is HoursShown or more before the newest event, the
// clock was wrong at that event, and counting begins anew.
func (h *Hours) Add(t time.Time) {
	hour := hourOf(t)
	if hour < HoursShown {
		return
	}

	if hour <= h.Last-HoursShown {
		*h = Hours{}
	}

	for next := max(h.Last+1, hour-HoursShown+1); next <= hour; next++ {
		h.Counts[next%HoursShown] = 0
	}

	h.Last = max(h.Last, hour)
	h.Counts[hour%HoursShown]++
}

// Shifted returns the counts as a clock that is this many hours ahead would show them.
func (h *Hours) Shifted(by int64) (shifted Hours) {
	if h.Last+by < HoursShown || h.Last < HoursShown {
		return Hours{}
	}

	shifted.Last = h.Last + by
	for hour := h.Last - HoursShown + 1; hour <= h.Last; hour++ {
		shifted.Counts[(hour+by)%HoursShown] = h.Counts[hour%HoursShown]
	}

	return shifted
}

// Until returns the counts of the HoursShown hours that end with the hour of now, oldest
// first.
func (h *Hours) Until(now time.Time) [HoursShown]uint32 {
	var counts [HoursShown]uint32

	if h.Last < 0 { // only a damaged file has this
		return counts
	}

	first := hourOf(now) - HoursShown + 1
	for i := range counts {
		hour := first + int64(i)
		if hour <= h.Last && hour > h.Last-HoursShown && hour >= 0 {
			counts[i] = h.Counts[hour%HoursShown]
		}
	}

	return counts
}

// IsZero reports whether nothing was counted.
func (h Hours) IsZero() bool { return h == Hours{} }
