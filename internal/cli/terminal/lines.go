package terminal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

// MaxLine bounds an answer in bytes. A longer one is cut to one byte more, which shows
// that it was too long.
const MaxLine = 64 << 10

// Lines reads lines in a goroutine of its own, so that an interrupt need not wait for the
// next one.
type Lines struct {
	lines chan string
	err   error // why lines was closed; nil at the end of the input
}

// NewLines begins to read from r.
func NewLines(r io.Reader) *Lines {
	l := &Lines{lines: make(chan string)}
	go func() {
		defer close(l.lines)

		for b := bufio.NewReader(r); ; {
			s, err := cutLine(b)
			if err == nil || s != "" {
				l.lines <- s
			}

			if err != nil {
				if !errors.Is(err, io.EOF) {
					l.err = err
				}

				return
			}
		}
	}()

	return l
}

// cutLine reads a line without its end, and no more than one byte beyond MaxLine of it.
// An error may come with the last line.
func cutLine(r *bufio.Reader) (string, error) {
	var line []byte

	for {
		piece, err := r.ReadSlice('\n')

		line = append(line, piece[:min(len(piece), MaxLine+2-len(line))]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			line = bytes.TrimRight(line, "\r\n")
			return string(line[:min(len(line), MaxLine+1)]), err
		}
	}
}

// Next returns the next line without its end, or io.EOF. It returns the error of ctx
// when that ends before; the line is then left for the next call.
func (l *Lines) Next(ctx context.Context) (string, error) {
	select {
	case s, ok := <-l.lines:
		if ok {
			return s, nil
		}

		if l.err != nil {
			return "", l.err
		}

		return "", io.EOF
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
