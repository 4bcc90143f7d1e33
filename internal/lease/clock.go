package lease

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime returns the time since the machine was started. Unlike the clock behind
// time.Now it goes on while the machine sleeps, and nobody can set it.
func bootTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("lease: CLOCK_BOOTTIME: " + err.Error()) // every Linux since 2.6.39 has it
	}

	return time.Duration(t.Nano())
}
