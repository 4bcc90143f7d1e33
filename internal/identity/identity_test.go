package identity

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// service is a user that the machine need not know.
const service = 4242

// TestMain runs a part of a test in a process of its own, whose identity may change.
func TestMain(m *testing.M) {
	if os.Getenv("IDENTITY_CHILD") == "" {
		os.Exit(m.Run())
	}

	if err := child(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// child becomes the service's user and looks from many goroutines who it is.
func child() error {
	if err := Become(service); err != nil {
		return err
	}

	if err := Become(service); err != nil {
		return fmt.Errorf("a second time: %w", err)
	}

	if err := Become(service + 1); err == nil {
		return errors.New("it became a second user")
	}

	var wg sync.WaitGroup

	errs := make(chan error, 100)

	for range 20 {
		wg.Go(func() {
			for range 50 {
				if uid := os.Geteuid(); uid != service {
					errs <- fmt.Errorf("outside: user %d", uid)
					return
				}

				if err := AsRoot(asRoot); err != nil {
					errs <- err
					return
				}
			}
		})
	}

	wg.Wait()
	close(errs)

	for err := range errs {
		return err
	}

	return started(exec.Command("grep", "^Uid:", "/proc/self/status"), "Uid: 4242 4242 4242 4242")
}

func asRoot() error {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Errorf("inside: user %d", uid)
	}

	f, err := os.Open("/proc/self/environ") // of root's process, whose identity has changed
	if err != nil {
		return err
	}

	return f.Close()
}

// started checks the line that a program of ours prints.
func started(cmd *exec.Cmd, want string) error {
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("a program has printed %q: %w", out, err)
	}

	if got := strings.Join(strings.Fields(string(out)), " "); got != want {
		return fmt.Errorf("a program has %q, want %q", got, want)
	}

	return nil
}

func TestTheOwnersIdentityHoldsForAllThreads(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can work as another user")
	}

	cmd := exec.Command(os.Args[0])

	cmd.Env = append(os.Environ(), "IDENTITY_CHILD=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestWithoutAChangeAsRootOnlyCalls(t *testing.T) {
	before := os.Geteuid()

	err := AsRoot(func() error {
		if uid := os.Geteuid(); uid != before {
			return fmt.Errorf("user %d became %d", before, uid)
		}

		return errors.New("its own")
	})
	if err == nil || err.Error() != "its own" || Changed() {
		t.Errorf("got %v", err)
	}

	if before != 0 && Become(0) == nil {
		t.Error("an ordinary user became root")
	}
}
