package collect

import (
	"log/slog"
	"time"
)

// reminder is how often a fault that lasts is logged again.
const reminder = 15 * time.Minute

// faultLog decides when a fault that lasts is logged: when it begins, and again each time
// that every has passed. It is not safe for concurrent use.
type faultLog struct {
	every  time.Duration // how often the fault is logged again; 0 for never
	logged time.Time     // when it was logged last; zero while there is no fault
}

// due reports whether the fault is to be logged now. If so, the caller logs it.
func (n *faultLog) due(now time.Time) bool {
	if !n.logged.IsZero() && (n.every == 0 || now.Sub(n.logged) < n.every) {
		return false
	}

	n.logged = now

	return true
}

// level returns l if the fault is due, else debug.
func (n *faultLog) level(now time.Time, l slog.Level) slog.Level {
	if n.due(now) {
		return l
	}

	return slog.LevelDebug
}

// over notes that the fault has ended. It reports whether a fault had been logged.
func (n *faultLog) over() (wasLogged bool) {
	wasLogged = !n.logged.IsZero()
	n.logged = time.Time{}

	return wasLogged
}
