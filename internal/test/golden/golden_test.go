package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder is a test whose failures are kept instead of reported.
type recorder struct {
	testing.TB
	name, failure string
}

func (r *recorder) Name() string { return r.name }

func (r *recorder) Errorf(format string, args ...any) { r.fail(format, args...) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.fail(format, args...)
	panic(r)
}

func (r *recorder) fail(format string, _ ...any) { r.failure = format }

// failure returns the format of the message with which a test of this name ends.
func failure(t *testing.T, name, path, got string) string {
	r := &recorder{TB: t, name: name}

	func() {
		defer func() {
			if p := recover(); p != nil && p != any(r) {
				panic(p)
			}
		}()

		File(r, path, got)
	}()

	return r.failure
}

func TestFileComparesAndAsksForAFittingName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("text\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct{ test, path, got, want string }{
		"the same":     {"TestGoldenA", path, "text\n", ""},
		"another text": {"TestGoldenA", path, "text", "is not what the code makes"},
		"no file":      {"TestGoldenA", path + "b", "text\n", "`make golden` writes it"},
		"other name":   {"TestA", path, "text\n", "must contain"},
	} {
		got := failure(t, c.test, c.path, c.got)
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: the test ends with %q, want %q", name, got, c.want)
		}
	}
}

func TestDiffShowsOnlyWhatDiffers(t *testing.T) {
	for name, c := range map[string]struct{ want, got, diff string }{
		"one line":  {"a\nb\nc", "a\nB\nc", "@ line 2\n- b\n+ B"},
		"two parts": {"a\nb\nc\nd", "A\nb\nc", "@ line 1\n- a\n+ A\n@ line 4\n- d"},
		"more":      {"a\nc", "a\nb\nc\nd", "@ line 2\n+ b\n@ line 3\n+ d"},
		"long":      {strings.Repeat("a\n", 100), "", "(41 more lines)"},
	} {
		if got := diff(c.want, c.got); !strings.HasSuffix(got, c.diff) {
			t.Errorf("%s: the difference is\n%s\nwant\n%s", name, got, c.diff)
		}
	}
}
