package defender

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/tick"
)

// odata reads an API with $filter, $orderby and $top: as in walk.go if the service keeps
// the order that it is asked for, as in slices.go if it does not.
type odata struct {
	facts  *alert.Descriptor
	client client
	pieces pieces
	field  string        // the name of the time that windows filter by
	finder *alert.Finder // finds the identity and that time
	seed   maphash.Seed

	top, maxTop int       // rows asked for at a time; the most that may be asked for
	capacity    int       // rows of the largest page since the window began: a smaller one was not cut
	fit         tick.Tick // slices.go: a span that fits into one page
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

// canary implements piecewise with the smallest request that is possible, for a random
// time before at.
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

// disorder makes the reader read without asking for an order, and logs why.
func (r *odata) disorder(problem string) {
	r.unordered = r.client.Now()
	r.orderKept = false

	r.logOnce("order", slog.LevelWarn, r.client.host+" "+problem+"; it is read in small closed windows instead")
}

// following implements piecewise. It does not rely on the order: the first row counts
// only if a second request finds no row before it.
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
