package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/sqlite"
)

// survey is what `status` knows at one moment.
type survey struct {
	all []reported
	// hidden is how many units are left out, since no input polls them any more.
	hidden int
	// notices say what is wrong with an input, or the place, as a whole.
	notices []string
	// shared says that several nodes share the store, and nodes which.
	shared bool
	nodes  []store.NodeStatus
}

// vanishedAfter is how much older than the newest status one is that no input writes any
// more.
const vanishedAfter = 24 * time.Hour

// scarce is how many free bytes on the disk are too few.
const scarce = 64 << 20

// survey reads the statuses that v asks for, and the notices that are about all of
// them.
func (c *cli) survey(ctx context.Context, s *view, v statusView) (survey, error) {
	all, err := c.statuses(ctx, s)
	if err != nil {
		return survey{}, err
	}

	at, err := c.at(place{})
	if err != nil {
		return survey{}, err
	}

	seen := survey{all: all}

	_, seen.shared = s.leases()
	if seen.nodes, err = s.nodes(ctx); err != nil {
		return survey{}, err
	}

	if !at.Shared() {
		seen.notices = append(seen.notices, c.markUnwritable(all, at.DataDir)...)

		if notice := diskNotice(at.DataDir); notice != "" {
			seen.notices = append(seen.notices, notice)
		}
	}

	seen.notices = append(seen.notices, inputNotices(all)...)

	if len(all) == 0 { // else the statuses have it
		if f := s.discoveryNotice(ctx); f != nil {
			seen.notices = append(seen.notices, f.text())
		}
	}

	if len(v.names) > 0 {
		seen.all, err = named(all, v.names)
		return seen, err
	}

	if !v.hidden {
		seen.leaveOutVanished()
	}

	return seen, nil
}

// named returns the statuses of the tenants that names mean.
func named(all []reported, names []string) ([]reported, error) {
	var known []string
	for _, r := range all {
		known = append(known, label(r.Tenant, r.TenantID))
	}

	found := []reported{}

	for _, name := range names {
		before := len(found)

		for _, r := range all {
			if called(name, r.Tenant, r.TenantID) && !slices.ContainsFunc(found, r.same) {
				found = append(found, r)
			}
		}

		if len(found) == before && !slices.ContainsFunc(found, func(r reported) bool {
			return called(name, r.Tenant, r.TenantID)
		}) {
			return nil, unknownName(name, known)
		}
	}

	return found, nil
}

// same reports whether two statuses are of the same unit.
func (r reported) same(other reported) bool {
	return r.TenantID == other.TenantID && r.API == other.API && r.StateID == other.StateID &&
		r.LoginHost == other.LoginHost
}

// leaveOutVanished leaves out units that no input has polled for a day while others were
// polled: customers who were removed from the configuration.
func (s *survey) leaveOutVanished() {
	newest := newestOf(s.all)
	before := len(s.all)
	s.all = slices.DeleteFunc(s.all, func(r reported) bool {
		return newest.Sub(r.status.UpdatedAt) > vanishedAfter
	})
	s.hidden = before - len(s.all)
}

// newestOf returns when a status was written last.
func newestOf(all []reported) (newest time.Time) {
	for _, r := range all {
		if r.status.UpdatedAt.After(newest) {
			newest = r.status.UpdatedAt
		}
	}

	return newest
}

// markUnwritable sets the reason of statuses that are stale although the inputs run:
// the inputs cannot write to the store.
func (c *cli) markUnwritable(all []reported, dir string) (notices []string) {
	newest := newestOf(all)

	if len(all) == 0 || c.Now().Sub(newest) <= measure.StaleAfter {
		return nil
	}

	process, running := sqlite.InputsRun(dir)
	if !running {
		return nil
	}

	message := fmt.Sprintf("%s runs inputs and has not been able to write their status for %s, so neither their "+
		"progress: alerts go on, and are repeated if it ends meanwhile", process, span(c.Now().Sub(newest)))
	remedy := "make room on the disk of " + dir + ", check that its files can be written, and see Fluent Bit's log"

	for i := range all {
		r := &all[i]
		if r.State == health.Stale && newest.Sub(r.status.UpdatedAt) <= measure.StaleAfter {
			r.Reason = string(advice.Store)
			r.Message = message
			r.Remedy = remedy
			r.Trace = "" // that of an answer, which has nothing to do with it
		}
	}

	return []string{message + "; " + remedy}
}

