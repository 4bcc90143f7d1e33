package collect

import (
	"slices"
	"sync"
	"time"
)

// workers are the goroutines on which units do their work between two rests. They are
// used again: the stack of a new goroutine would have to grow in every poll, which costs
// a tenth of what a poll without alerts costs. A task goes to the worker that was busy
// last, so that workers that only a busy moment needed end soon.
type workers struct {
	ended <-chan struct{}

	mu   sync.Mutex
	idle []chan func() // workers that wait for a task; the last one was busy last
}

// idleWorker is how long a worker waits for the next task.
const idleWorker = 10 * time.Second

// newWorkers returns workers that end when ended is closed.
func newWorkers(ended <-chan struct{}) *workers { return &workers{ended: ended} }

// do makes a worker do a task. It does not wait.
func (w *workers) do(task func()) {
	if tasks := w.lastIdle(); tasks != nil {
		tasks <- task
	} else {
		go w.work(task)
	}
}

// lastIdle removes the worker that was busy last from the idle ones and returns it; nil
// if all are busy.
func (w *workers) lastIdle() (tasks chan func()) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if last := len(w.idle) - 1; last >= 0 {
		tasks = w.idle[last]
		w.idle = slices.Delete(w.idle, last, last+1)
	}

	return tasks
}

// work is the goroutine of a worker. It does a task, and then waits for the next one for
// idleWorker.
func (w *workers) work(task func()) {
	tasks := make(chan func(), 1)

	idle := time.NewTimer(idleWorker)
	defer idle.Stop()

	for {
		task()
		idle.Reset(idleWorker)

		w.mu.Lock()
		w.idle = append(w.idle, tasks)
		w.mu.Unlock()

		select {
		case task = <-tasks:
			continue
		case <-idle.C:
		case <-w.ended:
		}

		if w.dismiss(tasks) {
			return
		}

		task = <-tasks
	}
}

// dismiss reports whether a worker may end. If not, it is just getting a task.
func (w *workers) dismiss(tasks chan func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	at := slices.Index(w.idle, tasks)
	if at < 0 {
		return false
	}

	w.idle = slices.Delete(w.idle, at, at+1)

	return true
}
