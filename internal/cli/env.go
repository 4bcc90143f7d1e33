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

// Env is what the commands need of the world. Tests bring their own.
type Env struct {
	// In brings pasted answers and prompted values; Out has results only, Err all else.
	In       io.Reader
	Out, Err io.Writer
	// LookupEnv gives an environment variable.
	LookupEnv func(string) (string, bool)
	// Now is the clock, Sleep waits for a time or until ctx ends; nil waits on the
	// machine's clock.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
	// InTerminal, OutTerminal and ErrTerminal report whether a person is there to answer,
	// and looks at Out and Err. On a terminal what is no printable character is written
	// as an escape; a pipe gets it as it is.
	InTerminal, OutTerminal, ErrTerminal bool
	// Columns returns how wide the terminal is, 0 if that is not known; nil is for no
	// terminal.
	Columns func() int
	// Rows returns how many lines the terminal has, 0 or nil as for Columns.
	Rows func() int
	// ReadLine reads a line from the terminal, hidden or seen, and is used when
	// InTerminal. It calls prompt when nothing that is typed from then on is seen of a
	// hidden line. io.EOF: the person ended the input.
	ReadLine func(hidden bool, prompt func()) (string, error)
	// RestoreTerminal undoes what an interrupted ReadLine changed; nil where there is
	// nothing to restore.
	RestoreTerminal func()
	// OpenBrowser opens an address in the person's browser. It may take seconds, and is
	// called beside the wait for the browser's answer.
	OpenBrowser func(address string) error
	// Become gives the process, which root has started, the identity of another user;
	// nil: it stays root.
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
