package flbhost

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// LogLine is one line of the process's log.
type LogLine struct {
	Level Level
	Text  string
	// Core is true for Fluent Bit's own lines, false for the plugin's.
	Core bool
	// Direct is true for a line printed from a thread without core's log queue: it goes
	// to stderr even when log_file is set.
	Direct bool
}

// Call is one callback of the plugin.
type Call struct {
	// Fn is the exported name without FLBPlugin and Input: "Init", "Callback", "Pause".
	Fn string
	// Instance is the index in Config.Instances, and -1 for PreRegister, Register and
	// Unregister.
	Instance int
	// Thread is the name of the thread, at most 15 characters. TID is its number.
	Thread string
	TID    int
	// Arg is the argument of PreRegister, PreRun and PreExit, the number of bytes that
	// Callback returned, and 1 for a Cleanup that freed the buffer.
	Arg  int
	Ret  int
	Took time.Duration
}

// Append is a buffer that reached the input's chunk, or was refused.
type Append struct {
	Instance      int
	Tag           string
	Bytes, Events int
	Direct        bool // by flb_input_log_append, not by the return path (threaded inputs: always false)
	Accepted      bool
}

// Stats sum up a run.
type Stats struct {
	Callbacks        int           // calls of the collect callback
	Returned         int           // of these, with data
	Cleanups         int           // calls of Cleanup
	Unfreed          int           // Cleanups that did not free the buffer
	LongestCallback  time.Duration // without the time spent in appends and waiting for a processor
	Appends, Refused int           // buffers that reached a chunk, and that did not
	Bytes, Events    int           // of the buffers that reached a chunk
	LostToFullRing   int           // bytes that core threw away because the ring was full
	LostAtExit       int           // bytes that were still in a ring when its instance ended
}

// Where core loses what is in the ring of a threaded input, in the host's words.
const (
	lostToFullRing = "full ring"
	lostAtExit     = "ring at exit"
)

// journal is what a process reported, shared by the reader goroutine and the test.
type journal struct {
	mu         sync.Mutex
	changed    chan struct{} // closed and replaced at each addition
	logs       []LogLine
	calls      []Call
	appends    []Append
	violations []string
	lost       map[string]int // bytes that core threw away, by the place of the loss
	marks      map[string]int // how often a plain event ("started", "pong") came
	failed     int            // instance whose Init failed, -1
	done       bool           // the process has ended and everything is read
}

func newJournal() *journal {
	return &journal{
		changed: make(chan struct{}),
		lost:    map[string]int{},
		marks:   map[string]int{},
		failed:  -1,
	}
}

func (j *journal) update(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()

	f()
	close(j.changed)
	j.changed = make(chan struct{})
}

// wait returns when ok returns true. It calls ok with the lock held, after each change.
func (j *journal) wait(ctx context.Context, what string, ok func() bool) error {
	for {
		j.mu.Lock()
		good, done, changed := ok(), j.done, j.changed
		j.mu.Unlock()

		switch {
		case good:
			return nil
		case done:
			return fmt.Errorf("flbhost: waiting for %s: %w", what, ErrEnded)
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("flbhost: waiting for %s: %w", what, ctx.Err())
		}
	}
}

// Logs returns all log lines so far, the oldest first.
func (j *journal) Logs() []LogLine {
	j.mu.Lock()
	defer j.mu.Unlock()

	return append([]LogLine(nil), j.logs...)
}

// WaitLog waits for a log line with substring, which may have come already, and returns
// it. It fails with ErrEnded when the process ends without it.
func (j *journal) WaitLog(ctx context.Context, substring string) (LogLine, error) {
	var found LogLine

	err := j.wait(ctx, fmt.Sprintf("a log line with %q", substring), func() bool {
		for _, l := range j.logs {
			if strings.Contains(l.Text, substring) {
				found = l
				return true
			}
		}

		return false
	})

	return found, err
}

// Violations returns, in words, what the plugin did that in Fluent Bit would mean loss,
// leaks or a crash.
func (j *journal) Violations() []string {
	j.mu.Lock()
	defer j.mu.Unlock()

	return append([]string(nil), j.violations...)
}

// Calls returns the callbacks so far, in order.
func (j *journal) Calls() []Call {
	j.mu.Lock()
	defer j.mu.Unlock()

	return append([]Call(nil), j.calls...)
}

// Appends returns the buffers so far, in order.
func (j *journal) Appends() []Append {
	j.mu.Lock()
	defer j.mu.Unlock()

	return append([]Append(nil), j.appends...)
}

// Stats sums up the run so far.
func (j *journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()

	s := Stats{LostToFullRing: j.lost[lostToFullRing], LostAtExit: j.lost[lostAtExit]}
	for _, c := range j.calls {
		switch c.Fn {
		case "Callback":
			s.Callbacks++
			if c.Arg > 0 {
				s.Returned++
			}

			s.LongestCallback = max(s.LongestCallback, c.Took)
		case "Cleanup":
			s.Cleanups++
			s.Unfreed += 1 - c.Arg
		}
	}

	for _, a := range j.appends {
		if !a.Accepted {
			s.Refused++
			continue
		}

		s.Appends++
		s.Bytes += a.Bytes
		s.Events += a.Events
	}

	return s
}

// WaitCalls waits until fn was called n times for the instance.
func (j *journal) WaitCalls(ctx context.Context, fn string, instance, n int) error {
	return j.wait(ctx, fmt.Sprintf("%d calls of %s of instance %d", n, fn, instance), func() bool {
		have := 0

		for _, c := range j.calls {
			if c.Fn == fn && c.Instance == instance {
				have++
			}
		}

		return have >= n
	})
}

// WaitEvents waits until n events are in chunks, over all instances.
func (j *journal) WaitEvents(ctx context.Context, n int) error {
	return j.wait(ctx, fmt.Sprintf("%d events", n), func() bool {
		have := 0

		for _, a := range j.appends {
			if a.Accepted {
				have += a.Events
			}
		}

		return have >= n
	})
}
