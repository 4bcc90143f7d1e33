package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/defender"
)

// How long a command waits for an API in all, in multiples of http_timeout. An input
// goes on for ever; a person wants to know.
const (
	probeTimes = 2  // until there is an answer to a probe
	pullTimes  = 10 // from one alert to the next
)

// waitLimit ends a read that waits for too long without an alert. Time that is not
// spent on waiting for the network does not count: standard output may be slow, too.
type waitLimit struct {
	limit  time.Duration
	rows   func() int64 // alerts that have come
	giveUp context.CancelCauseFunc
	reason error

	last   int64
	waited time.Duration // since the last alert
}

// limitWaiting returns a context for a defender.Reader that ends when the reader waits
// for times http_timeout without an alert. rows returns how many have come. explain
// turns the error of the read into the reason why it ended; it is to be called in any
// case.
func limitWaiting(
	ctx context.Context, t config.Tenant, times int, rows func() int64,
) (limited context.Context, explain func(error) error) {
	limited, giveUp := context.WithCancelCause(ctx)
	w := &waitLimit{
		limit:  time.Duration(times) * t.HTTPTimeout,
		rows:   rows,
		giveUp: giveUp,
	}
	w.reason = &defender.Error{
		Fault: advice.Fault{
			Reason:  advice.TooSlow,
			Problem: fmt.Sprintf("%s sent no alert and no end of the list in %v of waiting", t.APIURL, w.limit),
			Remedy:  "check the network and `proxy`, or raise `http_timeout`",
		},
		Op: "waiting for an answer",
	}

	explain = func(err error) error {
		if err != nil && errors.Is(context.Cause(limited), w.reason) {
			err = w.reason
		}

		giveUp(nil)

		return err
	}
	if w.limit <= 0 {
		return limited, explain
	}

	return defender.WithWaiting(limited, w.begin), explain
}

// begin is called when a wait begins, and the function that it returns when it ends.
func (w *waitLimit) begin() (done func()) {
	if n := w.rows(); n != w.last {
		w.last, w.waited = n, 0
	}

	began := time.Now()
	timer := time.AfterFunc(max(0, w.limit-w.waited), func() { w.giveUp(w.reason) })

	return func() {
		timer.Stop()

		w.waited += time.Since(began)
	}
}
