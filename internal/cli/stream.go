package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/secret"
)

// isStdin reports whether a path means the standard input.
func isStdin(path string) bool {
	return path == "-" || path == "/dev/stdin" || path == "/dev/fd/0" || path == "/proc/self/fd/0"
}

// isStream reports whether a path means an open stream of this process: the standard
// input, or what a shell makes of <(command). Such a path is good for one reading.
func isStream(path string) bool {
	return isStdin(path) || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/")
}

// stream reads a stream to its end, at most so many bytes, unless it is interrupted.
func (c *cli) stream(ctx context.Context, path string, most int64) ([]byte, error) {
	type answer struct {
		data []byte
		err  error
	}

	got := make(chan answer, 1)

	go func() { // a read cannot be called off: an interrupt leaves it behind
		in := c.In

		if !isStdin(path) {
			f, err := os.Open(path)
			if err != nil {
				got <- answer{nil, err}
				return
			}
			defer f.Close()

			in = f
		}

		data, err := io.ReadAll(io.LimitReader(in, most))
		got <- answer{data, err}
	}()

	select {
	case a := <-got:
		return a.data, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// maxSecret bounds a secret in bytes.
const maxSecret = 64 << 10

// readSecretFile reads a secret that is alone in a file. From the standard input it takes
// one line, so that an answer to a prompt can follow; at a terminal it is asked for
// without echo.
func (c *cli) readSecretFile(ctx context.Context, flag, path string) (secret.Text, error) {
	switch {
	case isStdin(path) && c.InTerminal:
		v, err := c.askSecret(ctx, flag+": ")
		if err == nil && v.IsZero() {
			err = usagef("%s: nothing was typed", flag)
		}

		return v, err
	case isStdin(path):
		line, err := c.line(ctx)
		if err != nil && !errors.Is(err, io.EOF) {
			return secret.Text{}, err
		}

		return oneSecret(flag, "the standard input", line)
	case isStream(path):
		data, err := c.stream(ctx, path, maxSecret)
		if err != nil {
			return secret.Text{}, usagef("%s: %w", flag, err)
		}

		return oneSecret(flag, path, string(data))
	}

	if _, err := os.Stat(path); err != nil {
		return secret.Text{}, usagef("%s: the file cannot be read: %w", flag, errors.Unwrap(err))
	}

	v, err := config.ReadSecret(path)
	if err != nil {
		return secret.Text{}, usagef("%s: %w", flag, err)
	}

	return v, nil
}

// oneSecret takes the secret out of what was read.
func oneSecret(flag, from, text string) (secret.Text, error) {
	if len(text) >= maxSecret {
		return secret.Text{}, usagef("%s: %s is too long for a secret", flag, from)
	}

	t, err := config.ParseSecret([]byte(text))
	if err != nil {
		return secret.Text{}, usagef("%s: %s %w", flag, from, err)
	}

	return t, nil
}
