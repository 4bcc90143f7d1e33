package defender

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/tick"
)

const (
	// longestPass is how many pages of one answer are read in one pass.
	longestPass = 300
	// mostStale is how many pages in a row, asked for by $skip, may bring nothing new.
	mostStale = 10
	// leastCut is the smallest page that counts as cut although the service was asked
	// for more rows and nothing else shows that it cuts its pages.
	leastCut = 10
)

var (
	// errNoEnd says that an answer may have more rows than a client can read.
	errNoEnd = errors.New("the end of the list is unknown")
	// errUnproven is the errNoEnd of an answer that is probably whole: it has fewer rows
	// than were asked for, and the service never says that there are more.
	errUnproven = fmt.Errorf("%w", errNoEnd)
)

// cursor reads an answer of several pages from the first page to the last: one pass. It
// follows the service's links, and uses $skip if there are none.
//
// After every page and every refusal it makes a view of the situation, and the first
// rule of cursorRules that applies says what to do next. A refusal or an odd answer
// never means that the end was reached. It means that the end is unknown.
type cursor struct {
	reader *odata
	query  query // the next request
	first  bool  // only rows of the time query.from are wanted; a later one ends the pass

	seen       keys            // rows of this pass
	visited    map[string]bool // links that were followed
	before     keys            // rows of the last page that had any
	pages      int             // pages and refusals in this pass
	places     int             // rows passed: where $skip goes on
	stale      int             // pages in a row, asked for by $skip, with rows but nothing new
	empty      int             // pages in a row without rows
	skipping   bool            // $skip is used, since links do not work
	nearer     bool            // a smaller $skip was tried after one that was refused
	linksEnded bool            // the last page was reached by a link, and has none itself
	saidMore   bool            // a page was as large as asked for, or the service said there is more
	overlaps   bool            // a row came twice
}

// view describes the situation in which a cursor decides about its next step.
type view struct {
	refused    bool // the service refused the request
	byLink     bool // the request followed a link
	nearer     bool // the request had a smaller $skip than one that was refused
	canNearer  bool // a smaller $skip can be tried, and was not yet
	linksEnded bool // links led to the last page, which has none itself

	unordered bool // the rows are not in the order that was asked for
	left      bool // a row is later than the instant that is wanted: the pass has left it
	none      bool // the page has no rows
	stale     bool // the page has rows, and the pass has read them all
	more      bool // the service says that there is more
	link      bool // there is a link that can be followed, to a page not visited yet
	full      bool // the page has as many rows as were asked for, or as the largest page

	stuck bool // $skip brings nothing new any more
	blank bool // there were too many pages without rows
	long  bool // there were too many pages or rows
}

// step is what a cursor does next.
type step int

const (
	followLink    step = iota
	useSkip            // ask for the rows behind those passed so far
	useNearerSkip      // ask with a smaller $skip
	stopWhole          // everything was read
	stopUnknown        // there may be more that cannot be read
	stopUnordered      // the service does not keep the order
)

// cursorRule says what to do in a situation.
type cursorRule struct {
	name string
	when func(view) bool
	then step
	// why completes "it …" for an end that is unknown.
	why string
}

// cursorRules are tried in this order; the last one always applies.
var cursorRules = []cursorRule{
	// The service refused the request.
	{
		name: "refused link",
		when: func(v view) bool { return v.refused && v.byLink },
		then: useSkip,
	},
	{
		name: "refused $skip behind the last link",
		when: func(v view) bool { return v.refused && v.linksEnded },
		then: stopWhole,
	},
	{
		name: "refused $skip, a smaller one may be accepted",
		when: func(v view) bool { return v.refused && v.canNearer },
		then: useNearerSkip,
	},
	{
		name: "refused $skip",
		when: func(v view) bool { return v.refused },
		then: stopUnknown,
		why:  "has no working link to the next page, and refuses $skip",
	},

	// The page alone says what to do.
	{
		name: "other order",
		when: func(v view) bool { return v.unordered },
		then: stopUnordered,
	},
	{
		name: "later time",
		when: func(v view) bool { return v.left },
		then: stopWhole,
	},
	{
		name: "endless pages",
		when: func(v view) bool { return v.long },
		then: stopUnknown,
		why:  "sends too many pages",
	},

	// A smaller $skip shows rows again; a page that was not cut shows the last one.
	{
		name: "smaller $skip reaches the end",
		when: func(v view) bool { return v.nearer && !v.full && !v.more },
		then: stopWhole,
	},
	{
		name: "smaller $skip is not enough",
		when: func(v view) bool { return v.nearer },
		then: stopUnknown,
		why:  "has no working link to the next page, and refuses a larger $skip",
	},

	// The page has nothing new.
	{
		name: "links lead back",
		when: func(v view) bool { return v.stale && v.byLink && v.more },
		then: useSkip,
	},
	{
		name: "last link leads back",
		when: func(v view) bool { return v.stale && v.byLink },
		then: stopWhole,
	},
	{
		name: "ignored $skip",
		when: func(v view) bool { return v.stale && v.stuck },
		then: stopUnknown,
		why:  "has no working link to the next page, and ignores $skip",
	},
	{
		name: "known rows",
		when: func(v view) bool { return v.stale },
		then: useSkip,
	},

	// The page has new rows, or none.
	{
		name: "empty pages without end",
		when: func(v view) bool { return v.none && v.blank },
		then: stopUnknown,
		why:  "sends too many empty pages",
	},
	{
		name: "link",
		when: func(v view) bool { return v.link },
		then: followLink,
	},
	{
		name: "last page",
		when: func(v view) bool { return !v.more && !v.full },
		then: stopWhole,
	},
	{
		name: "full page",
		when: func(view) bool { return true },
		then: useSkip,
	},
}

