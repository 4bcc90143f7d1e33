package metrics

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/tokens"
)

// urgency says how soon a person has to look at a unit. The most urgent is the
// smallest.
type urgency int

const (
	failing urgency = iota
	waiting
	soon // it works, and something needs a person before long
	stopped
	starting
	fine
)

// view is the part of the page with the units of one urgency: its name in addresses,
// and its title.
type view struct{ name, title string }

// views has the views of the page, by urgency.
var views = [...]view{
	failing:  {"failing", "failing"},
	waiting:  {"waiting", "waiting"},
	soon:     {"soon", "to look at soon"},
	stopped:  {"stopped", "stopped"},
	starting: {"starting", "starting"},
	fine:     {"ok", "ok"},
}

// endsSoon is how long before the end of a token or credential the page warns;
// gdapEndsSoon is that for a relationship with a customer, which takes longer to renew.
const (
	endsSoon     = tokens.WarnBefore
	gdapEndsSoon = 30 * 24 * time.Hour
)

// row is a unit as the page shows it.
type row struct {
	*measure.Unit
	name    string // of the tenant, without characters that are not printable
	urgency urgency
	problem health.Trouble // what is wrong, or will be soon
	ends    ending
	hours   [health.HoursShown]uint32
	alerts  uint64 // of all these hours
}

// ending is the first of the ends of a unit's credentials.
type ending struct {
	what string // empty: none is known
	at   time.Time
	soon bool
}

// maxName is how many characters of a name are shown.
const maxName = 128

// rowOf returns the row of a unit as it is now.
func rowOf(u *measure.Unit, now time.Time) row {
	r := row{
		Unit:  u,
		name:  plain.Text(cmp.Or(u.Status.TenantName, string(u.Key.TenantID)), maxName),
		ends:  firstEnd(u.Ends, now),
		hours: u.Status.Hours.Until(now),
	}
	for _, n := range r.hours {
		r.alerts += uint64(n)
	}

	if r.unowned() {
		r.urgency, r.problem = r.unownedProblem(now)
		return r
	}

	r.urgency = urgencyOf(u.Status.State)

	if r.urgency < soon {
		r.problem = u.Status.Trouble
		return r
	}

	if r.problem = r.comingProblem(now); r.problem.Message != "" && r.urgency > stopped {
		r.urgency = soon
	}

	return r
}

// urgencyOf returns how urgent a state is.
func urgencyOf(state health.State) urgency {
	switch state {
	case health.Failing:
		return failing
	case health.Waiting:
		return waiting
	case health.Stopped:
		return stopped
	case health.Starting:
		return starting
	default:
		return fine
	}
}

// unowned reports whether no live node holds the unit, in a store that several share.
func (r *row) unowned() bool { return r.Shared && !r.Holder.Live }

// unownedProblem returns what is shown of a unit that no live node holds. That is normal
// for a moment while the unit moves to another node.
func (r *row) unownedProblem(now time.Time) (urgency, health.Trouble) {
	if now.Sub(r.Status.UpdatedAt) <= measure.StaleAfter {
		return starting, health.Trouble{}
	}

	trouble := health.Trouble{
		Message: "no node holds it, so it is not polled",
		Remedy:  "see `defenderctl nodes`: start nodes that have expired, and end the draining of others",
	}
	if r.Holder.Node != "" {
		trouble.Message = "its node " + r.Holder.Node + " has not renewed its lease for " +
			span(now.Sub(r.Holder.Renewed)) + ", so it is not polled"
	}

	return failing, trouble
}

