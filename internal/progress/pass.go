package progress

import (
	"cmp"
	"time"

	"fluent-bit-defender/internal/tick"
)

// Reach is how far polls reach back behind the read mark. There are sweeps only if both
// SweepInterval and SweepLookback are positive.
type Reach struct {
	Overlap                      time.Duration
	SweepInterval, SweepLookback time.Duration
}

// sweeps reports whether there are sweeps.
func (r Reach) sweeps() bool { return r.SweepInterval > 0 && r.SweepLookback > 0 }

// farthest returns how far back any poll may reach.
func (r Reach) farthest() time.Duration {
	if r.SweepInterval <= 0 {
		return r.Overlap
	}

	return max(r.Overlap, r.SweepLookback)
}

// Pass is one walk over the time that a poll reads. A pass that fails on its way is
// continued by the next poll, from Position on.
type Pass struct {
	Started  time.Time // on the local clock, before the first request
	From     tick.Tick
	Position tick.Tick // everything before it was read in this pass
	Sweep    bool
	// ReadMark is where the read mark stood when the pass began: a new alert that was
	// updated before it was listed late.
	ReadMark tick.Tick
}

// latenessMemory is how long polls reach back further after an alert was listed late. It
// ends, so that a unit whose API was slow once is not read twice as far for ever.
const latenessMemory = 24 * time.Hour

// NextPass returns the pass of the next poll, which begins at the local time start.
// present is the same time as the API's clock shows it.
func (p *Progress) NextPass(start time.Time, present tick.Tick) *Pass {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.forgetLateness(start)
	back := max(p.reach.Overlap, min(p.lateness, p.reach.farthest()))
	sweep := p.reach.sweeps() && present-p.swept >= tick.FromDuration(p.reach.SweepInterval)

	from := p.readMark - tick.FromDuration(back)
	if sweep {
		// Counted from the last sweep, not from the present: what was listed since then
		// may be that much older.
		lastSweep := min(p.readMark, cmp.Or(p.swept, p.readMark))
		from = min(from, lastSweep-tick.FromDuration(p.reach.SweepLookback))
	}

	from = max(from, p.checkpoint.Floor, p.seen.since)

	return &Pass{
		Started:  start,
		From:     from,
		Position: from,
		Sweep:    sweep,
		ReadMark: p.readMark,
	}
}

// forgetLateness forgets delays that were not observed again for latenessMemory; p.mu
// must be held.
func (p *Progress) forgetLateness(now time.Time) {
	switch {
	case p.recentFrom.IsZero():
		p.recentFrom = now
	case now.Sub(p.recentFrom) >= latenessMemory:
		p.lateness, p.recent, p.recentFrom = p.recent, 0, now
	}
}

// NoteLate makes the overlap grow if a new alert, updated at this time, should have been
// listed in an earlier poll. present is when the pass began, as the API's clock shows it.
// It returns the lateness if polls reach back further because of it, else 0. During a
// replay no alert counts as late: what a node that died had delivered is new again, long
// after it was listed.
func (p *Progress) NoteLate(pass *Pass, at, present tick.Tick) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.replay || at >= pass.ReadMark || pass.ReadMark == p.checkpoint.Floor {
		return 0
	}

	late := min((present - at).Duration(), p.reach.farthest())

	p.recent = max(p.recent, late)
	if late <= p.lateness {
		return 0
	}

	p.lateness = late
	if late <= p.reach.Overlap {
		return 0
	}

	return late
}
