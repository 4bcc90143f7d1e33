package collect

import (
	"log/slog"
	"time"
)

// reminder is how often a fault that lasts is logged again.
const reminder = 15 * time.Minute

// notice decides when a fault that lasts is logged: when it begins, and then now and
// then. It is not safe for concurrent use.
type notice struct {
	every  time.Duration // how often the fault is logged again; 0 for never
	logged time.Time     // when it was logged last; zero while there is no fault
}

// due reports whether the fault is to be logged now, and if so takes it as logged.
func (n *notice) due(now time.Time) bool {
	if !n.logged.IsZero() && (n.every == 0 || now.Sub(n.logged) < n.every) {
		return false
	}

	n.logged = now

	return true
}

// level returns l if the fault is due, else debug.
func (n *notice) level(now time.Time, l slog.Level) slog.Level {
	if n.due(now) {
		return l
	}

	return slog.LevelDebug
}

// over says that the fault has ended, and reports whether there was one that was logged.
func (n *notice) over() (wasLogged bool) {
	wasLogged = !n.logged.IsZero()
	n.logged = time.Time{}

	return wasLogged
}
