package defender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"fluent-bit-defender/internal/page"
)

// pages lends page readers: their buffers are large, and most tenants are idle most of the time.
var pages = sync.Pool{New: func() any { return page.NewReader(nil, page.Options{}) }}

// form is what an API's list is: an OData object with an array "value", or the array alone. An answer in the other form is another
// service's, or a proxy's: an empty one would pass for "no alerts".
type form bool

const (
	odataList form = false
	bareList  form = true
)

// eachRow hands the rows of one answer to row. An answer that is cut short has handed over its whole rows first; so has one with a row
// that is too large.
func eachRow(p *page.Reader, body io.Reader, want form, host string, row func(raw []byte) error) error {
	p.Reset(body)
	var tooLarge error
	for {
		raw, err := p.Next()
		switch {
		case (err == nil || err == io.EOF) && form(p.Bare()) != want:
			return unreadable(fmt.Errorf("%w: not the documented kind of list", page.ErrNotPage), host)
		case err == nil:
			if err := row(raw); err != nil {
				return err
			}
		case errors.Is(err, page.ErrRowTooLarge):
			tooLarge = err
		case err == io.EOF && tooLarge != nil:
			return unreadable(tooLarge, host)
		case err == io.EOF:
			return nil
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
	case errors.Is(err, page.ErrNotPage):
		return &Error{Op: "reading an answer", Problem: host + " answered with something that is not a list of alerts", Smaller: true,
			Remedy: "if it lasts, check `api_url` and whether a proxy answers in its place", Err: err}
	case errors.Is(err, page.ErrRowTooLarge):
		return &Error{Op: "reading an answer", Problem: host + " lists an alert that is too large to be taken in", Smaller: true, Err: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Op: "reading an answer", Problem: "the answer of " + host + " broke off", Smaller: true, Err: err}
	}
	return &Error{Op: "reading an answer", Problem: "the answer of " + host + " cannot be read", Smaller: true, Err: err}
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
