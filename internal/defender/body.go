package defender

import (
	"context"
	"errors"
	"io"
	"time"

	"fluent-bit-defender/internal/advice"
)

// mostBytes bounds an answer: the largest page, full of alerts with half a megabyte of
// evidence each.
const mostBytes = 5_000_000_000

// body is the body of an answer. It watches that bytes keep coming while it is read. Time
// in which it is not read, because the buffer is full, does not count.
type body struct {
	c      *client
	ctx    context.Context
	cancel context.CancelCauseFunc
	guard  *watchdog
	pace   pace
	from   io.ReadCloser
	read   int64 // bytes read so far
	left   int64 // bytes that may still come
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	left, reason := b.pace.next()
	done := startWaiting(b.ctx)
	began := time.Now()

	b.guard.start(left, reason)
	n, err := b.from.Read(p)
	b.guard.stop()
	b.pace.waited(time.Since(began), n)
	done()

	b.read += int64(n)
	if b.left -= int64(n); b.left < 0 && err == nil {
		return n, tooMuch(b.c.op, b.c.host+" sends an endless answer")
	}

	if err != nil && !errors.Is(err, io.EOF) {
		err = b.c.networkError(b.ctx, err, false)
	}

	return n, err
}

// rowRead notes that a whole row has arrived.
func (b *body) rowRead() { b.pace.rowRead() }

// Close ends the request, whether or not the answer has ended.
func (b *body) Close() error {
	b.guard.stop()
	b.cancel(nil)

	return b.from.Close()
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
