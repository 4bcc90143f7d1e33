// Package identity lets a program that root has started work in another user's
// directories as that user.
//
// Whoever owns a directory can replace a file in it by a link at any moment, between
// two system calls of ours. A program with root's rights then reads and writes what the
// owner may not. With the owner's rights it can do no more than the owner.
//
// The process can go back to root (its saved user id is still root's), for the few
// files that the person who called sudo has named and only root may read: see AsRoot.
// Programs that it starts as the other user (a browser) cannot.
package identity

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ids are the user and groups of a process.
type ids struct {
	uid, gid int
	groups   []int
}

var (
	mu sync.Mutex
	// owner is the user as whom this process works, root the one that it was before;
	// both are nil until Become.
	owner, root *ids
)

// Become makes the whole process, which runs as root, work as another user from now on.
func Become(uid int) error {
	mu.Lock()
	defer mu.Unlock()

	switch {
	case owner != nil && owner.uid == uid:
		return nil
	case owner != nil:
		return fmt.Errorf("this process already works as user %d and cannot work as user %d too", owner.uid, uid)
	case os.Geteuid() != 0:
		return errors.New("only root can work as another user")
	}

	to, err := idsOf(uid)
	if err != nil {
		return err
	}

	groups, err := syscall.Getgroups()
	if err != nil {
		return fmt.Errorf("the groups of this process: %w", err)
	}

	from := ids{
		gid:    syscall.Getegid(),
		groups: groups,
	}

	// Package syscall changes every thread of the process.
	if err := syscall.Setgroups(to.groups); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}

	if err := syscall.Setresgid(to.gid, to.gid, from.gid); err != nil {
		return errors.Join(fmt.Errorf("setresgid: %w", err), syscall.Setgroups(groups))
	}

	if err := syscall.Setresuid(to.uid, to.uid, 0); err != nil {
		return errors.Join(
			fmt.Errorf("setresuid: %w", err),
			syscall.Setresgid(from.gid, from.gid, from.gid),
			syscall.Setgroups(groups),
		)
	}

	owner, root = &to, &from

	return nil
}

// idsOf returns the ids of a user. A user whom the machine does not know has the group
// of the same number.
func idsOf(uid int) (ids, error) {
	alone := ids{
		uid:    uid,
		gid:    uid,
		groups: []int{uid},
	}

	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		var unknown user.UnknownUserIdError
		if errors.As(err, &unknown) {
			return alone, nil
		}

		return ids{}, fmt.Errorf("user %d: %w", uid, err)
	}

	if alone.gid, err = strconv.Atoi(u.Gid); err != nil {
		return ids{}, fmt.Errorf("group of user %d: %w", uid, err)
	}

	alone.groups = []int{alone.gid}

	names, err := u.GroupIds()
	if err != nil {
		return alone, nil // the user's own group is enough for the user's own files
	}

	for _, name := range names {
		if gid, err := strconv.Atoi(name); err == nil && gid != alone.gid {
			alone.groups = append(alone.groups, gid)
		}
	}

	return alone, nil
}

// Changed reports whether Become has changed the identity of this process.
func Changed() bool {
	mu.Lock()
	defer mu.Unlock()

	return owner != nil
}

// AsRoot calls f with the identity that the process had before Become; without Become
// it only calls f. Only f itself has that identity, and processes that it starts, not
// goroutines that it starts.
func AsRoot(f func() error) error {
	mu.Lock()
	to, from := owner, root
	mu.Unlock()

	if to == nil {
		return f()
	}

	runtime.LockOSThread()

	defer runtime.UnlockOSThread()

	if err := change(*from); err != nil {
		return fmt.Errorf("back to root: %w", err)
	}

	defer func() {
		if err := change(*to); err != nil {
			panic(fmt.Sprintf("a thread is stuck with root's rights: %v", err)) // the kernel never refuses this
		}
	}()

	return f()
}

// change sets the identity of the calling thread alone; the saved ids stay root's. The
// user id comes first on the way to root, and last on the way back: only root may
// change groups.
func change(to ids) error {
	user := func() error { return raw(unix.SYS_SETRESUID, uintptr(to.uid), uintptr(to.uid), 0) }
	groups := func() error {
		list := make([]uint32, max(len(to.groups), 1)) // one at least, to have an address
		for i, gid := range to.groups {
			list[i] = uint32(gid)
		}

		_, _, errno := unix.RawSyscall(
			unix.SYS_SETGROUPS,
			uintptr(len(to.groups)),
			uintptr(unsafe.Pointer(&list[0])),
			0,
		)
		if errno != 0 {
			return errno
		}

		return raw(unix.SYS_SETRESGID, uintptr(to.gid), uintptr(to.gid), keep)
	}

	if to.uid == 0 {
		if err := user(); err != nil {
			return err
		}

		return groups()
	}

	if err := groups(); err != nil {
		return err
	}

	return user()
}

// keep leaves an id as it is.
const keep = ^uintptr(0)

// raw does a system call for the calling thread only. The functions of packages syscall
// and unix change every thread.
func raw(call, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(call, a, b, c); errno != 0 {
		return errno
	}

	return nil
}
