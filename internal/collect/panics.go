package collect

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// restAfterPanic returns how long the unit rests after a panic: longer each time, unless
// it has worked for a long time since the last one.
func (p *poller) restAfterPanic() time.Duration {
	now := p.now()
	if p.panicked == nil || now.Sub(p.panicked.at) > 2*longestPause {
		p.panicked = new(panicked)
	}

	p.panicked.at = now
	p.panicked.rest = min(max(time.Second, 2*p.panicked.rest), longestPause)

	return p.panicked.rest
}

// panicked is when a poller last had a panic, and how long it rested then.
type panicked struct {
	at   time.Time
	rest time.Duration
}

// runShowingPanics calls run. If that panics, the unit shows as failing, and the panic
// goes on to the caller.
func (p *poller) runShowingPanics(ctx context.Context) time.Duration {
	ended := false
	defer func() {
		if !ended {
			p.showPanic()
		}
	}()

	rest := p.run(ctx)
	ended = true

	return rest
}

// showPanic shows a unit whose poller had a panic as failing.
func (p *poller) showPanic() {
	p.verdict = verdict{
		kind: transient,
		trouble: health.Trouble{
			Reason:  advice.Internal,
			Message: "a fault in the plugin",
			Remedy:  reportIt,
		},
	}
	p.cfg.Counters.Failed(p.verdict.trouble.Reason)
	p.status.fail(p.verdict.trouble, p.now(), func(s *store.Status) { s.Errors++ })
}

// endsWithoutPanic runs work, and reports whether it ended without a panic. A panic is
// logged.
func endsWithoutPanic(ctx context.Context, log *slog.Logger, work func(context.Context)) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			log.Error(fmt.Sprintf("a fault in the plugin, please report it; it starts again by itself: %v", p))
			log.Debug(string(debug.Stack()))
		}
	}()

	work(ctx)

	return true
}
