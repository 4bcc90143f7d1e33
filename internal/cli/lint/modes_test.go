package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluent-bit-defender/internal/cli/lint"
)

func TestFilesThatOthersMayChangeAreReported(t *testing.T) {
	for _, name := range []string{
		"fluent-bit.conf", "more.conf", "plugins.conf", "in_defender.so", "parsers.conf", "secret", ".",
	} {
		t.Run(name, func(t *testing.T) {
			dir, fill := place(t)
			write(t, filepath.Join(dir, "more.conf"), "[FILTER]\n    Name stdout\n    Match x\n", 0o600)
			write(t, filepath.Join(dir, "plugins.conf"), fill("[PLUGINS]\n    Path DIR/in_defender.so\n"), 0o600)
			write(t, filepath.Join(dir, "in_defender.so"), "", 0o600)
			write(t, filepath.Join(dir, "parsers.conf"), "[PARSER]\n    Name x\n    Format json\n", 0o600)

			text := strings.Replace(
				good,
				"    Flush 1\n",
				"    Flush 1\n    Plugins_File plugins.conf\n    Parsers_File parsers.conf\n",
				1,
			)

			path := write(t, filepath.Join(dir, "fluent-bit.conf"), fill(text+"@INCLUDE more.conf\n"), 0o600)
			if findings := problems(look(t, path)); len(findings) != 0 {
				t.Fatalf("before: %v", findings)
			}

			changed := filepath.Join(dir, name)

			info, err := os.Stat(changed)
			if err != nil {
				t.Fatal(err)
			}

			if err := os.Chmod(changed, info.Mode().Perm()|0o020); err != nil {
				t.Fatal(err)
			}

			t.Cleanup(func() {
				if err := os.Chmod(changed, info.Mode().Perm()); err != nil {
					t.Error(err)
				}
			})

			for _, f := range look(t, path).Findings {
				if f.Level != lint.Note && strings.Contains(f.String(), "can be written by its group") &&
					strings.Contains(f.Remedy,
						"chmod go-w") {
					return
				}
			}

			t.Errorf("not reported: %v", look(t, path).Findings)
		})
	}
}
