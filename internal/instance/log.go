package instance

import (
	"fmt"
	"sync"

	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config/plain"
)

// logger keeps the lines of goroutines until Fluent Bit's thread comes by: only from
// there do they reach log_file.
type logger struct {
	host  Host
	level collect.Level

	mu      sync.Mutex
	lines   []line
	dropped int
	closed  bool
}

type line struct {
	level collect.Level
	text  string
}

// maxLines bounds what is kept between two ticks, maxLine what Fluent Bit prints of one
// line.
const (
	maxLines = 1000
	maxLine  = 3500
)

func newLogger(h Host) *logger {
	l := &logger{host: h, level: collect.Error}
	for level := collect.Trace; level > collect.Error; level-- {
		if h.LogEnabled(int(level)) {
			l.level = level
			break
		}
	}

	return l
}

// log queues one line about a tenant; an empty tenant means the whole input.
func (l *logger) log(level collect.Level, tenant, text string) {
	if level > l.level {
		return
	}

	name := "input:defender"
	if tenant != "" {
		name += ":" + tenant
	}

	text = plain.Line("["+name+"] "+text, maxLine)

	l.mu.Lock()
	defer l.mu.Unlock()

	if l.closed {
		return
	}

	if len(l.lines) >= maxLines {
		l.dropped++
		return
	}

	l.lines = append(l.lines, line{level, text})
}

// flush prints what is queued; on Fluent Bit's thread only.
func (l *logger) flush() {
	l.mu.Lock()
	lines, dropped := l.lines, l.dropped
	l.lines, l.dropped = nil, 0
	l.mu.Unlock()

	for _, line := range lines {
		if l.host.LogEnabled(int(line.level)) {
			l.host.Log(int(line.level), line.text)
		}
	}

	if dropped > 0 {
		l.host.Log(int(collect.Warn), fmt.Sprintf("[input:defender] %d more lines were dropped", dropped))
	}
}

// close prints the rest; afterwards Fluent Bit's logger must not be called any more.
func (l *logger) close() {
	l.flush()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
}
