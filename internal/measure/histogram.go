package measure

import (
	"slices"
	"time"
)

// buckets is how many bounds a histogram has. Values above the last one are counted too.
const buckets = 7

var (
	// pollBounds are those of the duration of polls, in seconds.
	pollBounds = [buckets]float64{0.1, 0.5, 1, 5, 15, 60, 300}
	// delayBounds are those of the delay of alerts, in seconds.
	delayBounds = [buckets]float64{30, 60, 300, 900, 3600, 21600, 86400}
	// startBounds are those of the delay of polls, in seconds.
	startBounds = [buckets]float64{0.01, 0.05, 0.1, 0.5, 1, 5, 30}
)

// Histogram counts values by size. The zero value has counted nothing, and has no bounds.
type Histogram struct {
	// Bounds are the upper bounds of the buckets; nil when nothing was counted.
	Bounds *[buckets]float64
	// Counts has, for each bound, the values up to it and above the one before; the last
	// count is of the values above all bounds.
	Counts [buckets + 1]uint64
	// Sum is the sum of all values.
	Sum float64
}

// Count returns how many values were counted.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}

	return n
}

// observe counts a duration. A negative one counts as zero: it is the difference of two
// clocks, which never agree.
func (h *Histogram) observe(d time.Duration) {
	seconds := max(0, d.Seconds())
	i, _ := slices.BinarySearch(h.Bounds[:], seconds)
	h.Counts[i]++
	h.Sum += seconds
}

// Add adds what another histogram with the same bounds has counted.
func (h *Histogram) Add(other Histogram) {
	if other.Bounds == nil {
		return
	}

	h.Bounds = other.Bounds
	h.Sum += other.Sum

	for i, n := range other.Counts {
		h.Counts[i] += n
	}
}
