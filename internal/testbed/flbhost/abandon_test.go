package flbhost

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// abandonVariable makes TestChildrenDieWithTheirTest the test that is abandoned.
const abandonVariable = "FLBHOST_ABANDON"

// TestChildrenDieWithTheirTest: a test that panics or runs out of time cleans nothing up,
// and leaves no process behind all the same.
func TestChildrenDieWithTheirTest(t *testing.T) {
	if os.Getenv(abandonVariable) != "" {
		p := newProcess() // of a program that knows nothing of its parent, as Fluent Bit
		p.cmd = exec.Command("sleep", "60")
		must(t, p.launch(func([]byte) {}, func([]byte) {}))
		fmt.Printf("child %d\n", p.PID())
		os.Exit(2)
	}

	t.Parallel()
	cmd := exec.CommandContext(deadline(t), os.Args[0], "-test.run", "^TestChildrenDieWithTheirTest$")

	cmd.Env = append(os.Environ(), abandonVariable+"=1")
	out, _ := cmd.CombinedOutput() // it ends with 2

	found := regexp.MustCompile(`child (\d+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no child was started:\n%s", out)
	}

	ctx := deadline(t)
	for tick := time.NewTicker(20 * time.Millisecond); alive(string(found[1])); <-tick.C {
		if ctx.Err() != nil {
			t.Fatalf("process %s still runs", found[1])
		}
	}
}

// alive reports whether a process runs. One that has ended may still have its entry.
func alive(pid string) bool {
	status, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}

	_, after, _ := strings.Cut(string(status), ") ")

	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}
