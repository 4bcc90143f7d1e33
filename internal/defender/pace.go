package defender

import (
	"errors"
	"time"
)

// These bounds say how slow an answer may be. Only time in which the reader waits for
// the network counts; time that it spends on a row, or waits for the buffer, does not.
const (
	// leastBytes is how much of an unfinished answer must arrive within
	// Settings.IdleTimeout.
	leastBytes = 1 << 10
	// rowTimes bounds the wait for one row, or for the end of the answer, in multiples
	// of Settings.IdleTimeout: bytes between rows, such as blanks, do not count.
	rowTimes = 5
	// largeTimes bounds, in the same way, the wait for a row that holds the permit for
	// large rows: others may be waiting for that.
	largeTimes = 2
	// answerTimes bounds, in the same way, the wait for a whole answer, whose rows may be
	// as small as one byte.
	answerTimes = 60
	// refusalTime bounds the wait for the body of a refusal, which only adds codes.
	refusalTime = 10 * time.Second
)

// These are the reasons to give up a request.
var (
	errSilent  = errors.New("no byte arrived in time")
	errSlow    = errors.New("too few bytes arrived in time")
	errNoRow   = errors.New("no whole row arrived in time")
	errLarge   = errors.New("a large row did not arrive in time")
	errTooLong = errors.New("the answer did not end in time")
)

// pace measures how an answer arrives. It is used by one goroutine.
type pace struct {
	quiet time.Duration // Settings.IdleTimeout; 0: nothing is bounded but a refusal
	most  time.Duration // longest wait for the whole answer; 0: answerTimes

	bytes int           // since lull began
	lull  time.Duration // waited since leastBytes arrived last
	row   time.Duration // waited since the last row
	large time.Duration // waited since the permit for large rows was got
	whole time.Duration // waited since the answer began

	holding bool // the permit for large rows
}

// next returns how long the next wait may take, and the reason to give up if it takes
// longer. If the reason is nil, the wait may take any time.
func (p *pace) next() (left time.Duration, reason error) {
	tighten := func(limit, used time.Duration, why error) {
		if limit > 0 && (reason == nil || limit-used < left) {
			left, reason = limit-used, why
		}
	}

	why := errSilent
	if p.bytes > 0 && p.lull > p.quiet/10 { // bytes came, and they took their time
		why = errSlow
	}

	tighten(p.quiet, p.lull, why)
	tighten(rowTimes*p.quiet, p.row, errNoRow)

	if p.holding {
		tighten(largeTimes*p.quiet, p.large, errLarge)
	}

	most := p.most
	if most == 0 {
		most = answerTimes * p.quiet
	}

	tighten(most, p.whole, errTooLong)

	return left, reason
}

// waited notes a wait that brought n bytes.
func (p *pace) waited(took time.Duration, n int) {
	p.lull += took
	p.row += took

	p.whole += took
	if p.holding {
		p.large += took
	}

	p.bytes += n
	if p.bytes >= leastBytes {
		p.bytes, p.lull = 0, 0
	}
}

// rowRead notes a whole row.
func (p *pace) rowRead() { p.row = 0 }

// hold notes whether the permit for large rows is held.
func (p *pace) hold(held bool) { p.holding, p.large = held, 0 }
