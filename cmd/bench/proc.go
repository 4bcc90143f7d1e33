package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used: processor time of all its threads, and memory in
// bytes, now and at its peak.
type usage struct {
	cpu       time.Duration
	rss, peak int64
}

// clockTick is the unit of times in /proc/PID/stat: USER_HZ, 100 on Linux whatever the
// machine (proc_pid_stat(5)).
const clockTick = time.Second / 100

// used reads the usage of a running process (proc_pid_stat(5), proc_pid_status(5)).
func used(pid int) (u usage, err error) {
	dir := "/proc/" + strconv.Itoa(pid)

	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, err
	}

	fields := strings.Fields(
		string(stat[bytes.LastIndexByte(stat, ')')+1:]),
	) // behind the name, which may hold blanks
	if len(fields) < 13 {
		return u, fmt.Errorf("%s/stat has too few fields", dir)
	}

	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, fmt.Errorf("%s/stat: %w", dir, err)
		}

		u.cpu += time.Duration(n) * clockTick
	}

	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u, err
	}

	for line := range strings.Lines(string(status)) {
		var kb int64

		switch {
		case strings.HasPrefix(line, "VmHWM:"):
			_, err = fmt.Sscanf(line, "VmHWM: %d kB", &kb)
			u.peak = kb << 10
		case strings.HasPrefix(line, "VmRSS:"):
			_, err = fmt.Sscanf(line, "VmRSS: %d kB", &kb)
			u.rss = kb << 10
		}

		if err != nil {
			return u, fmt.Errorf("%s/status: %w", dir, err)
		}
	}

	return u, nil
}
