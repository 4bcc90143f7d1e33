package collect

import (
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/tick"
)

// MaxSkew is the greatest difference between the API host's clock and ours that is
// believed. A Date header that is further away says nothing about the time of alerts;
// our clock counts then.
const MaxSkew = 15 * time.Minute

// Skew is the difference between the clock of an API's host and ours. The zero value
// knows of none, and a nil one never does. It may be used from several goroutines.
type Skew struct{ by atomic.Int64 }

// Note takes the server's time, from the Date header of an answer, and ours of the same
// moment.
func (s *Skew) Note(server, local time.Time) {
	by := server.Sub(local)
	if by.Abs() > MaxSkew {
		by = 0
	}

	s.by.Store(int64(by))
}

// ahead returns how far the server's clock is ahead of ours, between -MaxSkew and
// MaxSkew.
func (s *Skew) ahead() time.Duration {
	if s == nil {
		return 0
	}

	return time.Duration(s.by.Load())
}

// present returns a local time as the API host's clock shows it, if that clock is behind
// ours: what the service has not reached yet cannot have been read.
func (s *Skew) present(local time.Time) tick.Tick {
	return tick.FromTime(local) + tick.FromDuration(min(0, s.ahead()))
}
