package defender

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/tick"
)

// odata reads an API with $filter, $orderby and $top: with walk.go where the service
// keeps the order that it is asked for, with slices.go where it does not.
type odata struct {
	facts  *alert.Descriptor
	client client
	pieces pieces
	field  string        // the time that windows mean
	finder *alert.Finder // of the identity and that time
	seed   maphash.Seed

	top, maxTop int       // rows asked for at a time; the most that may be
	capacity    int       // rows of the largest page since the window began: a smaller one was not cut
	fit         tick.Tick // slices.go: a span that one page holds
	orderKept   bool      // a page showed that the service keeps the order
	unordered   time.Time // when the service was found not to keep the order; zero if it does
	plainly     int       // alerts in a row that could be read only without $expand
	plainUntil  time.Time // until then, all are read without $expand
	strayed     int       // pages in a row with mostly rows from outside of the window
	warned      map[string]bool
	inner       inner // expand.go
}

// newOData returns a reader of the API that facts describes.
func newOData(facts *alert.Descriptor, s Settings) *odata {
	top := max(1, s.PageSize)

	return &odata{
		facts:  facts,
		field:  facts.Row.Window(s.ByCreation),
		finder: alert.NewFinder(&facts.Row, s.ByCreation),
		seed:   maphash.MakeSeed(),
		top:    top,
		maxTop: max(top, s.MaxPage),
		client: client{
			Settings: s,
			op:       facts.Reading,
			host:     hostOf(s.BaseURL),
			denied: func(s Settings) (problem, remedy string) {
				return forbidden(s), permissionRemedy(facts.Permission, s)
			},
		},
	}
}

// forbidden says what a refusal by the API means. At a provider's customer the permission
// came with the consent, without which there is no token.
func forbidden(s Settings) string {
	if s.abroad() {
		return "the provider's user may not read the alerts of tenant " + string(s.TenantID) +
			": the relationship (GDAP) has no role for it, or Defender's own roles keep the user out"
	}

	return "the token has no permission for this API in the customer's tenant"
}

// abroad reports whether the provider's sign-in reads the alerts of another tenant.
func (s Settings) abroad() bool { return s.Home != "" && s.Home != s.TenantID }

// permissionRemedy says which permission has to be granted, and where.
func permissionRemedy(p alert.Permission, s Settings) string {
	if s.abroad() {
		return "ask the customer for a new relationship with the role Security Reader, since the roles of one cannot " +
			"be changed, and assign the user's group to it; where Defender's own roles are in use, the customer lets " +
			"the user view the data there; the consent needs " + p.Names() + " of " + p.Service
	}

	return "add " + p.Names() + " of " + p.Service + " to application " + string(s.ClientID) +
		" and ask an administrator of tenant " + string(s.TenantID) +
		" to consent to it; a user who signed in also needs a role that may view alerts"
}

// Read implements Reader.
func (r *odata) Read(ctx context.Context, w Window, sink Sink) error {
	return r.pieces.window(ctx, r, w, sink)
}

// ReadDeferred implements DeferringReader.
func (r *odata) ReadDeferred(ctx context.Context, w Window, sink Sink) error {
	return r.pieces.readDeferred(ctx, r, w, sink)
}

// Avoid implements DeferringReader.
func (r *odata) Avoid(w Window) { r.pieces.avoid(w) }

// errOrder says that the service refuses $orderby, or does not keep the order.
var errOrder = errors.New("the service does not order its answer")

const (
	// orderSuspect is how many failures in a row make the order suspect.
	orderSuspect = 5
	// orderAgain is how long a service that did not keep the order is not asked for it.
	orderAgain = 6 * time.Hour
	// expandSuspect is how many alerts in a row must be readable only without $expand
	// before it is left out for expandAgain.
	expandSuspect = 3
	expandAgain   = time.Hour
)

// piece implements piecewise.
func (r *odata) piece(ctx context.Context, from, to, end tick.Tick, sink Sink) error {
	r.capacity = 0

	now := r.client.Now()
	if r.unordered.IsZero() || now.Sub(r.unordered) >= orderAgain {
		way := &tracker{Sink: sink}

		err := r.walk(ctx, from, to, way)
		if !errors.Is(err, errOrder) {
			if err == nil {
				r.unordered = time.Time{}
			}

			return err
		}

		from = max(from, way.safe)

		r.disorder("does not keep the order asked for")
	}

	if to == 0 {
		to = max(end, from+1)
	}

	return r.slices(ctx, from, to, sink)
}

