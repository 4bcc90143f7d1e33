package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/secret"
)

// line reads the next line of stdin; io.EOF when there is none.
func (c *cli) line(ctx context.Context) (string, error) {
	if c.lines == nil {
		c.lines = terminal.NewLines(c.In)
	}

	s, err := c.lines.Next(ctx)
	if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
		return "", fmt.Errorf("reading from the standard input: %w", err)
	}

	return s, err
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
				text := terminal.Cut(plain.Text(what(), terminal.PageColumns), c.textColumns()-10)
				fmt.Fprintf(c.bareErr, "\r\x1b[K%s (%ds)", text, n)

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
