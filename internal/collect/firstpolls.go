package collect

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// The log says which units work, without thousands of lines: in each ownLinesSpan the
// first mostOwnLines units have a line of their own, and the others share one.
const (
	mostOwnLines = 20
	ownLinesSpan = time.Minute
	// sharedLinePause is the least time between two shared lines.
	sharedLinePause = 10 * time.Second
)

// firstPolls logs, once for each unit, that it was read to its end for the first time.
type firstPolls struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex // guards the fields below
	began  time.Time  // when the present ownLinesSpan began
	lines  int        // lines of single units since then
	shared time.Time  // when the last shared line was logged
	units  int        // units that wait for the next shared line
	alerts uint64     // alerts that these units have read
}

// polled notes that a unit was read to its end for the first time, and with how many
// alerts.
func (g *firstPolls) polled(ctx context.Context, u *Unit, alerts uint64) {
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

	things := "alerts"
	if alerts == 1 {
		things = "alert"
	}

	u.log.Info(fmt.Sprintf("%sfirst poll: %d %s", who, alerts, things))
}

// mayLog reports whether a unit may have a line of its own; otherwise it is counted for a
// shared one.
func (g *firstPolls) mayLog(alerts uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()

	if now := g.now(); now.Sub(g.began) >= ownLinesSpan {
		g.began, g.lines = now, 0
	}

	if g.lines < mostOwnLines {
		g.lines++
		return true
	}

	g.units++
	g.alerts += alerts

	return false
}

// report logs the shared line, if it is due. Only the reporter calls it.
func (g *firstPolls) report() {
	g.mu.Lock()
	now := g.now()
	units, alerts := g.units, g.alerts
	due := units > 0 && now.Sub(g.shared) >= sharedLinePause

	if due {
		g.shared, g.units, g.alerts = now, 0, 0
	}
	g.mu.Unlock()

	if due {
		g.log.Info(fmt.Sprintf("%d more tenants have signed in and were polled for the first time: %d alerts",
			units, alerts))
	}
}
