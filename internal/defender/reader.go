package defender

import (
	"context"
	"fmt"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/tick"
)

// Reader reads one API of one tenant. Only one goroutine may use it at a time. Between
// calls it may remember how large a window the service was able to answer. Readers made
// by NewReader are DeferringReaders.
type Reader interface {
	// Read passes every alert of the window on to sink. Its error is an *Error, a
	// *tokens.Error, the one that sink returned, or the context's. The time up to which
	// Safe was called before the error stays safe.
	Read(ctx context.Context, w Window, sink Sink) error
}

// Window is a span of update time.
type Window struct {
	// From is the first time asked for, inclusive.
	From tick.Tick
	// To is the end of the window, exclusive; 0 means no upper bound.
	To tick.Tick
	// Now is the present by the server's clock. A window without upper bound ends there
	// if it has to be cut into pieces.
	Now tick.Tick
}

// Sink receives what a Reader reads.
type Sink interface {
	// Row receives one alert as the API sent it. raw is valid during the call only. Row
	// may wait until there is room in the buffer. If it returns an error, reading ends.
	Row(raw []byte) error
	// Safe says that Row has received every alert that the API listed and that was
	// updated before t (and not before the window's start), except in deferred windows.
	Safe(t tick.Tick) error
}

// DeferringSink is a Sink that remembers windows that cannot be read. Without it a
// window that always fails stops the reader for ever.
type DeferringSink interface {
	Sink
	// Defer receives a window that cannot be read, although the service answers other
	// requests, and the reason in one line. Either the window keeps failing and is as
	// short as possible, a millisecond (siem: a second); or the end of its list cannot
	// be found and it is one step of the clock long. Row has received what could be
	// read of it. If Defer returns nil, the reader goes on behind the window, and the
	// sink's owner tries the window again with ReadDeferred until it is read.
	Defer(w Window, reason string) error
}

// DeferringReader is a Reader that can step over windows.
type DeferringReader interface {
	Reader
	// ReadDeferred reads a window that was deferred. Its errors are those of Read. After
	// nil the sink has received all of the window, and Read no longer steps over it.
	// ReadDeferred does not call Safe.
	ReadDeferred(ctx context.Context, w Window, sink Sink) error
	// Avoid makes Read step over a window that was deferred in an earlier run.
	Avoid(w Window)
}

// NewReader returns the reader of an API. It returns an error for an unknown one.
func NewReader(api alert.API, s Settings) (Reader, error) {
	facts, err := api.Descriptor()
	if err != nil {
		return nil, err
	}

	if s.Log == nil {
		s.Log = logs.Discard()
	}

	switch facts.Protocol {
	case alert.OData:
		return newOData(facts, s), nil
	case alert.Exporter:
		return newSIEM(facts, s), nil
	}

	return nil, fmt.Errorf("api: no reader knows the protocol of %s", api)
}
