package defender

import (
	"context"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/tick"
)

// siem reads the legacy SIEM alert exporter ("pull detections"). One request brings a
// whole window as one bare array, unsorted. There is no paging, and `limit` drops the
// oldest alerts, so a window that cannot be read at once is read in smaller ones.
//
// Source: Microsoft's pages "Pull detections using SIEM REST API" and "Fetch alerts
// from MSSP customer tenant".
type siem struct {
	client client
	filter string
	pieces pieces
}

// smallestSpan is the length of the shortest window. It is read whole or deferred.
const smallestSpan = tick.Second

// siemOverlap is how far a request reaches into the next window. It is not documented
// which bounds are inclusive, and they have milliseconds where the service has 100 ns.
// For the same reasons the lower bound is a millisecond early.
const siemOverlap = tick.Second

// newSIEM returns the reader of the legacy alert exporter.
func newSIEM(facts *alert.Descriptor, s Settings) Reader {
	return &siem{
		client: client{
			Settings: s,
			op:       facts.Reading,
			host:     hostOf(s.BaseURL),
			denied: func(s Settings) (problem, remedy string) {
				return notAuthorised, facts.Permission.PortalRemedy(s.TenantID, s.ClientID)
			},
		},
		filter: s.Filter,
	}
}

// notAuthorised is what it means that the exporter denies access.
const notAuthorised = "the customer's tenant has not authorised this application for its SIEM API"

// hostOf returns host and port of an address, for messages.
func hostOf(base string) string {
	if u, err := url.Parse(base); err == nil && u.Host != "" {
		return u.Host
	}

	return base
}

// Read implements Reader.
func (r *siem) Read(ctx context.Context, w Window, sink Sink) error {
	return r.pieces.window(ctx, r, w, sink)
}

// ReadDeferred implements DeferringReader.
func (r *siem) ReadDeferred(ctx context.Context, w Window, sink Sink) error {
	return r.pieces.readDeferred(ctx, r, w, sink)
}

// Avoid implements DeferringReader.
func (r *siem) Avoid(w Window) { r.pieces.avoid(w) }

// piece implements piecewise with one request. The request does not reach into a
// deferred window, which would make it fail too.
func (r *siem) piece(ctx context.Context, from, to, _ tick.Tick, sink Sink) error {
	overlap := siemOverlap
	if r.pieces.adjoins(to) {
		overlap = 0
	}

	return r.window(ctx, from, to, overlap, sink)
}

// canary implements piecewise with the smallest request that is possible, for a random
// time before at.
func (r *siem) canary(ctx context.Context, at tick.Tick) error {
	from := at - 10*tick.Second - rand.N(60*tick.Minute)
	return r.window(ctx, from, from+tick.Millisecond, 0, discard{})
}

// following implements piecewise. The exporter cannot be asked for one alert.
func (r *siem) following(context.Context, tick.Tick, tick.Tick) (at tick.Tick, ok bool) {
	return 0, false
}

// finest implements piecewise.
func (r *siem) finest() tick.Tick { return smallestSpan }

// readSingly implements piecewise. It asks for the window without the overlap, and if
// that fails once more: nothing smaller can be asked for.
func (r *siem) readSingly(ctx context.Context, from, to tick.Tick, sink Sink) error {
	err := r.window(ctx, from, to, 0, sink)
	if soft(err) {
		err = r.window(ctx, from, to, 0, sink)
	}

	return err
}

// window reads [from, to), where to 0 means no bound, and overlap of the next window.
func (r *siem) window(ctx context.Context, from, to, overlap tick.Tick, sink Sink) error {
	body, err := r.client.get(ctx, r.address(from, to, overlap), nil)
	if err != nil {
		return err
	}
	defer body.Close()

	p := pages.Get().(*page.Reader)
	defer func() {
		p.Reset(nil) // frees the memory of a huge row
		pages.Put(p)
	}()

	return eachRow(p, body, bareList, r.client.host, sink.Row)
}

// address returns the address of a request. Times look as in the documentation's
// samples: with milliseconds, without a zone. The lower bound is rounded down, the
// upper one up.
func (r *siem) address(from, to, overlap tick.Tick) string {
	var b strings.Builder
	b.WriteString(r.client.BaseURL + r.client.Path + "?sinceTimeUtc=" + siemTime(from-tick.Millisecond))

	if to != 0 {
		b.WriteString("&untilTimeUtc=" + siemTime(to+overlap+tick.Millisecond-1))
	}

	if r.filter != "" {
		b.WriteString("&" + r.filter)
	}

	return b.String()
}

// siemTime returns t in milliseconds, rounded down.
func siemTime(t tick.Tick) string {
	return t.Time().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000")
}
