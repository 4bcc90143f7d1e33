package metrics

import (
	"os"
	"os/exec"
	"testing"
)

// tool returns where a program of Debian's package prometheus is. Continuous integration
// must have it; elsewhere the test is skipped without.
func tool(t *testing.T, name string) string {
	t.Helper()

	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatalf("there is no %s: apt-get install prometheus", name)
	default:
		t.Skipf("there is no %s: apt-get install prometheus", name)
	}

	return ""
}
