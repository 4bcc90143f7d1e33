package metrics

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"fluent-bit-defender/internal/advice"
)

// choice is what a person chose to see, as it is in the page's address. The zero value
// shows everything, what needs attention first.
type choice struct {
	words   string // all of them are somewhere in the row
	view    int    // index in views plus 1; 0: all
	reason  advice.Reason
	order   string // a name of orders; empty: what needs attention first
	reverse bool
}

// orders are the orders that a person may choose, each for a column of the table.
var orders = map[string]func(a, b row) int{
	"tenant": byName,
	"state":  byAttention,
	"alert":  func(a, b row) int { return b.Status.LastAlert.Compare(a.Status.LastAlert) },
	"lag":    func(a, b row) int { return cmp.Compare(b.Status.LagSeconds, a.Status.LagSeconds) },
	"alerts": func(a, b row) int { return cmp.Compare(b.alerts, a.alerts) },
	"ends":   byEnd,
}

// byEnd orders rows by their first end. Rows without a known end come last.
func byEnd(a, b row) int {
	if a.ends.what == "" || b.ends.what == "" {
		return cmp.Compare(b.ends.what, a.ends.what)
	}

	return a.ends.at.Compare(b.ends.at)
}

// maxWords is how many bytes of the words are searched for.
const maxWords = 200

// choiceOf returns the choice in an address. It ignores what it does not understand:
// the page is shown in any case.
func choiceOf(query url.Values) choice {
	c := choice{
		words:   query.Get("q"),
		reason:  advice.Reason(query.Get("reason")),
		order:   query.Get("sort"),
		reverse: query.Get("dir") == "desc",
	}
	c.words = strings.ToValidUTF8(c.words[:min(len(c.words), maxWords)], "")
	c.view = 1 + slices.IndexFunc(views[:], func(v view) bool { return v.name == query.Get("show") })

	if !c.reason.Known() {
		c.reason = ""
	}

	if orders[c.order] == nil {
		c.order = ""
		c.reverse = false
	}

	return c
}

// address returns the page's address for a choice.
func (c choice) address() string {
	query := make(url.Values)

	set := func(key, value string) {
		if value != "" {
			query.Set(key, value)
		}
	}
	set("q", c.words)
	set("reason", string(c.reason))
	set("sort", c.order)

	if c.view > 0 {
		set("show", views[c.view-1].name)
	}

	if c.reverse {
		set("dir", "desc")
	}

	if len(query) == 0 {
		return "/"
	}

	return "/?" + query.Encode()
}

// sortedBy returns the choice after a click on the head of a column: its order, then the
// reverse, then what needs attention first.
func (c choice) sortedBy(order string) choice {
	switch {
	case c.order != order:
		c.order = order
		c.reverse = false
	case !c.reverse:
		c.reverse = true
	default:
		c.order = ""
		c.reverse = false
	}

	return c
}

// apply returns the rows that a person wants to see, in the order that they want.
func (c choice) apply(rows []row) []row {
	words := strings.Fields(strings.ToLower(c.words))

	var chosen []row

	for i := range rows {
		if c.shows(&rows[i]) && rows[i].has(words) {
			chosen = append(chosen, rows[i])
		}
	}

	if order := orders[c.order]; order != nil {
		slices.SortStableFunc(chosen, func(a, b row) int {
			if c.reverse {
				return order(b, a)
			}

			return order(a, b)
		})
	}

	return chosen
}

// shows reports whether a row is in the view, and has the reason.
func (c choice) shows(r *row) bool {
	return (c.view == 0 || r.urgency == urgency(c.view-1)) && (c.reason == "" || r.problem.Reason == c.reason)
}

// has reports whether all words, in lower case, are somewhere in the row.
func (r *row) has(words []string) bool {
	if len(words) == 0 {
		return true
	}

	text := strings.ToLower(strings.Join([]string{
		r.name,
		r.Status.TenantName,
		string(r.Key.TenantID),
		string(r.Key.API),
		r.Key.StateID,
		string(r.Status.State),
		string(r.problem.Reason),
		reasonTitle(r.problem.Reason),
		r.problem.Message,
		r.problem.Trace,
	}, "\n"))

	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
