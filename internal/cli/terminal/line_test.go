package terminal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pty opens a pseudo-terminal: what a person sees and types, and what a program has of
// it.
func pty(t *testing.T) (person, program *os.File) {
	t.Helper()

	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}

	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}

	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}

	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { person.Close(); program.Close() })

	return person, program
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()

	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}

	return s.Lflag&unix.ECHO != 0 && s.Lflag&unix.ICANON != 0
}

func TestNothingOfASecretIsSeenHoweverFastItIsTyped(t *testing.T) {
	person, program := pty(t)
	term := New(program)

	fmt.Fprint(person, "typed ahead, and seen\n")

	seen := bufio.NewReader(person)
	if line, err := seen.ReadString('\n'); err != nil || !strings.Contains(line, "typed ahead") {
		t.Fatalf("%q, %v", line, err)
	}

	got, err := term.ReadLine(true, func() {
		if echoes(t, program) {
			t.Error("the echo is on when the prompt appears")
		}

		fmt.Fprint(person, "s3cret\n")
	})
	if err != nil || got != "s3cret" {
		t.Fatalf("%q, %v", got, err)
	}

	if !echoes(t, program) {
		t.Error("the echo stays off")
	}

	fmt.Fprintln(program, "the end")

	if line, err := seen.ReadString('\n'); err != nil || strings.TrimSpace(line) != "the end" {
		t.Errorf("%q was seen, %v", line, err)
	}
}

func TestALineOfTheTerminalMayBeLongerThanTheKernelEdits(t *testing.T) {
	person, program := pty(t)
	term := New(program)
	seen := make(chan string)

	go func() {
		line, err := bufio.NewReaderSize(person, 1<<20).ReadString('\n')
		if err != nil {
			t.Error(err)
		}

		seen <- strings.TrimSpace(line)
	}()

	want := "https://mssp.example/?code=" + strings.Repeat("0123456789", 900)

	got, err := term.ReadLine(false, func() { go fmt.Fprintln(person, want) })
	if err != nil || got != want {
		t.Errorf("%d bytes of %d came, %v", len(got), len(want), err)
	}

	if s := <-seen; s != want {
		t.Errorf("%d bytes were seen", len(s))
	}
}

func TestWhoGivesUpGetsTheTerminalBackForGood(t *testing.T) {
	_, program := pty(t)

	term := New(program)
	if err := term.prepare(true); err != nil || echoes(t, program) {
		t.Fatal(err)
	}

	term.Leave()

	if _, err := term.ReadLine(true, func() { t.Error("it asks again") }); err == nil || !echoes(t, program) {
		t.Errorf("the terminal was changed again: %v", err)
	}
}

func TestALineCanBeEdited(t *testing.T) {
	for typed, want := range map[string]string{"abc\n": "abc", "abd\x7fc\n": "abc", "ü株\x08\x08x\n": "x",
		"wrong\x15right\r": "right", "\x7f\n": "", "a\x01\x1bb\n": "ab", "cut": "cut", "a\x04\n": "a"} {
		var seen strings.Builder

		got, err := editLine(strings.NewReader(typed), &seen)
		if err != nil || got != want {
			t.Errorf("%q is read as %q, %v", typed, got, err)
		}

		if strings.ContainsAny(seen.String(), "\x1b\x01") {
			t.Errorf("%q shows %q", typed, seen.String())
		}
	}

	for _, typed := range []string{"", "\x04"} {
		if got, err := editLine(strings.NewReader(typed), io.Discard); !errors.Is(err, io.EOF) || got != "" {
			t.Errorf("%q is read as %q, %v", typed, got, err)
		}
	}
}

func TestALineThatIsTooLongIsCutAndTheNextOneIsWhole(t *testing.T) {
	long := strings.Repeat("x", 3*MaxLine)

	r := bufio.NewReader(strings.NewReader(long + "\r\n" + long[:MaxLine] + "\nnext\nlast"))
	for _, want := range []string{long[:MaxLine+1], long[:MaxLine], "next", "last"} {
		got, err := cutLine(r)
		if got != want || (err == nil) != (want != "last") {
			t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
		}
	}

	if got, err := editLine(strings.NewReader(long+"\n"), io.Discard); err != nil || len(got) != MaxLine+1 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
