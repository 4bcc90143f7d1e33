package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/secret"
)

// maxLine bounds an answer in bytes. A longer one is cut to one byte more, which shows
// that it was too long.
const maxLine = 64 << 10

// lineReader reads lines without holding up an interrupt.
type lineReader struct {
	lines chan string
	err   error // valid when lines is closed
}

func newLineReader(r io.Reader) *lineReader {
	l := &lineReader{lines: make(chan string)}
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

// cutLine reads a line without its end, and no more than one byte beyond maxLine of it.
// An error may come with the last line.
func cutLine(r *bufio.Reader) (string, error) {
	var line []byte

	for {
		piece, err := r.ReadSlice('\n')

		line = append(line, piece[:min(len(piece), maxLine+2-len(line))]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			line = bytes.TrimRight(line, "\r\n")
			return string(line[:min(len(line), maxLine+1)]), err
		}
	}
}

// line reads the next line of stdin; io.EOF when there is none.
func (c *cli) line(ctx context.Context) (string, error) {
	if c.lines == nil {
		c.lines = newLineReader(c.In)
	}

	select {
	case s, ok := <-c.lines.lines:
		if ok {
			return s, nil
		}

		if c.lines.err != nil {
			return "", fmt.Errorf("reading from the standard input: %w", c.lines.err)
		}

		return "", io.EOF
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// askSecret asks for a secret without echo. An empty answer is the zero Text.
func (c *cli) askSecret(ctx context.Context, prompt string) (secret.Text, error) {
	s, err := c.fromTerminal(ctx, prompt, true)
	if err != nil && !errors.Is(err, io.EOF) {
		return secret.Text{}, err
	}

	return secret.New(strings.TrimSpace(s)), nil
}

// fromTerminal asks the person at the terminal for a line; io.EOF when they ended the
// input.
func (c *cli) fromTerminal(ctx context.Context, prompt string, hidden bool) (string, error) {
	type answer struct {
		text string
		err  error
	}

	got := make(chan answer, 1)

	go func() { // a read from a terminal cannot be called off: an interrupt leaves it behind
		text, err := c.ReadLine(hidden, func() { fmt.Fprint(c.Err, prompt) })
		got <- answer{text, err}
	}()

	select {
	case a := <-got:
		if hidden || a.err != nil {
			fmt.Fprintln(c.Err)
		}

		return a.text, a.err
	case <-ctx.Done():
		fmt.Fprintln(c.Err)

		if c.RestoreTerminal != nil {
			c.RestoreTerminal()
		}

		return "", ctx.Err()
	}
}

// answer asks for a line: at a terminal the person, else it takes the next line of the
// standard input; io.EOF when there is none.
func (c *cli) answer(ctx context.Context, prompt string, hidden bool) (string, error) {
	if c.InTerminal {
		return c.fromTerminal(ctx, prompt, hidden)
	}

	fmt.Fprintln(c.Err, prompt)

	return c.line(ctx)
}

// ask asks for a value. No line is an empty answer.
func (c *cli) ask(ctx context.Context, prompt string, hidden bool) (secret.Text, error) {
	s, err := c.answer(ctx, prompt, hidden)
	if err != nil && !errors.Is(err, io.EOF) {
		return secret.Text{}, err
	}

	return secret.New(strings.TrimSpace(s)), nil
}

// progress shows on stderr, if that is a terminal, what the command waits for when that
// takes longer than a second. The function that it returns ends it.
func (c *cli) progress(what func() string) (done func()) {
	if !c.ErrTerminal {
		return func() {}
	}

	stop := make(chan struct{})

	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()

		shown := false

		for n := 1; ; n++ {
			select {
			case <-t.C:
				fmt.Fprintf(c.bareErr, "\r\x1b[K%s (%ds)", cut(plain.Text(what(), columns), c.textColumns()-10), n)

				shown = true
			case <-stop:
				if shown {
					fmt.Fprint(c.bareErr, "\r\x1b[K")
				}

				return
			}
		}
	})

	return sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
}

// tellBetween writes a line to stderr while the progress may be shown there.
func (c *cli) tellBetween(format string, args ...any) {
	if c.ErrTerminal {
		fmt.Fprint(c.bareErr, "\r\x1b[K")
	}

	c.tell("%s", c.wrap(fmt.Sprintf(format, args...), ""))
}
