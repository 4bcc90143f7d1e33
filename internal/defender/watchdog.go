package defender

import (
	"sync/atomic"
	"time"
)

// watchdog barks when it is not stopped within its time. It is started and stopped for every read, so that only the time counts in which
// somebody waits for bytes.
type watchdog struct {
	after    time.Duration
	timer    *time.Timer
	deadline atomic.Int64 // nanoseconds since began; 0 while it sleeps
	began    time.Time
	bark     func()
}

// newWatchdog makes a watchdog that sleeps; one with no time never barks.
func newWatchdog(after time.Duration, bark func()) *watchdog {
	w := &watchdog{after: after, bark: bark, began: time.Now()}
	if after > 0 {
		w.timer = time.AfterFunc(after, w.fire)
		w.timer.Stop()
	}
	return w
}

// fire may run late, when the watchdog was stopped, or started again: only a deadline that has passed counts.
func (w *watchdog) fire() {
	if deadline := w.deadline.Load(); deadline != 0 && int64(time.Since(w.began)) >= deadline {
		w.bark()
	}
}

func (w *watchdog) start() {
	if w.timer != nil {
		w.deadline.Store(int64(time.Since(w.began) + w.after))
		w.timer.Reset(w.after)
	}
}

func (w *watchdog) stop() {
	if w.timer != nil {
		w.deadline.Store(0)
		w.timer.Stop()
	}
}
