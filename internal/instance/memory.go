package instance

import (
	"os"
	"runtime/debug"
	"time"
)

// garbagePercent is how much memory may be garbage, as a percentage of what is in use,
// unless the environment variable GOGC sets it. With Go's default of 100, ten thousand
// quiet tenants would take up half as much again. Collecting more often costs them
// little, and a backlog next to nothing, since its buffers are used again.
const garbagePercent = 50

// limitGarbage sets garbagePercent for the Go code of the process, which is this
// plugin.
func limitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// startupTime is how long after the first start of an input the memory is released that
// only the start needed: for reading the settings of thousands of tenants, and for all
// their first sign-ins. The runtime itself would take long to do that.
const startupTime = time.Minute

// returnMemory returns that memory to the system after startupTime.
func returnMemory() { time.AfterFunc(startupTime, debug.FreeOSMemory) }
