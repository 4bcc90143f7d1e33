package defender

import (
	"sync"
	"time"
)

// watchdog gives up a request when a wait takes too long. It is started before every wait
// for the service and stopped after it, so that no other time counts.
type watchdog struct {
	giveUp func(reason error)
	timer  *time.Timer

	mu       sync.Mutex
	deadline time.Time // zero while it is stopped
	reason   error
}

// newWatchdog returns a stopped watchdog. It calls giveUp, on a goroutine of its own,
// with the reason that start was called with.
func newWatchdog(giveUp func(reason error)) *watchdog {
	w := &watchdog{giveUp: giveUp}
	w.timer = time.AfterFunc(time.Hour, w.fire)
	w.timer.Stop()

	return w
}

// fire is called when the timer ends. It may run late, after the watchdog was stopped or
// started again, so it checks that the deadline has passed.
func (w *watchdog) fire() {
	w.mu.Lock()
	due := !w.deadline.IsZero() && !time.Now().Before(w.deadline)
	reason := w.reason
	w.mu.Unlock()

	if due {
		w.giveUp(reason)
	}
}

// start allows a wait to take this long. If reason is nil, it may take any time.
func (w *watchdog) start(after time.Duration, reason error) {
	if reason == nil {
		return
	}

	w.mu.Lock()
	w.deadline, w.reason = time.Now().Add(after), reason
	w.mu.Unlock()
	w.timer.Reset(after)
}

// stop ends a wait.
func (w *watchdog) stop() {
	w.mu.Lock()
	w.deadline = time.Time{}
	w.mu.Unlock()
	w.timer.Stop()
}