// inputNotices returns what is wrong with inputs as a whole, each once.
func inputNotices(all []reported) (notices []string) {
	for _, r := range all {
		if r.Input == nil || r.State == health.Stale || r.State == health.Stopped {
			continue
		}

		if text := r.Input.text(); !slices.Contains(notices, text) {
			notices = append(notices, text)
		}
	}

	return notices
}

// diskNotice says that the disk of a directory is full, or nearly; empty while it is not.
func diskNotice(dir string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Blocks == 0 {
		return ""
	}

	left := int64(fs.Bavail) * fs.Bsize

	switch {
	case left < scarce && left < int64(fs.Blocks)*fs.Bsize/10:
		return fmt.Sprintf("the disk of %s has only %d MB left: when it is full, progress and rotated refresh tokens "+
			"cannot be stored; make room", plain.Text(dir, 1024), left>>20)
	case fs.Files > 0 && fs.Ffree == 0:
		return fmt.Sprintf("the disk of %s has no inode left: no file can be made; remove some",
			plain.Text(dir, 1024))
	}

	return ""
}

// stateOrder is the order in which states are counted and, in --watch, shown: what needs
// attention first.
var stateOrder = []health.State{
	health.Failing,
	health.Waiting,
	health.Stale,
	health.Starting,
	health.Stopped,
	health.OK,
}

// count returns how many units are in each state.
func (s survey) count() map[health.State]int {
	n := map[health.State]int{}
	for _, r := range s.all {
		n[r.State]++
	}

	return n
}

// summary returns one line about all units.
func (s survey) summary(now time.Time) string {
	var (
		states   []string
		emitted  uint64
		deferred int
		success  time.Time
	)

	counts := s.count()
	for _, state := range stateOrder {
		if n := counts[state]; n > 0 {
			text := fmt.Sprintf("%d %s", n, state)
			if state == health.Failing {
				text += s.reasons()
			}

			states = append(states, text)
		}
	}

	for _, r := range s.all {
		emitted += r.Emitted
		deferred += r.Deferred

		if r.status.LastSuccess.After(success) {
			success = r.status.LastSuccess
		}
	}

	last := "no poll was read to its end yet"
	if !success.IsZero() {
		last = "last success " + age(success, now) + " ago"
	}

	return fmt.Sprintf("%d in all: %s; %s; %d emitted, %d deferred%s", len(s.all), strings.Join(states, ", "), last,
		emitted, deferred, s.nodeSummary())
}

// nodeSummary returns the end of the line about all units: which nodes there are, and
// what no live one holds. It is empty where the store is in files.
func (s survey) nodeSummary() string {
	if !s.shared {
		return ""
	}

	return fmt.Sprintf("; %s; %d held by no live node", countNodes(s.nodes), s.unowned())
}

// unowned returns how many units no live node holds.
func (s survey) unowned() (n int) {
	for _, r := range s.all {
		if r.Unowned {
			n++
		}
	}

	return n
}

// reasons returns how often units fail for which reason, in brackets.
func (s survey) reasons() string {
	n := map[string]int{}

	for _, r := range s.all {
		if r.State == health.Failing && r.Reason != "" {
			n[r.Reason]++
		}
	}

	var names []string
	for reason := range n {
		names = append(names, reason)
	}

	slices.SortFunc(names, func(a, b string) int { return cmp.Or(n[b]-n[a], cmp.Compare(a, b)) })

	for i, reason := range names {
		if n[reason] > 1 {
			names[i] = fmt.Sprintf("%d %s", n[reason], reason)
		}
	}

	if len(names) == 0 {
		return ""
	}

	return " (" + strings.Join(names, ", ") + ")"
}

// byAttention sorts units so that those that need attention come first.
func (s survey) byAttention() {
	slices.SortStableFunc(s.all, func(a, b reported) int {
		return slices.Index(stateOrder, a.State) - slices.Index(stateOrder, b.State)
	})
}
