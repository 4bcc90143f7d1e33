package defender

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net/http"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/tick"
)

// query is one request: for rows whose time is in [from, to), where to 0 means no bound,
// without the first skip ones; or for the page that a link leads to.
type query struct {
	from, to  tick.Tick
	top, skip int
	ordered   bool
	plain     bool // without $expand
	link      string
	each      func(key uint64, at tick.Tick) // called for every row, if it is not nil
}

// answer describes one page.
type answer struct {
	top        int // rows asked for
	rows       int // different rows
	fresh      int // rows that the caller did not know
	keys       keys
	least      tick.Tick // least time
	last       tick.Tick // greatest time
	next       tick.Tick // least time after the query's from
	timed      int       // rows that have a time
	outside    int       // of those, rows far outside of the window
	disordered bool
	more       bool   // the service says that there is more
	link       string // the link to it, if that may be used
}

// mostStrayed is how many pages in a row may have mostly rows from outside of the
// window, if each has only one or two of them.
const mostStrayed = 10

// keys is a set of rows, each known by a hash of its identity and time; of its bytes
// where it has no identity.
type keys map[uint64]struct{}

// union adds b to a.
func (a keys) union(b keys) {
	for k := range b {
		a[k] = struct{}{}
	}
}

// fetchPage reads one page and passes its rows on to sink. Rows in known are not fresh;
// known may be nil.
func (r *odata) fetchPage(ctx context.Context, q query, known keys, sink Sink) (a answer, err error) {
	q.plain = q.plain || r.client.Now().Before(r.plainUntil)

	body, err := r.client.get(ctx, r.address(q), r.header())
	if err != nil {
		return a, err
	}
	defer body.Close()

	p := pages.Get().(*page.Reader)
	defer func() {
		p.Reset(nil) // frees the memory of a huge row
		pages.Put(p)
	}()

	a.top, a.keys = q.top, keys{}

	err = eachRow(p, body, odataList, r.client.host, func(raw []byte) error {
		r.note(&a, q, known, raw)
		return sink.Row(raw)
	})
	if err != nil {
		return a, err
	}

	if err := r.strays(a); err != nil {
		return a, err
	}

	a.rows = len(a.keys) // a row that comes twice takes one place

	r.capacity = max(r.capacity, a.rows)
	if a.rows > 0 && !q.plain {
		r.plainly = 0
	}

	a.more, a.link = r.checkLink(p.NextLink(), q)

	return a, nil
}

// strays returns an error if the rows of the last pages show that the service ignores the
// filter by time.
func (r *odata) strays(a answer) error {
	switch {
	case a.outside*2 > a.timed:
		r.strayed++
	case a.timed > 0:
		r.strayed = 0
	}

	if r.strayed == 0 || a.outside < 3 && r.strayed < mostStrayed {
		return nil
	}

	r.strayed = 0
	host := r.client.host

	return &Error{
		Fault: advice.Fault{
			Reason:  advice.BadAnswer,
			Fate:    advice.NeedsFix,
			Problem: host + " ignores the time filter: it lists alerts from outside of the window asked for",
			Remedy: "check `filter` and `api_url`, and whether a proxy changes addresses " +
				"(without its $ an option is ignored, and the service lists everything)",
		},
		Op:     r.facts.Reading,
		Status: http.StatusOK,
	}
}

// slack is how far outside of a window a row's time may be: services print times less
// exactly than they compare them.
const slack = 2 * tick.Second

// note adds a row to the description of its page.
func (r *odata) note(a *answer, q query, known keys, raw []byte) {
	identity, at := r.finder.Find(raw)

	key := r.key(raw, identity, at)
	if q.each != nil {
		q.each(key, at)
	}

	a.rows++

	a.keys[key] = struct{}{}
	if _, ok := known[key]; !ok {
		a.fresh++
	}

	if at == 0 {
		return // a row without a time has no place in the order
	}

	a.timed++
	if at < q.from-slack || q.to != 0 && at > q.to+slack {
		a.outside++
	}

	a.disordered = a.disordered || at < a.last

	a.last = max(a.last, at)
	if a.least == 0 || at < a.least {
		a.least = at
	}

	if at > q.from && (a.next == 0 || at < a.next) {
		a.next = at
	}
}

// key returns the key of a row, which differs from those of other rows of the same
// window. If an alert inside an incident changes without a new time, the key stays the
// same: otherwise a reader that reads until nothing is new might never end.
func (r *odata) key(raw, identity []byte, at tick.Tick) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)

	if identity == nil || at == 0 {
		_, _ = h.Write(raw)
		return h.Sum64()
	}

	_, _ = h.Write(identity)
	maphash.WriteComparable(&h, at)

	return h.Sum64()
}

// header returns the header that every request has, nil if there is none.
func (r *odata) header() http.Header {
	if r.facts.Prefer == "" {
		return nil
	}

	return http.Header{"Prefer": {r.facts.Prefer}}
}

// logOnce writes a line to the log, once for each value of about.
func (r *odata) logOnce(about string, level slog.Level, text string) {
	if r.warned[about] {
		return
	}

	if r.warned == nil {
		r.warned = make(map[string]bool) // most readers never need it
	}

	r.warned[about] = true
	r.client.Log.Log(context.Background(), level, text)
}
