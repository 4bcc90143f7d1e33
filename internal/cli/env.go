package cli

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"fluent-bit-defender/internal/cli/browser"
	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/identity"
)

// Env is what the commands need from the system around them. Tests have their own.
type Env struct {
	// In is where answers and secrets are read from. Results alone go to Out, everything
	// else to Err.
	In       io.Reader
	Out, Err io.Writer
	// LookupEnv returns an environment variable, as os.LookupEnv does.
	LookupEnv func(string) (string, bool)
	// Now is the clock, Sleep waits for a time or until ctx ends; nil waits on the
	// machine's clock.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
	// InTerminal says that a person is there to answer, OutTerminal and ErrTerminal
	// that one reads Out and Err. On a terminal characters that are not printable are
	// written as escapes; a pipe gets them unchanged.
	InTerminal, OutTerminal, ErrTerminal bool
	// Columns returns how wide the terminal is, 0 if that is not known; nil is for no
	// terminal.
	Columns func() int
	// Rows returns how many lines the terminal has, 0 or nil as for Columns.
	Rows func() int
	// ReadLine reads a line from the terminal; it is used when InTerminal is set. If
	// hidden is set, what is typed is not shown, and prompt is called only when that is
	// sure. It returns io.EOF when the person ended the input.
	ReadLine func(hidden bool, prompt func()) (string, error)
	// RestoreTerminal undoes what an interrupted ReadLine changed; nil where there is
	// nothing to restore.
	RestoreTerminal func()
	// OpenBrowser opens an address in the person's browser. It may take seconds, and is
	// called beside the wait for the browser's answer.
	OpenBrowser func(address string) error
	// Become makes the process, which root has started, go on as another user. With nil
	// it stays root.
	Become func(uid int) error
}

// SystemEnv returns the Env of this process.
func SystemEnv() Env {
	t := terminal.New(os.Stdin)

	return Env{
		In:              os.Stdin,
		Out:             os.Stdout,
		Err:             os.Stderr,
		LookupEnv:       os.LookupEnv,
		Now:             time.Now,
		InTerminal:      term.IsTerminal(int(os.Stdin.Fd())),
		OutTerminal:     term.IsTerminal(int(os.Stdout.Fd())),
		ErrTerminal:     term.IsTerminal(int(os.Stderr.Fd())),
		Columns:         terminal.Columns,
		Rows:            terminal.Rows,
		ReadLine:        t.ReadLine,
		RestoreTerminal: t.Leave,
		OpenBrowser:     browser.Open,
		Become:          identity.Become,
	}
}
