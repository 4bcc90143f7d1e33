package collect

import "time"

// workers are the goroutines on which units do their work between two rests. They are
// used again: the stack of a new goroutine would have to grow in every poll, which costs
// a tenth of what a poll without alerts costs.
type workers struct {
	tasks chan func() // to a worker that is idle
	ended <-chan struct{}
}

// idleWorker is how long a worker waits for the next task.
const idleWorker = 10 * time.Second

// newWorkers returns workers that are dismissed when ended is closed.
func newWorkers(ended <-chan struct{}) *workers {
	return &workers{tasks: make(chan func()), ended: ended}
}

// do lets a worker do a task. It does not wait.
func (w *workers) do(task func()) {
	select {
	case w.tasks <- task:
	default:
		go w.work(task)
	}
}

// work does a task, and those that come soon after one another.
func (w *workers) work(task func()) {
	idle := time.NewTimer(idleWorker)
	defer idle.Stop()

	for {
		task()
		idle.Reset(idleWorker)

		select {
		case task = <-w.tasks:
		case <-idle.C:
			return
		case <-w.ended:
			return
		}
	}
}
