package record

import (
	"os"
	"strings"
	"testing"
)

// TestCEFPageIsMadeOfTheTable: docs/cef.md says what the code does.
func TestCEFPageIsMadeOfTheTable(t *testing.T) {
	const page = "../../docs/cef.md"
	text := CEFMarkdown()
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != text {
		t.Error("docs/cef.md differs; run this test with -update")
	}
	for i := range cefTable {
		for col := range numColumns {
			if s := cefTable[i].column(col); (s.get == nil) != (s.what == "") {
				t.Errorf("%s: a source of column %d is not explained", cefTable[i].key, col)
			}
		}
	}
	for key := range cutNever {
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("%s is not on the page", key)
		}
	}
}
