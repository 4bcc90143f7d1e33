package defender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/page"
)

// pages holds page readers for reuse: their buffers are large, and most tenants are idle
// most of the time.
var pages = sync.Pool{New: func() any { return page.NewReader(nil, page.Options{}) }}

// form is the form of an API's list: an OData object with an array "value", or the array
// alone. An answer in the other form is from another service, or from a proxy; without
// this check an empty one would count as "no alerts".
type form bool

const (
	odataList form = false
	bareList  form = true
)

// maxRows bounds the rows of an answer: twenty times the largest page of any API with
// pages. Where the legacy exporter lists more, smaller windows are read.
const maxRows = 200_000

// notAList is the remedy for an answer that is not a list of alerts.
const notAList = "if it lasts, check `api_url` and whether a proxy answers in its place"

// eachRow calls row for each row of one answer. It has called row for all whole rows
// when it returns an error because the answer is cut short, or has a row that is too
// large, or too many rows.
//
// row must not send requests: it may hold the permit for large rows.
func eachRow(p *page.Reader, body *body, want form, host string, row func(raw []byte) error) error {
	p.Reset(body)
	p.Ask(body.permit)

	var tooLarge error

	for {
		raw, err := p.Next()
		ended := errors.Is(err, io.EOF)

		switch {
		case errors.Is(err, page.ErrRowTooLarge):
			tooLarge = err

			body.rowRead()

			continue
		case err != nil && !ended:
			return body.cutShort(err, host)
		case form(p.Bare()) != want:
			return unreadable(fmt.Errorf("%w: not the documented kind of list", page.ErrNotPage), host)
		case ended && tooLarge != nil:
			return unreadable(tooLarge, host)
		case ended:
			return nil
		case p.Rows() > maxRows:
			problem := fmt.Sprintf("%s sends more than %d alerts in one answer", host, maxRows)
			return tooMuch("reading an answer", problem)
		}

		if err := row(raw); err != nil {
			return err
		}

		body.rowRead()
	}
}

// cutShort explains an answer that could not be read to its end because of err.
func (b *body) cutShort(err error, host string) error {
	if b.read > 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		return unreadable(err, host)
	}

	return &Error{
		Fault: advice.Fault{
			Reason:  advice.BadAnswer,
			Problem: host + " sent an empty answer",
			Remedy:  notAList,
		},
		Op:      "reading an answer",
		Smaller: true,
	}
}

// unreadable explains why an answer with status 200 could not be read to its end.
func unreadable(err error, host string) error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, page.ErrRowTooLarge):
		e := tooMuch(
			"reading an answer",
			fmt.Sprintf("%s lists an alert of more than %d MB", host, page.DefaultMaxRow>>20),
		)
		e.Err = err

		return e
	}

	e = &Error{Fault: advice.Fault{Reason: advice.BadAnswer, Err: err}, Op: "reading an answer", Smaller: true}
	switch {
	case errors.Is(err, page.ErrNotPage):
		e.Problem = host + " answered with something that is not a list of alerts"
		e.Remedy = notAList
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Problem = "the answer of " + host + " is incomplete"
	default:
		e.Problem = "the answer of " + host + " cannot be read"
	}

	return e
}

// tooMuch returns the error for an answer that holds more than the reader reads at a
// time.
func tooMuch(op, problem string) *Error {
	return &Error{
		Fault: advice.Fault{
			Reason:  advice.TooLarge,
			Problem: problem,
			Remedy: "smaller windows are tried by themselves; if it lasts, exclude the large alerts with `filter` " +
				"where the API allows it, and look at them in the portal",
		},
		Op:       op,
		Smaller:  true,
		TooLarge: true,
	}
}

// largeRows is the permit for rows of more than page.LargeRow bytes. The largest row
// takes about five times its size in memory until it is delivered, so the process reads
// one at a time.
var largeRows = make(chan struct{}, 1)

// permit waits for the permit for large rows. The caller gives it back with release.
func (b *body) permit() (release func(), err error) {
	giveBack, err := permitLarge(b.ctx)
	if err != nil {
		return nil, err
	}

	b.pace.hold(true)

	return func() {
		b.pace.hold(false)
		giveBack()
	}, nil
}

// permitLarge waits for the permit for large rows, outside of an answer.
func permitLarge(ctx context.Context) (release func(), err error) {
	shared, ok := ctx.Value(sharedPermitKey{}).(*sharedPermit)
	if !ok {
		return waitForPermit(ctx)
	}

	if shared.release == nil {
		shared.release, err = waitForPermit(ctx)
	}

	return func() {}, err
}

// waitForPermit waits for the permit for large rows.
func waitForPermit(ctx context.Context) (release func(), err error) {
	done := startWaiting(ctx)
	defer done()

	select {
	case largeRows <- struct{}{}:
		return func() { <-largeRows }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// sharedPermit is the permit for large rows of several requests that put one row
// together. Once one of them needs it, it is held until done.
type sharedPermit struct{ release func() }

type sharedPermitKey struct{}

// sharePermit makes all requests with the returned context share one permit for large
// rows. They must not run at the same time. done gives it back.
func sharePermit(ctx context.Context) (with context.Context, done func()) {
	shared := &sharedPermit{}

	return context.WithValue(ctx, sharedPermitKey{}, shared), func() {
		if shared.release != nil {
			shared.release()
		}
	}
}

// isStatus reports whether err is the API's refusal with one of these codes.
func isStatus(err error, codes ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}

	return slices.Contains(codes, e.Status)
}
