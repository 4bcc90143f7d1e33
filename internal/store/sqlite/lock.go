package sqlite

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// The bytes of tokens.lock that are locked. The file stays empty: locks may be beyond
// its end.
const (
	rangeUsers  = 0       // shared by every open store; exclusive while a damaged file is replaced
	rangeOpen   = 1       // exclusive while files are created, checked, migrated
	rangeCopy   = 2       // exclusive while tokens.db and its copy are written
	rangeChains = 1 << 32 // one byte per chain from here on
)

const (
	lockFile   = "tokens.lock"
	inputsFile = "inputs.lock"
)

// ranges are locks on bytes of one file, by open file description (fcntl F_OFD_SETLK,
// Linux 3.15): unlike POSIX locks they are not dropped when some other descriptor of
// the file is closed, and unlike flock one descriptor carries many. They exclude
// processes, not goroutines.
type ranges struct {
	f   atomic.Pointer[os.File] // nil: the store is ReadOnly, and there is no file
	old []*os.File              // replaced by f; their locks may still be in use. Guarded by registry.mu
}

// replace makes f the file that carries the locks from now on.
func (r *ranges) replace(f *os.File) {
	if old := r.f.Swap(f); old != nil {
		r.old = append(r.old, old)
	}
}

func (r *ranges) close() error {
	var errs []error

	for _, f := range append(r.old, r.f.Load()) {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}

	return errors.Join(errs...)
}

func (r *ranges) try(kind int16, at int64) error { return tryRange(r.f.Load(), kind, at) }

func tryRange(f *os.File, kind int16, at int64) error {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{
		Type:   kind,
		Whence: io.SeekStart,
		Start:  at,
		Len:    1,
	})
}

func (r *ranges) unlock(at int64) { _ = r.try(unix.F_UNLCK, at) }

// lock waits for the lock of a byte until ctx ends. It polls, since a context cannot
// end the blocking call (F_OFD_SETLKW).
func (r *ranges) lock(ctx context.Context, kind int16, at int64) error {
	for pause := time.Millisecond; ; pause = min(pause*2, 50*time.Millisecond) {
		err := r.try(kind, at)
		if err == nil {
			return nil
		}

		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("%s: %w", r.f.Load().Name(), err)
		}

		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w: %w", r.f.Load().Name(), store.ErrBusy, ctx.Err())
		case <-timer.C:
		}
	}
}

// chainOffset returns the byte of a chain: 62 bits of a hash. Two chains practically
// never share one; if they did, they would only wait for each other.
func chainOffset(key tokens.ChainKey) int64 {
	h := sha256.Sum256([]byte(strings.Join([]string{key.LoginHost, key.TenantID, key.ClientID}, "\n")))
	return rangeChains + int64(binary.BigEndian.Uint64(h[:8])>>2)
}

// mutex is a mutex whose wait ends with a context.
type mutex chan struct{}

func newMutex() mutex { return make(mutex, 1) }

func (g mutex) lock(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", store.ErrBusy, ctx.Err())
	}
}

func (g mutex) unlock() { <-g }

// chainMutexes have one mutex for each chain, by its offset in tokens.lock. They are
// never deleted: there are no more of them than chains.
type chainMutexes struct{ m sync.Map }

func (g *chainMutexes) of(at int64) mutex {
	if found, ok := g.m.Load(at); ok {
		return found.(mutex)
	}

	found, _ := g.m.LoadOrStore(at, newMutex())

	return found.(mutex)
}

// stopOther and otherDir are what to do when another process runs inputs on a directory:
// the first one for a command, the other one for an input.
const (
	stopOther = "stop it first"
	otherDir  = "give this one another data_dir, or stop that one"
)

// lockInputs locks inputs.lock for this process, and writes its id into the file for the
// message that a second process gets, which ends with that process's remedy.
func lockInputs(d directory, remedy string) (*os.File, error) {
	f, err := d.openLockFile(inputsFile)
	if err != nil {
		return nil, err
	}

	if err := flockSoon(f); err != nil {
		defer f.Close()

		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, explain(f.Name(), err)
		}

		return nil, fmt.Errorf("%s: %w by another process: %s runs inputs on it; %s",
			d.path, store.ErrInUse, holder(f), remedy)
	}
	// Only the lock matters. The text is for people: on a full disk an input must still
	// start.
	name, _ := os.Executable()
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d %s\n", os.Getpid(), name), 0)
	}

	return f, nil
}

// flockSoon is flock, tried several times: InputsRun may hold the lock for a moment.
func flockSoon(f *os.File) error {
	for left := 5; ; left-- {
		err := flock(f)
		if left == 0 || !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}

		time.Sleep(10 * time.Millisecond)
	}
}

func flock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// holder returns the name of the process that wrote into the lock file, for people.
func holder(f *os.File) string {
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, 1024))

	pid, name, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if pid == "" {
		return "another process"
	}

	if name == "" {
		return "process " + pid
	}

	return fmt.Sprintf("process %s (%s)", pid, name)
}
