package collect

import (
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/tick"
)

// MaxSkew is the greatest difference between the API host's clock and ours that is
// believed by the word of that host alone. If a Date header is further away, our clock
// counts instead. See Skew.Witness.
const MaxSkew = 15 * time.Minute

// Skew is the difference between the clock of an API's host and ours. In the zero value
// it is 0, and in a nil one it stays 0. It may be used from several goroutines.
type Skew struct {
	// Witness returns how far the clock of a store that several machines share is ahead
	// of ours; nil without such a store. When that clock and the one of the API's host
	// agree, ours is wrong, however far away it is.
	Witness func() time.Duration

	by atomic.Int64
}

// Note sets the skew by the server's time, from the Date header of an answer, and ours at
// the same moment.
func (s *Skew) Note(server, local time.Time) {
	by := server.Sub(local)
	if !s.Believes(by) {
		by = 0
	}

	s.by.Store(int64(by))
}

// Believes reports whether the clock of the API's host counts if it is ahead of ours by
// this much.
func (s *Skew) Believes(by time.Duration) bool {
	return by.Abs() <= MaxSkew || s.Witness != nil && (by-s.Witness()).Abs() <= MaxSkew
}

// ahead returns how far the server's clock is ahead of ours. If it is further away than
// MaxSkew, ours is wrong.
func (s *Skew) ahead() time.Duration {
	if s == nil {
		return 0
	}

	return time.Duration(s.by.Load())
}

// corrected returns a local time, which it corrects if our clock is known to be wrong.
func (s *Skew) corrected(local time.Time) time.Time {
	if by := s.ahead(); by.Abs() > MaxSkew {
		return local.Add(by)
	}

	return local
}

// present converts a local time into the time of the API host's clock, if that clock is
// behind ours or ours is wrong: alerts of a time that the service has not reached yet
// cannot have been read.
func (s *Skew) present(local time.Time) tick.Tick {
	by := s.ahead()
	if by <= MaxSkew {
		by = min(0, by)
	}

	return tick.FromTime(local) + tick.FromDuration(by)
}