// ruleFor returns the first rule that applies.
func ruleFor(v view) cursorRule {
	for _, rule := range cursorRules {
		if rule.when(v) {
			return rule
		}
	}

	return cursorRules[len(cursorRules)-1]
}

// passResult is what a pass that reached the end found.
type passResult struct {
	next     tick.Tick // the time of the first row later than the instant, 0 if there is none
	disjoint bool      // no row came twice
}

// newCursor returns a cursor before the first page of q. With first, the pass ends at
// the first row that is later than q.from.
func (r *odata) newCursor(q query, first bool) *cursor {
	return &cursor{
		reader:  r,
		query:   q,
		first:   first,
		seen:    keys{},
		visited: map[string]bool{},
	}
}

// pass reads all pages. Its error is errOrder, an *Error with errNoEnd, or that of a
// request.
func (c *cursor) pass(ctx context.Context, sink Sink) (passResult, error) {
	defer c.reader.client.waitLong()()

	for {
		a, err := c.reader.fetch(ctx, c.query, c.seen, sink)

		v, err := c.observe(a, err)
		if err != nil {
			return passResult{}, err
		}

		rule := ruleFor(v)
		switch rule.then {
		case stopWhole:
			return c.result(a), nil
		case stopUnordered:
			return passResult{}, errOrder
		case stopUnknown:
			return passResult{}, c.noEnd(rule.why)
		default:
			c.move(rule.then, a)
		}
	}
}

// observe counts a page, or a refusal, and returns the view of the situation. It returns
// an error that is not a refusal.
func (c *cursor) observe(a answer, err error) (view, error) {
	v := view{
		byLink:     c.query.link != "",
		nearer:     c.nearer,
		canNearer:  !c.nearer && c.query.skip > 1,
		linksEnded: c.linksEnded,
	}

	switch {
	case err != nil && (v.byLink || c.query.skip > 0) && refused(err):
		v.refused = true
		c.pages++

		return v, nil
	case err != nil:
		return v, err
	}

	c.describe(&v, a)
	c.count(v, a)
	v.stuck = c.stale > mostStale || maps.Equal(a.keys, c.before)
	v.blank = c.empty > mostEmpty

	v.long = c.pages >= longestPass || len(c.seen) > maxRows
	if a.rows > 0 {
		c.before = a.keys
	}

	return v, nil
}

// describe notes in v what the page shows.
func (c *cursor) describe(v *view, a answer) {
	v.unordered = a.disordered && c.query.ordered
	v.left = c.first && a.next != 0
	v.none = a.rows == 0
	v.stale = a.rows > 0 && a.fresh == 0
	v.more = a.more
	v.link = a.link != "" && !c.skipping && !c.visited[a.link]
	v.full = c.reader.cut(a)
}

// count adds a page to the totals of the pass.
func (c *cursor) count(v view, a answer) {
	c.pages++
	c.seen.union(a.keys)
	c.linksEnded = v.byLink && !a.more
	c.saidMore = c.saidMore || a.more || a.rows >= a.top

	c.empty++
	if !v.none {
		c.empty = 0
	}

	switch {
	case v.nearer: // it shows rows again on purpose
		return
	case v.stale && v.byLink: // links lead in a circle
		return
	case v.stale:
		c.stale++
	default:
		c.stale = 0
	}

	c.places += a.rows
	c.overlaps = c.overlaps || a.fresh < a.rows
}

// move prepares the next request.
func (c *cursor) move(s step, a answer) {
	switch s {
	case followLink:
		c.visited[a.link] = true
		c.query.link = a.link
	case useNearerSkip:
		c.nearer = true
		c.query.skip /= 2
	default:
		c.skipping = true
		c.query.link = ""
		c.query.skip = c.places
	}
}

// result returns the result of a pass that ended with the page a, which is empty after a
// refusal.
func (c *cursor) result(a answer) passResult {
	next := tick.Tick(0)
	if c.first {
		next = a.next
	}

	return passResult{next: next, disjoint: !c.overlaps}
}

// noEnd returns the error for an answer that cannot be read to its end.
func (c *cursor) noEnd(why string) error {
	cause := errUnproven
	if c.saidMore {
		cause = errNoEnd
	}

	return c.reader.noEnd(c.query.from, why, cause)
}

// noEnd returns the error for alerts of a time that cannot be read to their end.
func (r *odata) noEnd(at tick.Tick, why string, cause error) *Error {
	host := r.client.host

	return &Error{
		Fault: advice.Fault{
			Reason:  advice.TooLarge,
			Problem: host + " may list more alerts of " + at.String() + " than can be read: it " + why,
			Remedy:  "look at them in the portal, or narrow `filter`",
			Err:     cause,
		},
		Op:      r.facts.Reading,
		Smaller: true,
	}
}

// refused reports whether the service refuses a link or an option (trap 11 in doc.go).
// It may answer the same request without it.
func refused(err error) bool {
	return isStatus(
		err,
		http.StatusBadRequest,
		http.StatusForbidden,
		http.StatusNotFound,
		http.StatusMethodNotAllowed,
		http.StatusNotAcceptable,
		http.StatusConflict,
		http.StatusGone,
		http.StatusPreconditionFailed,
		http.StatusRequestURITooLong,
		http.StatusUnprocessableEntity,
		http.StatusNotImplemented,
	)
}
