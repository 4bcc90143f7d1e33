package instance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheLineOfASecondLoadingNamesBothPlaces(t *testing.T) {
	dir := t.TempDir()

	one, two := filepath.Join(dir, "in_defender.so"), filepath.Join(dir, "copy.so")
	for _, path := range []string{one, two} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	link := filepath.Join(dir, "link.so")
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}

	const configuration = "in the configuration (Plugins_File, or `plugins:` in YAML)"
	for name, tc := range map[string]struct {
		second string
		args   []string
		want   []string
	}{
		"option and configuration": {one, []string{"-Y", "-e", one, "-c", "x"},
			[]string{one + " is loaded twice", "with -e " + one + " on the command line, and " + configuration}},
		"option in one word": {one, []string{"-e" + one}, []string{"with -e " + one + " on the command line, and"}},
		"long option": {one, []string{"--plugin", one},
			[]string{"with -e " + one + " on the command line, and"}},
		"long option, joined": {one, []string{"--plugin=" + one},
			[]string{"with -e " + one + " on the command line, and"}},
		"option with a link": {one, []string{"-e", link}, []string{"with -e " + link}},
		"two options": {one, []string{"-e", one, "-e", link},
			[]string{"with -e " + one + " and -e " + link + " on the command line;"}},
		"configuration only": {one, []string{"-c", one, "-e", "/none.so", "-e"},
			[]string{"both times " + configuration}},
		"copies in two places": {two, []string{"-e", two},
			[]string{"two copies of the plugin are loaded, " + one + " and " + two, "with -e " + two}},
	} {
		t.Run(name, func(t *testing.T) {
			line := LoadedTwice(one, tc.second, append([]string{"fluent-bit"}, tc.args...))
			for _, want := range tc.want {
				if !strings.Contains(line, want) {
					t.Errorf("got %s\nwant %s", line, want)
				}
			}
		})
	}
}
