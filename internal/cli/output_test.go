package cli_test

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// full is a device without room.
type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAResultThatCouldNotBeWrittenIsAFailure(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	w.polled("siem")

	conf := w.conf("siem")
	for _, args := range [][]string{
		{"tokens", "list"}, {"tokens", "list", "--json"}, {"check", "--explain"}, {"check", "--offline", conf},
		{"check", conf}, {"check", conf, "--json"},
		append([]string{"tokens", "refresh", "contoso"}, w.network("siem")...), {"pull", "contoso", "--config", conf},
		{"status", "--json"},
		{"rewind", contoso, "--since", "1h"}, {"--version"}, {"--help"}, {"completion", "bash"}, {"completion"},
		{"tokens", "remove", "contoso", "--yes"}, {"version"}, {"version", "--json"},
	} {
		var errs lockedBuffer
		if code := w.start(t.Context(), strings.NewReader(""), full{}, &errs, args...); code != 1 {
			t.Errorf("%v ends with %d: %s", args, code, errs.String())
		}

		if n := strings.Count(errs.String(), errFull.Error()); n != 1 ||
			strings.Contains(errs.String(), "see defenderctl --help") {
			t.Errorf("%v tells it %d times: %s", args, n, errs.String())
		}
	}
}

func TestAFailedWriteDoesNotHideAWorseEnd(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	w.RevokeRefreshTokens(contoso, 50173)

	var errs lockedBuffer
	if code := w.start(t.Context(), strings.NewReader(""), full{}, &errs, "check", w.conf("siem")); code != 3 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}

	contains(t, errs.String(), errFull.Error())

	if code := w.start(t.Context(), strings.NewReader(""), full{}, io.Discard, "tokens", "list", "--jsn"); code != 2 {
		t.Errorf("exit code %d of a wrong flag", code)
	}
}
