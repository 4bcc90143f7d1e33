package collect

import (
	"sync"
	"time"
)

// alarm ends the rest of a unit between two polls. A unit that rests has no goroutine:
// nearly all units of an input rest at any moment, and the stacks of ten thousand
// goroutines would be a good part of the memory that the plugin takes. The zero value is
// ready; methods may be called at the same time.
type alarm struct {
	mu    sync.Mutex
	timer *time.Timer // calls ring
	next  func()      // goes on with the unit; nil while the unit does not rest
	rung  bool        // wake was called, and woken was not since
}

// rest calls next once, on a goroutine of its own: after d, or as soon as wake is called.
// If that was called already, and woken was not since, it calls next at once.
func (a *alarm) rest(d time.Duration, next func()) {
	a.mu.Lock()
	defer a.mu.Unlock()

	if a.rung {
		go next()
		return
	}

	a.next = next

	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.ring)
	} else {
		a.timer.Reset(d)
	}
}

// ring is called when the timer ends. A timer that was stopped just then may end a later
// rest early. That does no harm: after a rest a unit looks whether something is due.
func (a *alarm) ring() {
	a.mu.Lock()
	next := a.next
	a.next = nil
	a.mu.Unlock()

	if next != nil {
		next()
	}
}

// wake ends the present rest, or the next one if the unit does not rest now.
func (a *alarm) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()

	a.rung = true

	if next := a.next; next != nil {
		a.next = nil
		a.timer.Stop()

		go next()
	}
}

// woken reports whether wake was called since the last call of woken.
func (a *alarm) woken() bool {
	a.mu.Lock()
	defer a.mu.Unlock()

	rung := a.rung
	a.rung = false

	return rung
}
