package instance

import (
	"os"
	"runtime/debug"
	"time"
)

// garbage is how much memory may be garbage, as a percentage of what is in use, where
// the environment variable GOGC says nothing. Go's own 100 would make ten thousand quiet
// tenants take up half as much again; collecting more often costs them little, and a
// backlog next to nothing, since its buffers are used again.
const garbage = 50

// boundGarbage applies it to the process's Go code, which is this plugin's.
func boundGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
}

// startMemory is how long after the first start of an input the memory is given back that
// only the start needed: reading the settings of thousands of tenants, and all their
// first sign-ins. The runtime itself would take long to do that.
const startMemory = time.Minute

// returnMemory gives it back to the system then.
func returnMemory() { time.AfterFunc(startMemory, debug.FreeOSMemory) }
