package cli_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/cli"
)

// startAs runs a command without a --data-dir of its own.
func (w *world) startAs(ctx context.Context, out, errs io.Writer, args ...string) int {
	return cli.Run(ctx, cli.Env{
		In:          strings.NewReader(""),
		Out:         out,
		Err:         errs,
		Now:         w.now,
		OpenBrowser: w.browser,
		LookupEnv:   func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
	}, args)
}

// atTerminal runs a command with a person in front of it: lines are what they type,
// passwords what they type unseen.
func (w *world) atTerminal(lines, password string, args ...string) result {
	var out, errs lockedBuffer

	code := cli.Run(
		w.t.Context(),
		cli.Env{
			Out:         &out,
			Err:         &errs,
			Now:         w.now,
			OpenBrowser: w.browser,
			InTerminal:  true,
			ErrTerminal: true,
			ReadLine: func(hidden bool, prompt func()) (string, error) {
				prompt()

				if hidden {
					return password, nil
				}

				line, rest, more := strings.Cut(lines, "\n")
				lines = rest

				if !more && line == "" {
					return "", io.EOF
				}

				return line, nil
			},
			LookupEnv: func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
		},
		append([]string{"--data-dir", w.dir}, args...),
	)

	return result{code, out.String(), errs.String()}
}

func TestTheSecretIsAskedForWithoutEchoWhenAPersonIsThere(t *testing.T) {
	w := newWorld(t)
	r := w.expect(w.atTerminal("", appSecret, w.signIn(client, "graph")...), 0)
	contains(t, r.err, "Application secret")
	noSecret(t, r)
	w.expect(w.atTerminal("", "", w.signIn(public, "graph")...), 0)
}

func TestRemovingAsksFirstWhenAPersonIsThere(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	contains(t, w.expect(w.atTerminal("n\n", "", "tokens", "remove", "contoso"), 1).err, "nothing was removed")
	w.expect(w.atTerminal("", "", "tokens", "remove", "contoso"), 1)
	w.expect(w.atTerminal("y\n", "", "tokens", "remove", "contoso"), 0)
	w.expect(w.run(w.acquire("siem")...), 0)
	w.expect(w.atTerminal("", "", "tokens", "remove", "contoso", "--yes"), 0)
}

func TestProgressIsShownAtATerminalAfterASecondOnly(t *testing.T) {
	w := newWorld(t)
	slow := func(address string) error {
		go func() {
			timer := time.NewTimer(1500 * time.Millisecond)
			<-timer.C
			w.visit(address)
		}()

		return nil
	}

	begun := time.Now()
	if r := w.expect(w.atTerminal("", "", w.acquire("graph")...), 0); strings.Contains(r.err, "\r") &&
		time.Since(begun) < time.Second {
		t.Errorf("progress of what was quick: %q", r.err)
	}

	w.browser = slow
	r := w.expect(w.atTerminal("", "", w.acquire("graph")...), 0)
	if !strings.Contains(r.err, "waiting for the browser at http://localhost:") ||
		!strings.HasSuffix(r.err, "\x1b[K") || strings.Contains(r.out, "\x1b") {
		t.Errorf("no progress, or it stayed: %q", r.err)
	}

	if r := w.expect(w.run(w.acquire("graph")...), 0); strings.Contains(r.err, "\r") {
		t.Errorf("progress without a terminal: %q", r.err)
	}
}

func TestAnInterruptAtASecretBringsTheEchoBack(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	restored := false

	var errs lockedBuffer

	never := make(chan struct{})
	defer close(never)

	code := cli.Run(ctx, cli.Env{
		In:         strings.NewReader(""),
		Out:        io.Discard,
		Err:        &errs,
		Now:        w.now,
		InTerminal: true,
		ReadLine: func(_ bool, prompt func()) (string, error) {
			prompt()
			cancel()
			<-never // the person pressed Ctrl-C instead of Enter

			return "", io.EOF
		},
		RestoreTerminal: func() { restored = true },
		LookupEnv:       func(string) (string, bool) { return "", false },
	}, []string{"--data-dir", w.dir, "tokens", "acquire", "--tenant-id", contoso, "--client-id", client, "--api",
		"graph"})
	if code != 130 || !restored {
		t.Errorf("exit code %d, restored %v: %s", code, restored, errs.String())
	}
}