// comingProblem returns what will soon be wrong with a unit that works; the zero
// Trouble if nothing will.
func (r *row) comingProblem(now time.Time) health.Trouble {
	switch {
	case r.ends.soon && !r.ends.at.After(now):
		return health.Trouble{
			Message: "the " + r.ends.what + " has ended",
			Remedy:  renewals[r.ends.what],
		}
	case r.ends.soon:
		return health.Trouble{
			Message: "the " + r.ends.what + " ends in " + span(r.ends.at.Sub(now)),
			Remedy:  renewals[r.ends.what],
		}
	case r.Status.Deferred > 0:
		return health.Trouble{
			Message: "some alerts could not be read or delivered yet, although others were",
			Remedy:  "wait: they are tried again by themselves. After an hour look at the log of Fluent Bit",
		}
	case r.Elsewhere && now.Sub(r.Status.UpdatedAt) > measure.StaleAfter:
		return health.Trouble{
			Message: "its node " + r.Holder.Node + " has not written its status for " +
				span(now.Sub(r.Status.UpdatedAt)),
			Remedy: "see the log of Fluent Bit on that node",
		}
	}

	return health.Trouble{}
}

// The names of what ends.
const (
	endRefreshToken = "refresh token"
	endCredential   = "application's credential"
	endRelationship = "GDAP relationship"
)

// renewals says how to renew what ends.
var renewals = map[string]string{
	endRefreshToken: "it is renewed by being used; if it ends, sign in again with `defenderctl tokens acquire`",
	endCredential: "make a new secret or certificate in the application's registration, " +
		"and put it into the configuration",
	endRelationship: "extend it in Partner Center, or ask the customer for a new one",
}

// firstEnd returns the first of the known ends; those that the page warns of come
// before all others.
func firstEnd(e measure.Ends, now time.Time) (first ending) {
	for _, one := range []ending{
		{endRefreshToken, e.RefreshToken, e.RefreshToken.Sub(now) <= endsSoon},
		{endCredential, e.Credential, e.Credential.Sub(now) <= endsSoon},
		{endRelationship, e.Relationship, e.Relationship.Sub(now) <= gdapEndsSoon},
	} {
		switch {
		case one.at.IsZero():
		case first.what == "" || one.soon && !first.soon, one.soon == first.soon && one.at.Before(first.at):
			first = one
		}
	}

	return first
}

// rows returns the rows of all units, those that need attention first; of those that
// fail, the one that failed last comes first.
func (s *snapshot) rows() []row {
	rows := make([]row, 0, len(s.units)+len(s.elsewhere))

	for _, units := range [][]measure.Unit{s.units, s.elsewhere} {
		for i := range units {
			rows = append(rows, rowOf(&units[i], s.at))
		}
	}

	slices.SortStableFunc(rows, byAttention)

	return rows
}

// byAttention orders rows by how soon they need attention.
func byAttention(a, b row) int {
	order := cmp.Compare(a.urgency, b.urgency)
	if order == 0 && a.urgency < soon {
		order = b.Status.Since.Compare(a.Status.Since)
	}

	return cmp.Or(order, byName(a, b))
}

// byName orders rows by the tenant's name.
func byName(a, b row) int {
	return cmp.Or(
		cmp.Compare(strings.ToLower(a.name), strings.ToLower(b.name)),
		cmp.Compare(a.name, b.name),
		cmp.Compare(a.Key.TenantID, b.Key.TenantID),
		cmp.Compare(a.Key.API, b.Key.API),
		cmp.Compare(a.Key.StateID, b.Key.StateID),
		cmp.Compare(a.Key.LoginHost, b.Key.LoginHost),
	)
}

// summary counts rows.
type summary struct {
	all     int
	urgency [len(views)]int
	reasons []reasonCount // of those that fail or wait, the most frequent first
}

// reasonCount is how many rows have a reason.
type reasonCount struct {
	reason advice.Reason
	n      int
}

// summarize counts rows.
func summarize(rows []row) summary {
	s := summary{all: len(rows)}

	count := make(map[advice.Reason]int)

	for i := range rows {
		s.urgency[rows[i].urgency]++

		if reason := rows[i].problem.Reason; reason != "" {
			count[reason]++
		}
	}

	for reason, n := range count {
		s.reasons = append(s.reasons, reasonCount{reason, n})
	}

	slices.SortFunc(s.reasons, func(a, b reasonCount) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.reason, b.reason))
	})

	return s
}
