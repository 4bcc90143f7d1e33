package version

import (
	"runtime"
	"testing"
)

func TestTheMakefileSetsVersionAndCommit(t *testing.T) {
	defer func(v, c, m string) { version, commit, modified = v, c, m }(version, commit, modified)

	version, commit, modified = "1.2.0", "abc", ""

	if got, want := This().String(), "1.2.0, commit abc, "+runtime.Version(); got != want {
		t.Errorf("%q, want %q", got, want)
	}

	modified = "true"

	if got, want := This().String(), "1.2.0, commit abc with changes, "+runtime.Version(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestABuildWithoutTheMakefileSaysSo(t *testing.T) {
	if b := This(); b.Version == "" || b.Commit == "" || b.Go == "" {
		t.Errorf("%+v", b)
	}
}
