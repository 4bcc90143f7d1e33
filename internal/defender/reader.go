package defender

import (
	"context"
	"fmt"

	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/tick"
)

// Reader reads one API of one tenant. It is used by one goroutine at a time; it may
// remember between calls how large a window the service was able to answer. Readers
// made by NewReader are DeferringReaders.
type Reader interface {
	// Read hands every alert of the window to sink. An error is an *Error, a
	// *tokens.Error, what the sink returned, or the context's; what was reported Safe
	// before it stays safe.
	Read(ctx context.Context, w Window, sink Sink) error
}

// Window is a span of update time.
type Window struct {
	// From is the first time asked for, inclusive.
	From tick.Tick
	// To is the first time no longer asked for; 0 means no upper bound.
	To tick.Tick
	// Now is the present as the server sees it, where a window without upper bound ends
	// if it has to be cut into pieces.
	Now tick.Tick
}

// Sink takes what a Reader reads.
type Sink interface {
	// Row takes one alert as the API sent it. raw is valid during the call only. Row
	// may wait (for the buffer); an error ends the read.
	Row(raw []byte) error
	// Safe says that every alert updated before t (and not before the window's start)
	// that the API listed was given to Row, but for what was deferred.
	Safe(t tick.Tick) error
}

// DeferringSink is a Sink that keeps what cannot be read. Without it a window that
// fails for ever holds up the walk for ever.
type DeferringSink interface {
	Sink
	// Defer takes a window that cannot be read for the given reason, one line, while
	// the service answers other requests: it keeps failing, and is a millisecond long
	// (siem: a second), or its end cannot be found, and it is one step of the clock
	// long. Rows of it that could be read were given to Row. After nil the walk goes on
	// behind the window. Whoever took it tries it again, with ReadDeferred, until it is
	// read.
	Defer(w Window, reason string) error
}

// DeferringReader is a Reader that can step over windows.
type DeferringReader interface {
	Reader
	// ReadDeferred reads a window that was deferred. Its error is like that of Read;
	// nil says that all of it was handed to sink, and Read no longer steps over it.
	// Safe is not called.
	ReadDeferred(ctx context.Context, w Window, sink Sink) error
	// Avoid makes Read step over a window that another Reader deferred: in an earlier
	// run.
	Avoid(w Window)
}

// NewReader makes the reader of an API.
func NewReader(api cloud.API, s Settings) (Reader, error) {
	switch api {
	case cloud.SIEM:
		return newSIEM(s), nil
	case cloud.Endpoint, cloud.Graph, cloud.Incidents:
		return newOData(api, s), nil
	}

	return nil, fmt.Errorf("api: there is no API %q", api)
}
