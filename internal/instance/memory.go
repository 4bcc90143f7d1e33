package instance

import (
	"os"
	"runtime/debug"
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
