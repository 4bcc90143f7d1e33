// Package terminal is for commands that a person uses at a terminal: it reads lines,
// hidden ones too, and writes texts and tables that fit the screen.
package terminal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Terminal reads answers from the person's terminal, one character at a time and
// without the kernel's editing: that would cut a line after 4095 bytes, which a pasted
// address may exceed, and echo would show what is typed while a prompt for a secret
// appears.
type Terminal struct {
	in *os.File

	mu    sync.Mutex
	saved *unix.Termios // the settings before ReadLine; nil if they are in force
	left  bool          // nobody waits for an answer any more
}

// New returns the terminal that in reads from.
func New(in *os.File) *Terminal { return &Terminal{in: in} }

// ReadLine reads a line. It turns the echo off before it calls prompt. Before a hidden
// line it also drops what was typed ahead, which everybody could see. It returns io.EOF
// if the person has ended the input.
func (t *Terminal) ReadLine(hidden bool, prompt func()) (string, error) {
	if err := t.prepare(hidden); err != nil {
		return "", fmt.Errorf("preparing the terminal: %w", err)
	}
	defer t.restore()

	prompt()

	shown := io.Writer(t.in)
	if hidden {
		shown = io.Discard
	}

	s, err := editLine(t.in, shown)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading from the terminal: %w", err)
	}

	return s, err
}

func (t *Terminal) prepare(flush bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()

	if t.left {
		return os.ErrClosed
	}

	fd := int(t.in.Fd())

	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}

	now := *was
	now.Lflag &^= unix.ECHO | unix.ICANON
	now.Lflag |= unix.ISIG
	now.Iflag |= unix.ICRNL
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0

	set := uint(unix.TCSETS)
	if flush {
		set = unix.TCSETSF
	}

	if err := unix.IoctlSetTermios(fd, set, &now); err != nil {
		return err
	}

	t.saved = was

	return nil
}

// Leave restores the terminal for good. It is called when nobody waits for a line any
// more: a read that still goes on must not change the terminal again.
func (t *Terminal) Leave() {
	t.mu.Lock()
	t.left = true
	t.mu.Unlock()
	t.restore()
}

// restore sets the terminal back to what it was before ReadLine.
func (t *Terminal) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()

	if t.saved != nil {
		_ = unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, t.saved) // there is nothing left to do if it fails
		t.saved = nil
	}
}

// The keys that edit a line, which are the kernel's defaults.
const (
	keyEnd   = 0x04 // Ctrl-D
	keyErase = 0x08 // Backspace, on some terminals
	keyKill  = 0x15 // Ctrl-U
	keyDel   = 0x7f // Backspace
)

// editLine reads up to the end of a line and echoes it. It drops what exceeds MaxLine,
// and returns io.EOF only if the line is empty. It reads byte by byte, since what
// follows the line is for the next reader.
func editLine(r io.Reader, echo io.Writer) (string, error) {
	e := lineEditor{echo: echo}

	var b [1]byte

	for {
		n, err := r.Read(b[:])
		if n == 0 && err == nil {
			continue
		}

		if errors.Is(err, io.EOF) && len(e.line) > 0 {
			return string(e.line), nil
		}

		if err != nil {
			return "", err
		}

		switch c := b[0]; {
		case c == '\n' || c == '\r':
			fmt.Fprint(echo, "\n")
			return string(e.line), nil
		case c == keyEnd && len(e.line) == 0:
			return "", io.EOF
		default:
			e.key(c)
		}
	}
}

// lineEditor is a line that is being typed.
type lineEditor struct {
	line []byte
	echo io.Writer
}

// key takes one byte that does not end the line.
func (e *lineEditor) key(c byte) {
	switch {
	case c == keyErase || c == keyDel:
		e.erase()
	case c == keyKill:
		for len(e.line) > 0 {
			e.erase()
		}
	case c < ' ' && c != '\t' || len(e.line) > MaxLine:
	default:
		e.line = append(e.line, c)
		e.echo.Write([]byte{c}) // what the person sees is no result
	}
}

// erase removes the last character, if there is one.
func (e *lineEditor) erase() {
	if len(e.line) == 0 {
		return
	}

	_, size := utf8.DecodeLastRune(e.line)
	fmt.Fprint(e.echo, eraser(e.line[len(e.line)-size:]))

	e.line = e.line[:len(e.line)-size]
}

// eraser returns the text that removes one character from the screen.
func eraser(char []byte) string {
	s := ""
	for range Width(string(char)) {
		s += "\b \b"
	}

	return s
}
