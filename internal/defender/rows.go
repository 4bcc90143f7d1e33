package defender

import (
	"context"
	"errors"
	"io"
	"sync"

	"fluent-bit-defender/internal/page"
)

// pages lends page readers: their buffers are large, and most tenants are idle most of the time.
var pages = sync.Pool{New: func() any { return page.NewReader(nil, page.Options{}) }}

// eachRow hands the rows of one answer to sink. An answer that is cut short has handed over its whole rows first.
func eachRow(p *page.Reader, body io.Reader, host string, sink Sink) error {
	p.Reset(body)
	for {
		row, err := p.Next()
		switch {
		case err == nil:
			if err := sink.Row(row); err != nil {
				return err
			}
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
	case errors.As(err, &e), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Op: "reading an answer", Problem: "the answer of " + host + " broke off", Smaller: true, Err: err}
	case errors.Is(err, page.ErrNotPage):
		return &Error{Op: "reading an answer", Problem: host + " answered with something that is not a list of alerts",
			Remedy: "if it lasts, check `api_url` and whether a proxy answers in its place", Err: err}
	}
	return &Error{Op: "reading an answer", Problem: "the answer of " + host + " cannot be read", Smaller: true, Err: err}
}
