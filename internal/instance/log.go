package instance

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/logs"
)

// Fluent Bit's log levels (flb_log.h).
const (
	hostError = 1 + iota
	hostWarn
	hostInfo
	hostDebug
	hostTrace
)

// hostLevel returns Fluent Bit's level for one of slog.
func hostLevel(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return hostError
	case l >= slog.LevelWarn:
		return hostWarn
	case l >= slog.LevelInfo:
		return hostInfo
	case l >= slog.LevelDebug:
		return hostDebug
	default:
		return hostTrace
	}
}

// logQueue keeps the lines of all goroutines until Fluent Bit's thread prints them:
// only lines that are printed on that thread reach log_file.
type logQueue struct {
	host  Host
	level int // the most verbose of Fluent Bit's levels that it prints

	mu      sync.Mutex // guards the fields below
	lines   []line
	dropped int
	closed  bool
}

type line struct {
	level int
	text  string
}

// maxLines is how many lines are kept between two ticks, maxLine how many bytes Fluent
// Bit prints of one line.
const (
	maxLines = 1000
	maxLine  = 3500
)

// newLogQueue returns the queue of an instance. It asks the host for its log level, so it
// is called on Fluent Bit's thread.
func newLogQueue(h Host) *logQueue {
	q := &logQueue{host: h, level: hostError}

	for level := hostTrace; level > hostError; level-- {
		if h.LogEnabled(level) {
			q.level = level
			break
		}
	}

	return q
}

// logger returns the logger of the whole input.
func (q *logQueue) logger() *slog.Logger { return slog.New(lineHandler{queue: q}) }

// add queues one line.
func (q *logQueue) add(level int, text string) {
	q.mu.Lock()
	defer q.mu.Unlock()

	if q.closed {
		return
	}

	if len(q.lines) >= maxLines {
		q.dropped++
		return
	}

	q.lines = append(q.lines, line{level, text})
}

// flush prints what is queued. It is called on Fluent Bit's thread only.
func (q *logQueue) flush() {
	q.mu.Lock()
	lines, dropped := q.lines, q.dropped
	q.lines, q.dropped = nil, 0
	q.mu.Unlock()

	for _, line := range lines {
		if q.host.LogEnabled(line.level) {
			q.host.Log(line.level, line.text)
		}
	}

	if dropped > 0 {
		q.host.Log(hostWarn, fmt.Sprintf("[input:defender] %d more lines were dropped", dropped))
	}
}

// close prints the rest. Lines that are added afterwards are dropped, since Fluent
// Bit's log must not be used any more. It is called on Fluent Bit's thread only.
func (q *logQueue) close() {
	q.flush()

	q.mu.Lock()
	defer q.mu.Unlock()

	q.closed = true
}

// lineHandler writes records to a logQueue as lines of Fluent Bit's form:
//
//	[input:defender:contoso] works again
//
// The attribute logs.TenantKey names the tenant; other attributes follow the text as
// key=value.
type lineHandler struct {
	queue  *logQueue
	tenant string
	attrs  string // the other attributes, each with a space before it
	group  string // prefix of the keys to come
}

// Enabled implements slog.Handler.
func (h lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return hostLevel(level) <= h.queue.level
}

// Handle implements slog.Handler.
func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		h = h.with(a)
		return true
	})

	name := "input:defender"
	if h.tenant != "" {
		name += ":" + h.tenant
	}

	h.queue.add(hostLevel(r.Level), plain.Line("["+name+"] "+r.Message+h.attrs, maxLine))

	return nil
}

// WithAttrs implements slog.Handler.
func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h = h.with(a)
	}

	return h
}

// WithGroup implements slog.Handler.
func (h lineHandler) WithGroup(name string) slog.Handler {
	h.group += name + "."
	return h
}

// with returns the handler with one more attribute.
func (h lineHandler) with(a slog.Attr) lineHandler {
	value := a.Value.Resolve().String()

	switch {
	case a.Key == logs.TenantKey && h.group == "":
		h.tenant = value
	case strings.ContainsAny(value, " \"="):
		h.attrs += fmt.Sprintf(" %s%s=%q", h.group, a.Key, value)
	default:
		h.attrs += " " + h.group + a.Key + "=" + value
	}

	return h
}
