package store

import (
	"cmp"
	"slices"
	"time"
)

// Measured is a Store that counts its calls to a database.
type Measured interface {
	// CallStats returns what was counted since the store was opened, ordered by name.
	CallStats() []CallStats
}

// Clocked is a Store with a clock of its own, which all machines that share it see.
type Clocked interface {
	// ClockAhead returns how far that clock is ahead of this machine's; 0 if that is
	// not known.
	ClockAhead() time.Duration
}

// CallStats counts the calls of one kind.
type CallStats struct {
	// Call names the kind of call, such as "commit".
	Call string
	// Count is how many there were, and Failed how many of them returned an error other
	// than a FencedError.
	Count, Failed uint64
	// Took is how long all of them took together.
	Took time.Duration
}

// SortCallStats sorts all by name, in place, and returns it.
func SortCallStats(all []CallStats) []CallStats {
	slices.SortFunc(all, func(a, b CallStats) int { return cmp.Compare(a.Call, b.Call) })

	return all
}
