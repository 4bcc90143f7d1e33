package cli

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/term"
)

// Env is what the commands need of the world. Tests bring their own.
type Env struct {
	// In brings pasted answers and prompted values; Out has results only, Err all else.
	In       io.Reader
	Out, Err io.Writer
	// LookupEnv gives an environment variable.
	LookupEnv func(string) (string, bool)
	// Now is the clock.
	Now func() time.Time
	// InTerminal and ErrTerminal tell whether a person is there to answer, and to watch.
	InTerminal, ErrTerminal bool
	// ReadPassword reads a line without echo; used when InTerminal.
	ReadPassword func() (string, error)
	// RestoreTerminal switches the echo on again after an interrupted ReadPassword; nil where there is nothing to restore.
	RestoreTerminal func()
	// OpenBrowser opens an address in the person's browser.
	OpenBrowser func(address string) error
}

// SystemEnv is the process's own.
func SystemEnv() Env {
	state, err := term.GetState(int(os.Stdin.Fd()))
	restore := func() {
		if err == nil {
			term.Restore(int(os.Stdin.Fd()), state) // at the end of the program; nothing is left to do if it fails
		}
	}
	return Env{
		RestoreTerminal: restore,
		In:              os.Stdin, Out: os.Stdout, Err: os.Stderr, LookupEnv: os.LookupEnv, Now: time.Now,
		InTerminal: term.IsTerminal(int(os.Stdin.Fd())), ErrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		ReadPassword: func() (string, error) {
			b, err := term.ReadPassword(int(os.Stdin.Fd()))
			return string(b), err
		},
		OpenBrowser: openBrowser,
	}
}

var errNoBrowser = errors.New("there is no screen here")

// openBrowser asks the desktop. $BROWSER is honoured by xdg-open.
func openBrowser(address string) error {
	set := func(name string) bool { return os.Getenv(name) != "" }
	if !set("DISPLAY") && !set("WAYLAND_DISPLAY") && !set("BROWSER") {
		return errNoBrowser
	}
	cmd := exec.Command("xdg-open", address)
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() // only so that no zombie stays; what it answers says nothing about the browser
	return nil
}
