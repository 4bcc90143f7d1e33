package instance

import (
	"sync/atomic"
	"time"
)

const (
	// callbackTime is how long the collect callbacks of all instances together may
	// append in one round, usually a second: they run on the thread that moves
	// everything else in Fluent Bit.
	callbackTime = 100 * time.Millisecond
	// leastTime is the least share of an instance, however many there are: a batch of 1
	// MB takes Fluent Bit some 6 ms.
	leastTime = 10 * time.Millisecond
)

// timeShare divides callbackTime among the instances that have more waiting than they
// could deliver.
type timeShare struct {
	behind atomic.Int32 // how many such instances there are
}

// each returns how long one instance may append in this round.
func (t *timeShare) each() time.Duration {
	return max(leastTime, callbackTime/time.Duration(max(1, t.behind.Load())))
}

// note counts the instances that are behind. is says whether an instance is behind now;
// was points to what was noted of it before.
func (t *timeShare) note(was *bool, is bool) {
	if is == *was {
		return
	}

	*was = is
	if is {
		t.behind.Add(1)
	} else {
		t.behind.Add(-1)
	}
}
