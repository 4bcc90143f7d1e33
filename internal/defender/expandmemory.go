package defender

import (
	"slices"
	"time"

	"fluent-bit-defender/internal/tick"
)

// inner is what a reader remembers of an API that fails with $expand.
type inner struct {
	// plain has windows that failed with $expand, ascending. Until plainUntil they are
	// read without it.
	plain      []Window
	plainUntil time.Time
	// failedOnce has windows that failed with $expand although each of their incidents
	// could be read with it. Most likely that was an accident; the next request shows it.
	failedOnce []Window
	// failed has the identities of incidents whose own request with $expand failed, and
	// until when they are read without it.
	failed map[string]time.Time
	// emitted has the rows of pages that could not be read whole, which were put together
	// and passed on to the sink: the next try at such a page passes on only the others.
	emitted keys
}

// troubled reports whether a window failed with $expand within the last hour.
func (i *inner) troubled(now time.Time) bool {
	if len(i.plain) > 0 && !now.Before(i.plainUntil) {
		i.plain = nil
	}

	return len(i.plain) > 0
}

// covers reports whether a request from this time on should be sent without $expand.
func (i *inner) covers(from tick.Tick, now time.Time) bool {
	return i.troubled(now) && holds(i.plain, from)
}

// holds reports whether the time is in one of the windows.
func holds(windows []Window, at tick.Tick) bool {
	return slices.ContainsFunc(windows, func(w Window) bool { return w.From <= at && at < w.To })
}

// mostPlain bounds the windows of each kind that are remembered.
const mostPlain = 64

// avoid remembers a window that failed with $expand. accident says that this may have
// been an accident: then the window is avoided only if it fails again. avoid reports
// whether it is avoided.
func (i *inner) avoid(w Window, accident bool, now time.Time) bool {
	again := i.succeeded(w.From)
	if accident && !again {
		i.failedOnce = append(i.failedOnce[max(0, len(i.failedOnce)-mostPlain+1):], w)
		return false
	}

	if !i.troubled(now) {
		i.plainUntil = now.Add(expandAgain)
	}

	i.plain = append(i.plain[max(0, len(i.plain)-mostPlain+1):], w)

	return true
}

// succeeded removes the windows with this time from failedOnce. It reports whether there
// were any.
func (i *inner) succeeded(from tick.Tick) bool {
	n := len(i.failedOnce)
	i.failedOnce = slices.DeleteFunc(i.failedOnce, func(w Window) bool { return holds([]Window{w}, from) })

	return len(i.failedOnce) < n
}

// fails reports whether an incident's own request with $expand failed lately.
func (i *inner) fails(id string, now time.Time) bool { return now.Before(i.failed[id]) }

// failedNow remembers that an incident's own request with $expand has failed.
func (i *inner) failedNow(id string, now time.Time) {
	if i.failed == nil || len(i.failed) >= mostInnerFailures {
		i.failed = map[string]time.Time{}
	}

	i.failed[id] = now.Add(expandAgain)
}