// canary implements piecewise: the smallest request there is, for a random time before
// at.
func (r *odata) canary(ctx context.Context, at tick.Tick) error {
	from := at - 10*tick.Second - rand.N(60*tick.Minute)
	q := query{
		from:    from,
		to:      from + tick.Millisecond,
		top:     1,
		ordered: r.unordered.IsZero(),
		plain:   true,
	}
	_, err := r.fetch(ctx, q, nil, discard{})

	n := r.pieces.failures
	if soft(err) && q.ordered && n > 0 && n%orderSuspect == 0 { // the order may be the cause
		q.ordered = false
		if r.answers(ctx, q) {
			r.disorder("fails when it is asked for an order")
			return nil
		}
	}

	return err
}

// answers reports whether the service answers a request several times in a row.
func (r *odata) answers(ctx context.Context, q query) bool {
	for range proof {
		if _, err := r.fetch(ctx, q, nil, discard{}); err != nil {
			return false
		}
	}

	return true
}

// disorder makes the reader read without an order, because of a problem.
func (r *odata) disorder(problem string) {
	r.unordered = r.client.Now()
	r.orderKept = false

	r.logOnce("order", slog.LevelWarn, r.client.host+" "+problem+"; it is read in small closed windows instead")
}

// following implements piecewise. The order is not relied upon: the first row counts only
// if there is none in front of it.
func (r *odata) following(ctx context.Context, from, to tick.Tick) (at tick.Tick, ok bool) {
	q := query{
		from:    from,
		to:      to,
		top:     1,
		ordered: r.unordered.IsZero(),
		plain:   true,
	}

	a, err := r.page(ctx, q, nil, discard{})
	if err != nil || a.rows == 0 {
		return 0, err == nil && !a.more
	}

	if a.timed == 0 || a.least <= from {
		return 0, false
	}

	q.to = a.least

	before, err := r.page(ctx, q, nil, discard{})

	return a.least, err == nil && before.rows == 0 && !before.more
}

// finest implements piecewise.
func (r *odata) finest() tick.Tick { return tick.Millisecond }

// mostSingly is how many alerts of the smallest piece are read one by one, and
// failedSingly how many of them may fail in a row.
const (
	mostSingly   = 64
	failedSingly = 4
)

// singly implements piecewise: it reads one row at a time, by its place, and without
// $expand if the row cannot be read with it.
func (r *odata) singly(ctx context.Context, from, to tick.Tick, sink Sink) error {
	var failed error // the last error of a row

	known := keys{}
	failures := 0 // in a row
	stale := 0    // rows that came before

	for place := range mostSingly {
		q := query{
			from:    from,
			to:      to,
			top:     1,
			skip:    place,
			ordered: r.unordered.IsZero(),
		}

		a, err := r.single(ctx, q, known, sink)
		if soft(err) {
			failed = err

			failures++
			if failures == failedSingly {
				return failed
			}

			continue
		}

		switch {
		case place > 0 && refused(err):
			return r.noEnd(from, "refuses $skip", errNoEnd)
		case err != nil:
			return err
		case a.rows == 0:
			if stale > 0 {
				failed = cmp.Or(failed, error(r.noEnd(from, "lists them in another order each time", errNoEnd)))
			}

			return failed
		case a.fresh == 0:
			stale++
		}

		if stale == failedSingly { // it does not honour $skip
			return cmp.Or(failed, error(r.noEnd(from, "ignores $skip", errNoEnd)))
		}

		failures = 0

		known.union(a.keys)
	}

	return cmp.Or(failed, error(r.noEnd(from, "has too many of them to be read one by one", errNoEnd)))
}

// single fetches a page of one row, without $expand if it cannot be read with it.
func (r *odata) single(ctx context.Context, q query, known keys, sink Sink) (answer, error) {
	a, err := r.page(ctx, q, known, sink)
	if !soft(err) || r.facts.Expand == "" || r.facts.Inner.Path != "" {
		return a, err // expand.go has tried it without $expand already
	}

	q.plain = true

	a, err = r.page(ctx, q, known, sink)
	if err == nil && a.rows > 0 {
		r.readPlainly()
	}

	return a, err
}

// readPlainly notes an alert that could be read only without $expand. After several in a
// row, all are read without it for a while.
func (r *odata) readPlainly() {
	r.logOnce("plain", slog.LevelWarn,
		"an alert cannot be read with $expand="+r.facts.Expand+" and is emitted without it")

	r.plainly++
	if r.plainly >= expandSuspect {
		r.plainUntil = r.client.Now().Add(expandAgain)
		r.logOnce("all plain", slog.LevelWarn, r.client.host+" fails with $expand="+r.facts.Expand+
			"; alerts are emitted without it, and it is tried again every hour")
	}
}
