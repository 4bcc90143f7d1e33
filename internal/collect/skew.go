package collect

import (
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/tick"
)

// MaxSkew is the greatest difference between the API host's clock and ours that is
// believed of the API's host alone. A Date header that is further away says nothing about
// the time of alerts; our clock counts then. See Skew.Witness.
const MaxSkew = 15 * time.Minute

// Skew is the difference between the clock of an API's host and ours. The zero value
// knows of none, and a nil one never does. It may be used from several goroutines.
type Skew struct {
	// Witness returns how far the clock of a store that several machines share is ahead
	// of ours; nil without such a store. When that clock and the one of the API's host
	// agree, ours is wrong, however far away it is.
	Witness func() time.Duration

	by atomic.Int64
}

// Note takes the server's time, from the Date header of an answer, and ours of the same
// moment.
func (s *Skew) Note(server, local time.Time) {
	by := server.Sub(local)
	if !s.Believes(by) {
		by = 0
	}

	s.by.Store(int64(by))
}

// Believes reports whether the clock of the API's host counts when it is ahead of ours by
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

// corrected returns a local time as it would be if our clock were not known to be wrong.
func (s *Skew) corrected(local time.Time) time.Time {
	if by := s.ahead(); by.Abs() > MaxSkew {
		return local.Add(by)
	}

	return local
}

// present returns a local time as the API host's clock shows it, if that clock is behind
// ours, or ours is wrong: what the service has not reached yet cannot have been read.
func (s *Skew) present(local time.Time) tick.Tick {
	by := s.ahead()
	if by <= MaxSkew {
		by = min(0, by)
	}

	return tick.FromTime(local) + tick.FromDuration(by)
}
