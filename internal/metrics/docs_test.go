package metrics

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheMonitoringPageListsEveryMetricAndNoOther(t *testing.T) {
	page, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}

	_, table, found := strings.Cut(string(page), "<!-- metrics:")

	table, _, closed := strings.Cut(table, "<!-- end of metrics -->")
	if !found || !closed {
		t.Fatal("docs/monitoring.md has no table of metrics between its marks")
	}

	var listed, have []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(defender_[a-z_]+)[`{]").FindAllStringSubmatch(table, -1) {
		listed = append(listed, m[1])
	}

	for _, f := range families {
		have = append(have, "defender_"+f.name)
	}

	if !slices.Equal(listed, have) {
		t.Errorf("docs/monitoring.md lists\n%s\nthe code has\n%s",
			strings.Join(listed, "\n"), strings.Join(have, "\n"))
	}
}
