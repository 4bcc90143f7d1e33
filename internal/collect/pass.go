package collect

import (
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/tick"
)

// pass is one walk over the window of a poll. A pass that fails on its way is gone on with, from the last time that is safe.
type pass struct {
	started time.Time // on the local clock, before the first request
	from    tick.Tick
	pos     tick.Tick // everything before it was read in this pass
	sweep   bool
	begun   tick.Tick // readMark when the pass began: what is older and new was listed late
}

// present is a local time as the server's clock would show it, if that is behind ours: what the server has not reached
// yet cannot have been read.
func (t *Tenant) present(local time.Time) tick.Tick {
	return tick.FromTime(local) + tick.FromDuration(min(0, t.cfg.Skew.ahead()))
}

// Skew is the difference between the servers' clock and ours. The zero value knows of none; a nil one never does.
type Skew struct{ by atomic.Int64 }

// Note takes the server's time as the Date header of an answer had it, and ours of the same moment.
func (s *Skew) Note(server, local time.Time) { s.by.Store(int64(server.Sub(local))) }

// ahead is how far the server's clock is ahead of ours.
func (s *Skew) ahead() time.Duration {
	if s == nil {
		return 0
	}
	return time.Duration(s.by.Load())
}
