package sqlite

import (
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/logs"
)

// Options say which directory to open and how.
type Options struct {
	// Dir is data_dir. It is made if it is missing, unless ReadOnly.
	Dir string
	// Key is the 32-byte key that encrypts refresh tokens. If it is nil, they are plain,
	// in a file of mode 0600.
	Key []byte
	// Inputs is set by a process that polls. The store then locks inputs.lock, so that
	// no second process polls, and keeps the marks that CrashedMachine needs. One
	// process may open the same directory many times.
	Inputs bool
	// ReadOnly opens the store for reading only: nothing is made, checked as a whole,
	// repaired or converted, and missing files read as empty.
	ReadOnly bool
	// Now is the clock, by default time.Now.
	Now func() time.Time
	// Uptime is time since the machine started, unaffected by changes of the clock; by
	// default CLOCK_BOOTTIME, or derived from Now when only that is given.
	Uptime func() time.Duration
	// BootID names the current run of the kernel, by default
	// /proc/sys/kernel/random/boot_id. Empty means unknown.
	BootID func() string
	// Log gets what the operator should know. By default nothing is logged.
	Log *slog.Logger
}

func (o *Options) defaults() {
	if o.Uptime == nil {
		o.Uptime = uptime
		if now := o.Now; now != nil {
			o.Uptime = func() time.Duration { return time.Duration(now().UnixNano()) }
		}
	}

	if o.Now == nil {
		o.Now = time.Now
	}

	if o.BootID == nil {
		o.BootID = bootID
	}

	if o.Log == nil {
		o.Log = logs.Discard()
	}
}

// uptime returns the time since the machine started, suspension included.
// https://man7.org/linux/man-pages/man2/clock_gettime.2.html
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}

	return time.Duration(ts.Nano())
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}

	return strings.TrimSpace(string(b))
}
