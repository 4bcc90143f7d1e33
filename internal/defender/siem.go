package defender

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/tick"
)

// siem reads the legacy SIEM alert exporter ("pull detections"): one request answers a whole window as one bare array, unsorted. There is
// no paging, and `limit` drops the oldest: what cannot be read in one piece is read in smaller windows.
//
// Source: MicrosoftDocs, "Pull detections using SIEM REST API" and "Fetch alerts from MSSP customer tenant".
type siem struct {
	client client
	filter string
	// span is how large a window the service can be asked for; 0 for any. It is halved when an answer does not arrive whole
	// and doubled when one does.
	span tick.Tick
	// failures counts faults of the service in a row: one alone says nothing about the window.
	failures int
}

// smallestSpan is the window that is read whole, whatever happens.
const smallestSpan = tick.Second

// siemOverlap is how far a window reaches into the next one: it is not documented which of the bounds are inclusive, and they are
// given in milliseconds while the service keeps 100 ns. For the same reason the lower bound is asked for a millisecond early.
const siemOverlap = tick.Second

// newSIEM makes the reader of the legacy alert exporter.
func newSIEM(s Settings) Reader {
	host := hostOf(s.BaseURL)
	return &siem{
		client: client{Settings: s, op: "reading detections", service: service{
			host: host, resource: s.Resource,
			forbidden: "the customer's tenant has not authorised this application for its SIEM API",
			forbiddenRemedy: "in https://security.microsoft.com?tid=" + s.TenantID +
				" open Settings > Endpoints > APIs > SIEM > MSSP, enter application id " + s.ClientID + " and your own tenant id, and press Authorize application",
		}},
		filter: s.Filter,
	}
}

func hostOf(base string) string {
	if u, err := url.Parse(base); err == nil && u.Host != "" {
		return u.Host
	}
	return base
}

// Read walks the window in pieces of at most span, oldest first, so that each complete piece is progress.
func (r *siem) Read(ctx context.Context, w Window, sink Sink) error {
	end := w.To
	if end == 0 {
		end = w.Now
	}
	for from := w.From; ; {
		to := w.To
		if r.span > 0 && from+r.span < end {
			to = from + r.span
		}
		err := r.window(ctx, from, to, sink)
		if err != nil {
			r.shrink(err, from, to, end)
			return err
		}
		r.failures = 0
		if to == w.To {
			if r.span *= 2; r.span > 24*60*tick.Minute || from == w.From {
				r.span = 0
			}
			if to != 0 {
				return sink.Safe(to)
			}
			return nil
		}
		if err := sink.Safe(to); err != nil {
			return err
		}
		r.span *= 2
		from = to
	}
}

// shrink halves the span when the answer was not whole; after two faults of the service in a row also then.
func (r *siem) shrink(err error, from, to, end tick.Tick) {
	var e *Error
	if !errors.As(err, &e) || !e.Smaller {
		return
	}
	if r.failures++; e.Status >= 500 && r.failures < 2 {
		return
	}
	if to == 0 {
		to = end
	}
	r.span = max((to-from)/2, smallestSpan)
}

func (r *siem) window(ctx context.Context, from, to tick.Tick, sink Sink) error {
	body, err := r.client.get(ctx, r.address(from, to), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	p := pages.Get().(*page.Reader)
	defer pages.Put(p)
	return eachRow(p, body, r.client.service.host, sink)
}

// address prints the request as the documentation's samples do: milliseconds, no zone. The lower bound is rounded down, the upper one up.
func (r *siem) address(from, to tick.Tick) string {
	var b strings.Builder
	b.WriteString(r.client.BaseURL + r.client.Path + "?sinceTimeUtc=" + siemTime(from-tick.Millisecond))
	if to != 0 {
		b.WriteString("&untilTimeUtc=" + siemTime(to+siemOverlap+tick.Millisecond-1))
	}
	if r.filter != "" {
		b.WriteString("&" + r.filter)
	}
	return b.String()
}

func siemTime(t tick.Tick) string {
	return t.Time().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000")
}
