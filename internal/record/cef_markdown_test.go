package record

import (
	"strings"
	"testing"

	"fluent-bit-defender/internal/test/golden"
)

// docs/cef.md says what the code does.
func TestGoldenCEFPage(t *testing.T) {
	text := CEFMarkdown()
	golden.File(t, "../../docs/cef.md", text)

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
