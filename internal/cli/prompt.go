package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"fluent-bit-defender/internal/secret"
)

// maxLine bounds an answer in bytes.
const maxLine = 64 << 10

// lineReader reads lines without holding up an interrupt.
type lineReader struct {
	lines chan string
	err   error // valid when lines is closed
}

func newLineReader(r io.Reader) *lineReader {
	l := &lineReader{lines: make(chan string)}
	go func() {
		s := bufio.NewScanner(r)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			l.lines <- s.Text()
		}
		l.err = s.Err()
		close(l.lines)
	}()
	return l
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
	fmt.Fprint(c.Err, prompt)
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() { // a read from a terminal cannot be called off: an interrupt leaves it behind
		text, err := c.ReadPassword()
		got <- answer{text, err}
	}()
	select {
	case a := <-got:
		fmt.Fprintln(c.Err)
		if a.err != nil && !errors.Is(a.err, io.EOF) {
			return secret.Text{}, fmt.Errorf("reading the answer: %w", a.err)
		}
		return secret.New(strings.TrimSpace(a.text)), nil
	case <-ctx.Done():
		fmt.Fprintln(c.Err)
		if c.RestoreTerminal != nil {
			c.RestoreTerminal()
		}
		return secret.Text{}, ctx.Err()
	}
}

// ask asks for a value: at a terminal with a prompt, else it takes the next line of the standard input. No line is an empty answer.
func (c *cli) ask(ctx context.Context, prompt string, hidden bool) (secret.Text, error) {
	if hidden && c.InTerminal {
		return c.askSecret(ctx, prompt)
	}
	fmt.Fprint(c.Err, prompt)
	if !c.InTerminal {
		fmt.Fprintln(c.Err)
	}
	s, err := c.line(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		return secret.Text{}, err
	}
	return secret.New(strings.TrimSpace(s)), nil
}

// progress shows on stderr, if that is a terminal, what is going on when it takes longer than a second. The function it returns ends it.
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
				fmt.Fprintf(c.Err, "\r\x1b[K%s (%ds)", cut(what(), columns-10), n)
				shown = true
			case <-stop:
				if shown {
					fmt.Fprint(c.Err, "\r\x1b[K")
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
