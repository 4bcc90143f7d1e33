package metrics

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTheOperatorsPageListsEveryMetricAndNoOther(t *testing.T) {
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "<!-- metrics:")
	table, _, closed := strings.Cut(table, "<!-- end of metrics -->")
	if !found || !closed {
		t.Fatal("docs/operating.md has no table of metrics between its marks")
	}
	var listed, have []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(defender_[a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		listed = append(listed, m[1])
	}
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for _, f := range families {
		have = append(have, name.FindStringSubmatch(f.desc.String())[1])
	}
	for _, d := range []*prometheus.Desc{buffered, stopped} {
		have = append(have, name.FindStringSubmatch(d.String())[1])
	}
	if !slices.Equal(listed, have) {
		t.Errorf(
			"docs/operating.md lists\n%s\nthe code has\n%s",
			strings.Join(listed, "\n"),
			strings.Join(have, "\n"),
		)
	}
}
