package defender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/page"
)

// pages holds page readers for reuse: their buffers are large, and most tenants are idle
// most of the time.
var pages = sync.Pool{New: func() any { return page.NewReader(nil, page.Options{}) }}

// form is the form of an API's list: an OData object with an array "value", or the array
// alone. An answer in the other form is from another service, or from a proxy. If it were
// accepted and empty, it would mean that there are no alerts.
type form bool

const (
	odataList form = false
	bareList  form = true
)

// maxRows bounds the rows of an answer: twenty times the largest page of any API with
// pages. If the legacy exporter lists more, smaller windows are read.
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

// tooMuch returns the error for an answer that is larger than a reader accepts.
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
