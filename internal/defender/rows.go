package defender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"fluent-bit-defender/internal/page"
)

// pages lends page readers: their buffers are large, and most tenants are idle most of
// the time.
var pages = sync.Pool{New: func() any { return page.NewReader(nil, page.Options{}) }}

// form is what an API's list is: an OData object with an array "value", or the array
// alone. An answer in the other form is another service's, or a proxy's: an empty one
// would pass for "no alerts".
type form bool

const (
	odataList form = false
	bareList  form = true
)

// maxRows bounds an answer: twenty times what any of the APIs with pages lists at a
// time. What the legacy exporter has beyond it is read in smaller windows.
const maxRows = 200_000

// eachRow hands the rows of one answer to row. An answer that is cut short has handed
// over its whole rows first; so has one with a row that is too large, or with too many
// rows.
//
// row must not send requests: it may hold the permit for large rows.
func eachRow(p *page.Reader, body *body, want form, host string, row func(raw []byte) error) error {
	p.Reset(body)
	p.Ask(body.permit)

	var tooLarge error

	for {
		raw, err := p.Next()
		switch {
		case (err == nil || err == io.EOF) && form(p.Bare()) != want:
			return unreadable(fmt.Errorf("%w: not the documented kind of list", page.ErrNotPage), host)
		case err == nil && p.Rows() > maxRows:
			problem := fmt.Sprintf("%s sends more than %d alerts in one answer", host, maxRows)
			return tooMuch("reading an answer", problem)
		case err == nil:
			if err := row(raw); err != nil {
				return err
			}

			body.rowRead()
		case errors.Is(err, page.ErrRowTooLarge):
			tooLarge = err

			body.rowRead()
		case err == io.EOF && tooLarge != nil:
			return unreadable(tooLarge, host)
		case err == io.EOF:
			return nil
		case body.read == 0 && errors.Is(err, io.ErrUnexpectedEOF):
			return &Error{
				Op:      "reading an answer",
				Problem: host + " answered with nothing in it",
				Smaller: true,
				Remedy:  "if it lasts, check `api_url` and whether a proxy answers in its place",
			}
		default:
			return unreadable(err, host)
		}
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

	e = &Error{Op: "reading an answer", Smaller: true, Err: err}
	switch {
	case errors.Is(err, page.ErrNotPage):
		e.Problem = host + " answered with something that is not a list of alerts"
		e.Remedy = "if it lasts, check `api_url` and whether a proxy answers in its place"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Problem = "the answer of " + host + " broke off"
	default:
		e.Problem = "the answer of " + host + " cannot be read"
	}

	return e
}

// tooMuch returns the error for an answer that holds more than the reader takes at a
// time.
func tooMuch(op, problem string) *Error {
	return &Error{
		Op:       op,
		Problem:  problem,
		Remedy:   "smaller windows are read by themselves; if it lasts, exclude what is so large with `filter` where the API allows it, and look at it in the portal",
		Smaller:  true,
		TooLarge: true,
	}
}

// largeRows is the permit for rows of more than page.LargeRow bytes. A row of the
// greatest size takes some five times its bytes until Fluent Bit has it, so the process
// reads one at a time.
var largeRows = make(chan struct{}, 1)

// permit waits for the permit for large rows.
func (b *body) permit() (release func(), err error) {
	done := startWaiting(b.ctx)
	defer done()

	select {
	case largeRows <- struct{}{}:
	case <-b.ctx.Done():
		return nil, context.Cause(b.ctx)
	}

	b.pace.hold(true)

	return func() {
		b.pace.hold(false)
		<-largeRows
	}, nil
}

// isStatus reports whether err is the API's refusal with one of these codes.
func isStatus(err error, codes ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}

	for _, code := range codes {
		if e.Status == code {
			return true
		}
	}

	return false
}
