package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/tokens"
)

// How a pull tries again. An input does so for ever; a command ends when it makes no
// progress.
const (
	maxFailures    = 6 // in a row
	maxUnreachable = 4 // in a row, without a connection
	maxWaiting     = 2 * time.Minute
	firstRetry     = time.Second
	longestRetry   = 15 * time.Second
	deferredRounds = 3
)

// pullRead reads the window of a pull as an input reads: after a passing failure it
// tries again, after a pause or the time that the service asks for, and goes on where
// the last read ended.
type pullRead struct {
	c      *cli
	tenant config.Tenant
	reader defender.Reader
	sink   *pullSink

	failures int           // in a row, without progress
	waited   time.Duration // since the last progress
}

// run reads the window. After an error everything that came is printed, and the error
// says what may be missing.
func (r *pullRead) run(ctx context.Context) error {
	err := r.window(ctx)
	if err == nil {
		err = r.deferred(ctx)
	}

	if errors.Is(err, errEnough) {
		return r.sink.missing()
	}

	if err == nil {
		if err = r.sink.flush(maxTick); err == nil {
			err = r.sink.missing()
		}

		return enough(err)
	}

	if ctx.Err() != nil {
		return err
	}

	if flushed := r.sink.flush(maxTick); flushed != nil {
		return errors.Join(advised(err), enough(flushed))
	}

	if r.sink.printed.Load() == 0 {
		return advised(err)
	}

	since := max(r.sink.from, r.sink.safe)

	return fmt.Errorf("%w. Not everything was printed: of what was updated since %v some may be missing; go on "+
		"with --since %v",
		advised(err), since, since)
}

// enough takes the end that --limit asks for as no error.
func enough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}

	return err
}

// window reads until the window is complete, or nothing more comes.
func (r *pullRead) window(ctx context.Context) error {
	for {
		safe, known := r.sink.safe, len(r.sink.seen)

		final, err := r.once(ctx, func(limited context.Context) error {
			return r.reader.Read(limited, defender.Window{
				From: max(r.sink.from, r.sink.safe),
				To:   r.sink.to,
				Now:  tick.FromTime(r.c.Now()),
			}, r.sink)
		})
		if err == nil || final || ctx.Err() != nil {
			return err
		}

		if r.sink.safe > safe || len(r.sink.seen) > known {
			r.failures, r.waited = 0, 0
		}

		pause, again := r.pause(err)
		if !again {
			return err
		}

		if err := r.c.sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// once reads, and reports whether an error is final because the API answered nothing for
// too long.
func (r *pullRead) once(ctx context.Context, read func(limited context.Context) error) (final bool, err error) {
	limited, explain := limitWaiting(ctx, r.tenant, pullTimes, r.sink.read.Load)
	err = read(limited)
	final = limited.Err() != nil

	return final, explain(err)
}

// pause decides whether a failed read is tried again, and after which time.
func (r *pullRead) pause(err error) (pause time.Duration, again bool) {
	var (
		api  *defender.Error
		auth *tokens.Error
	)

	asked, most := time.Duration(0), maxFailures

	switch {
	case errors.As(err, &auth) && auth.Fate == advice.TryAgain:
		asked = auth.RetryAfter
		if auth.Refusal.Status == 0 {
			most = maxUnreachable
		}
	case errors.As(err, &auth):
		return 0, false
	case errors.As(err, &api) && api.Fate == advice.TryAgain:
		asked = api.RetryAfter
		if api.Unreachable {
			most = maxUnreachable
		}
	default:
		return 0, false
	}

	r.failures++
	ceiling := min(firstRetry<<(r.failures-1), longestRetry)

	pause = ceiling/2 + rand.N(ceiling/2+1)
	if asked > 0 {
		pause = asked + rand.N(time.Second)
	}

	r.waited += pause
	if r.failures >= most || r.waited > maxWaiting {
		return 0, false
	}

	if r.failures > 1 || pause > 5*time.Second {
		r.c.say("%v; trying again in %s", err, span(pause.Round(time.Second)))
	}

	return pause, true
}

// deferred tries the windows again that could not be read while others could.
func (r *pullRead) deferred(ctx context.Context) error {
	reader, ok := r.reader.(defender.DeferringReader)
	if !ok {
		return nil
	}

	pause := firstRetry
	for round := 0; round < deferredRounds && len(r.sink.skipped) > 0; round++ {
		if err := r.c.sleep(ctx, pause); err != nil {
			return err
		}

		pause *= 3

		var left []skipped

		for _, s := range r.sink.skipped {
			_, err := r.once(ctx, func(limited context.Context) error {
				return reader.ReadDeferred(limited, s.window, r.sink)
			})
			if ctx.Err() != nil {
				return ctx.Err()
			}

			if err != nil {
				left = append(left, s)
			}
		}

		r.sink.skipped = left
	}

	return nil
}

// sleep waits for d, or until ctx ends. Tests replace it.
func (c *cli) sleep(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}

	return pause.For(ctx, d)
}
