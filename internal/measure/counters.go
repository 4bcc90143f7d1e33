package measure

import (
	"maps"
	"slices"
	"sync"
	"time"

	"fluent-bit-defender/internal/advice"
)

// Starts counts the polls of an input by how late they began. The zero value is ready;
// methods may be called at the same time.
type Starts struct {
	mu     sync.Mutex
	delays Histogram
}

// Began counts a poll that began late by this much.
func (s *Starts) Began(late time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.delays.Bounds = &startBounds
	s.delays.observe(late)
}

// Read returns what was counted.
func (s *Starts) Read() Histogram {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.delays
}

// NoAnswer is the status of a request that got no answer.
const NoAnswer = 0

// Counters count what happens in one unit, since it was started. The zero value is ready;
// methods may be called at the same time.
type Counters struct {
	mu       sync.Mutex
	polls    Histogram
	delays   Histogram
	errors   map[advice.Reason]uint64
	requests []answered // few: most units have only ever had one status
}

// answered is how many requests were answered with a status.
type answered struct {
	status int
	count  uint64
}

// Poll counts a poll, however it ended, that took this long.
func (c *Counters) Poll(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.polls.Bounds = &pollBounds
	c.polls.observe(took)
}

// Alert counts an alert that was listed this long after its last update.
func (c *Counters) Alert(delay time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.delays.Bounds = &delayBounds
	c.delays.observe(delay)
}

// Failed counts a poll that failed for this reason.
func (c *Counters) Failed(reason advice.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.errors == nil {
		c.errors = make(map[advice.Reason]uint64)
	}

	c.errors[reason]++
}

// Answered counts a request to the API that was answered with this HTTP status, or with
// NoAnswer.
func (c *Counters) Answered(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()

	at := slices.IndexFunc(c.requests, func(a answered) bool { return a.status == status })
	if at < 0 {
		at = len(c.requests)
		c.requests = append(c.requests, answered{status: status})
	}

	c.requests[at].count++
}

// Reading is what Counters have counted up to one moment.
type Reading struct {
	// Polls has the durations of polls, Delays the times from an alert's last update
	// until it was listed.
	Polls, Delays Histogram
	// Errors counts the polls that failed, by reason.
	Errors map[advice.Reason]uint64
	// Requests counts requests to the API, by the HTTP status of the answer, or NoAnswer.
	Requests map[int]uint64
}

// Read returns what was counted until now.
func (c *Counters) Read() Reading {
	c.mu.Lock()
	defer c.mu.Unlock()

	r := Reading{
		Polls:    c.polls,
		Delays:   c.delays,
		Errors:   maps.Clone(c.errors),
		Requests: make(map[int]uint64, len(c.requests)),
	}
	for _, a := range c.requests {
		r.Requests[a.status] = a.count
	}

	r.Polls.Bounds, r.Delays.Bounds = &pollBounds, &delayBounds

	return r
}
