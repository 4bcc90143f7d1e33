package advice_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"fluent-bit-defender/internal/advice"
)

func TestTheContractListsEveryReason(t *testing.T) {
	page, err := os.ReadFile("../../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}

	_, table, _ := strings.Cut(string(page), "<!-- reasons:")
	table, _, _ = strings.Cut(table, "<!-- /reasons -->")

	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| .+ \\|$").FindAllStringSubmatch(table, -1) {
		listed = append(listed, row[1])
	}

	if got, want := fmt.Sprint(listed), fmt.Sprint(advice.Reasons()); got != want {
		t.Errorf("docs/contract.md lists %s\nwant %s", got, want)
	}
}
