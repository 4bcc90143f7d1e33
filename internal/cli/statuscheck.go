package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
)

// The exit codes of --check, as monitoring plugins have them:
// https://www.monitoring-plugins.org/doc/guidelines.html#AEN78
const (
	checkOK       = 0
	checkWarning  = 1
	checkCritical = 2
	checkUnknown  = 3
)

var checkNames = [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}

// startingFor is how long a unit may be starting before that is a warning.
const startingFor = 5 * time.Minute

// statusCheck prints one line with performance data, and ends with the code for it.
func (c *cli) statusCheck(ctx context.Context, v statusView) error {
	if v.watch || v.asJSON || v.format != outputTable {
		return c.checked(checkUnknown, "--check cannot be combined with --watch, --json and --output", "")
	}

	s, err := c.look(ctx)
	if err == nil && s.s == nil {
		err = c.noDirectory(false)
	}

	if err != nil {
		return c.checked(checkUnknown, err.Error(), "")
	}

	defer s.Close()

	seen, err := c.survey(ctx, s, v)
	if err != nil {
		return c.checked(checkUnknown, err.Error(), "")
	}

	switch {
	case len(seen.all) == 0 && len(seen.notices) > 0:
		return c.checked(checkCritical, firstOf(seen.notices), "")
	case len(seen.all) == 0:
		return c.checked(checkUnknown, "no input has written its status yet", "")
	}

	code, text := c.judge(seen, len(v.names) > 0)

	return c.checked(code, text, seen.perfdata())
}

// checked prints the line of --check, and returns the end of the command.
func (c *cli) checked(code int, text, data string) error {
	line := "DEFENDER " + checkNames[code] + " - " + strings.ReplaceAll(plain.Line(text, 1000), "|", "/")
	if data != "" {
		line += " | " + data
	}

	fmt.Fprintln(c.Out, line)

	return &printedError{code}
}

// judge returns how bad a survey is, and why in one line. named says that tenants were
// asked for by name, so that one that is stopped counts.
func (c *cli) judge(seen survey, named bool) (code int, text string) {
	var critical, warning []string

	running := 0

	for _, r := range seen.all {
		who := r.Tenant + " " + r.API

		if r.State != health.Stopped && r.State != health.Stale {
			running++
		}

		switch grade := c.grade(r, named); grade {
		case checkCritical:
			critical = append(critical, strings.TrimSpace(fmt.Sprintf("%s %s %s", who, r.State, r.Reason)))
		case checkWarning:
			warning = append(warning, who+" "+c.warningOf(r))
		}
	}

	if running == 0 && len(critical) == 0 {
		critical = append(critical, "no input runs with this data directory")
	}

	warning = append(warning, seen.notices...)

	for _, n := range seen.nodes {
		if !n.Live {
			warning = append(warning, "node "+n.ID+" has expired")
		}
	}

	summary := seen.summary(c.Now())

	switch {
	case len(critical) > 0:
		return checkCritical, firstOf(critical) + "; " + summary
	case len(warning) > 0:
		return checkWarning, firstOf(warning) + "; " + summary
	}

	return checkOK, summary
}

// firstOf names the first of a list, and says how many more there are.
func firstOf(list []string) string {
	const most = 3
	if len(list) <= most {
		return strings.Join(list, ", ")
	}

	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// grade returns how bad the status of one unit is.
func (c *cli) grade(r reported, named bool) int {
	switch r.State {
	case health.Failing:
		if r.Reason == string(advice.Throttled) || r.Reason == string(advice.Budget) {
			return checkWarning // it goes away by itself, and the service is reached
		}

		return checkCritical
	case health.Waiting, health.Stale:
		return checkCritical
	case health.Stopped:
		if named {
			return checkCritical
		}

		return checkOK // it was removed; when all are stopped nothing runs
	}

	if c.warningOf(r) != "" {
		return checkWarning
	}

	return checkOK
}

// warningOf returns what a status is warned of, empty if there is no reason for a
// warning.
func (c *cli) warningOf(r reported) string {
	switch {
	case r.State == health.Failing:
		return r.Reason
	case r.State == health.Starting && c.Now().Sub(r.status.Since) > startingFor:
		return "starting for " + span(c.Now().Sub(r.status.Since))
	case r.Deferred > 0:
		return fmt.Sprintf("%d deferred", r.Deferred)
	}

	if f, ok := c.tokenForecast(r); ok && f.Soon {
		return "refresh token ends " + moments(f.Ends)
	}

	return ""
}

// moments returns a day, or that it is not known.
func moments(t time.Time) string {
	if t.IsZero() {
		return "soon"
	}

	return t.UTC().Format(time.DateOnly)
}

// perfdata returns the numbers behind a survey in the form of monitoring plugins.
func (s survey) perfdata() string {
	counts := s.count()
	parts := []string{fmt.Sprintf("units=%d", len(s.all))}

	for _, state := range stateOrder {
		parts = append(parts, fmt.Sprintf("%s=%d", state, counts[state]))
	}

	var (
		lag                       float64
		emitted, failures, repeat uint64
		deferred                  int
	)

	for _, r := range s.all {
		if r.State != health.Stopped {
			lag = max(lag, r.LagSeconds)
		}

		emitted += r.Emitted
		repeat += r.Repeats
		failures += r.Errors
		deferred += r.Deferred
	}

	parts = append(parts,
		fmt.Sprintf("deferred=%d", deferred),
		fmt.Sprintf("lag=%.1fs", lag),
		fmt.Sprintf("emitted=%dc", emitted),
		fmt.Sprintf("repeats=%dc", repeat),
		fmt.Sprintf("errors=%dc", failures),
	)

	if s.shared {
		live := 0

		for _, n := range s.nodes {
			if n.Live {
				live++
			}
		}

		parts = append(parts, fmt.Sprintf("nodes_live=%d", live), fmt.Sprintf("unowned=%d", s.unowned()))
	}

	return strings.Join(parts, " ")
}
