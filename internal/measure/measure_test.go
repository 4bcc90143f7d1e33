package measure

import (
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
)

func TestCountersCountWhatHappens(t *testing.T) {
	var c Counters

	empty := c.Read()
	if empty.Polls.Count() != 0 || empty.Polls.Bounds == nil || empty.Delays.Bounds == nil || len(empty.Errors) != 0 {
		t.Errorf("nothing has happened: %+v", empty)
	}

	for _, d := range []time.Duration{0, 100 * time.Millisecond, 101 * time.Millisecond, 5 * time.Minute, time.Hour} {
		c.Poll(d)
	}

	c.Alert(-time.Hour) // the server's clock is ahead
	c.Alert(90 * time.Second)
	c.Failed(advice.Store)
	c.Failed(advice.Store)
	c.Answered(200)
	c.Answered(NoAnswer)

	r := c.Read()
	c.Failed(advice.Store) // what was read does not change any more

	if want := [buckets + 1]uint64{2, 1, 0, 0, 0, 0, 1, 1}; r.Polls.Counts != want || r.Polls.Sum != 3900.201 {
		t.Errorf("polls %+v", r.Polls)
	}

	if want := [buckets + 1]uint64{1, 0, 1}; r.Delays.Counts != want || r.Delays.Sum != 90 || r.Delays.Count() != 2 {
		t.Errorf("delays %+v", r.Delays)
	}

	if r.Errors[advice.Store] != 2 || r.Requests[200] != 1 || r.Requests[NoAnswer] != 1 {
		t.Errorf("errors %v, requests %v", r.Errors, r.Requests)
	}
}
