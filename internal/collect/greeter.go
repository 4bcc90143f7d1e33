package collect

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Success is said too, and never in a storm: in each minute the first mostGreetings
// units have a line of their own, and the rest share one.
const (
	mostGreetings = 20
	greetingSpan  = time.Minute
	// greetingPause is the least time between two shared lines.
	greetingPause = 10 * time.Second
)

// greeter logs, once for each unit, that it was read to its end for the first time.
type greeter struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex // guards the fields below
	began  time.Time  // the minute that counts
	lines  int        // of units in it
	shared time.Time  // when a line was shared last
	units  int        // that wait for a shared line
	alerts uint64     // that they have read
}

// polled notes that a unit was read to its end for the first time, and with how many
// alerts.
func (g *greeter) polled(ctx context.Context, u *Unit, alerts uint64) {
	if !g.mayLog(alerts) {
		return
	}

	who := ""
	if u.cfg.Account != nil {
		who = u.cfg.Account(ctx)
	}

	if who != "" {
		who = "signed in as " + who + ", "
	}

	u.log.Info(fmt.Sprintf("%sfirst poll: %d alerts", who, alerts))
}

// mayLog reports whether a unit may have a line of its own; otherwise it is counted for a
// shared one.
func (g *greeter) mayLog(alerts uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()

	if now := g.now(); now.Sub(g.began) >= greetingSpan {
		g.began, g.lines = now, 0
	}

	if g.lines < mostGreetings {
		g.lines++
		return true
	}

	g.units++
	g.alerts += alerts

	return false
}

// report logs the shared line, if it is due. It belongs to the reporter.
func (g *greeter) report() {
	g.mu.Lock()
	now := g.now()
	units, alerts := g.units, g.alerts
	due := units > 0 && now.Sub(g.shared) >= greetingPause

	if due {
		g.shared, g.units, g.alerts = now, 0, 0
	}
	g.mu.Unlock()

	if due {
		g.log.Info(fmt.Sprintf("%d more tenants have signed in and were polled for the first time: %d alerts",
			units, alerts))
	}
}
