// Package measure counts what happens in a unit, for the metrics and the status page, and
// puts a unit into the form that programs get.
//
// A unit's Counters take less than a kilobyte, and counting is a few instructions under a
// lock of its own, so that ten thousand units cost next to nothing.
package measure

import (
	"maps"
	"slices"
	"sync"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// buckets is how many bounds a histogram has. What is above the last one is counted too.
const buckets = 7

var (
	// pollBounds are those of the duration of polls, in seconds.
	pollBounds = [buckets]float64{0.1, 0.5, 1, 5, 15, 60, 300}
	// delayBounds are those of the delay of alerts, in seconds.
	delayBounds = [buckets]float64{30, 60, 300, 900, 3600, 21600, 86400}
	// startBounds are those of the delay of polls, in seconds.
	startBounds = [buckets]float64{0.01, 0.05, 0.1, 0.5, 1, 5, 30}
)

// Histogram counts values by size. The zero value is none.
type Histogram struct {
	// Bounds are the upper bounds of the buckets; nil when nothing was counted.
	Bounds *[buckets]float64
	// Counts has, for each bound, the values up to it and above the one before; the last
	// count is of the values above all bounds.
	Counts [buckets + 1]uint64
	// Sum is the sum of all values.
	Sum float64
}

// Count returns how many values were counted.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}

	return n
}

// observe counts a duration. A negative one counts as none: two clocks never agree.
func (h *Histogram) observe(d time.Duration) {
	seconds := max(0, d.Seconds())
	i, _ := slices.BinarySearch(h.Bounds[:], seconds)
	h.Counts[i]++
	h.Sum += seconds
}

// Add adds what another histogram with the same bounds has counted.
func (h *Histogram) Add(other Histogram) {
	if other.Bounds == nil {
		return
	}

	h.Bounds = other.Bounds
	h.Sum += other.Sum

	for i, n := range other.Counts {
		h.Counts[i] += n
	}
}

// Starts counts the polls of an input by how late they began. The zero value is ready;
// methods may be called at the same time.
type Starts struct {
	mu     sync.Mutex
	delays Histogram
}

// Began counts a poll that began this long after it was due.
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

// Counters are those of one unit, since it was started. The zero value is ready; methods
// may be called at the same time.
type Counters struct {
	mu       sync.Mutex
	polls    Histogram
	delays   Histogram
	errors   map[advice.Reason]uint64
	requests []answers // few: most units have only ever had one status
}

// answers is how many requests were answered with a status.
type answers struct {
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

	at := slices.IndexFunc(c.requests, func(a answers) bool { return a.status == status })
	if at < 0 {
		at = len(c.requests)
		c.requests = append(c.requests, answers{status: status})
	}

	c.requests[at].count++
}

// Reading is what Counters have counted at one moment.
type Reading struct {
	// Polls are their durations, Delays the times from an alert's last update until it
	// was listed.
	Polls, Delays Histogram
	// Errors are the polls that failed, by reason.
	Errors map[advice.Reason]uint64
	// Requests are those to the API, by the HTTP status of the answer, or NoAnswer.
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

// Unit is everything that is shown of a unit at one moment.
type Unit struct {
	Key    alert.UnitKey
	Status store.Status
	Reading

	// Throttled is for how long, since the start, the API had asked to send nothing.
	Throttled time.Duration
	// Ends says when what the unit is reached with ends.
	Ends Ends

	// Shared says that the unit is in a store that several machines share, and Holder who
	// holds it there.
	Shared bool
	Holder Holder
	// Elsewhere says that this process does not poll the unit: Status is what the node
	// that does has written, and there are no metrics of it.
	Elsewhere bool
}

// Ends are the times at which something ends unless a person renews it. A zero time is
// not known, or there is no such thing.
type Ends struct {
	// RefreshToken: when the chain of refresh tokens ends if nobody uses it.
	RefreshToken time.Time
	// Credential: when the application's certificate or secret ends.
	Credential time.Time
	// Relationship: when the delegated administration (GDAP) of the customer ends.
	Relationship time.Time
}

// Input is what is shown of an input as a whole at one moment.
type Input struct {
	// Bytes and Events are what waits for Fluent Bit.
	Bytes, Events int
	// Blocked: Fluent Bit takes nothing although something waits for it.
	Blocked bool
	// FileRejected: the newest version of the tenants file is refused.
	FileRejected bool
	// Discovery is how the lists of the provider's customers come in.
	Discovery Discovery
	// Notice is what is wrong with the input as a whole; nil while nothing is.
	Notice *health.Trouble
	// StoreErrors counts the calls of the store that failed since the start.
	StoreErrors uint64
	// Starts are the times from when a poll was due until it began.
	Starts Histogram
	// Nodes has what this process is on a store that several machines share; none
	// where the store is in files of this machine.
	Nodes []Node
}

// Discovery is how the lists of a provider's customers come in.
type Discovery struct {
	// On: the input discovers customers. Without it the rest means nothing.
	On bool
	// Failed: the last list failed, or was empty.
	Failed bool
	// Listed is when the last good list was asked for; zero when there was none.
	Listed time.Time
}

// Join returns what is shown of two inputs together: what is worse of each.
func (d Discovery) Join(other Discovery) Discovery {
	switch {
	case !other.On:
		return d
	case !d.On:
		return other
	}

	if other.Listed.Before(d.Listed) {
		d.Listed = other.Listed
	}

	d.Failed = d.Failed || other.Failed

	return d
}
