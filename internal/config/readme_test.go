package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// keyTable is the table of keys in README.md, made from the table of options.
func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | default | meaning |\n| --- | --- | --- |\n")
	for _, o := range Options() {
		value := o.Default
		switch {
		case value == "":
			value = "–"
		default:
			value = "`" + value + "`"
		}
		help, _, _ := strings.Cut(o.Help, ". ")
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", o.Name, value, strings.TrimSuffix(help, "."))
	}
	return b.String()
}

func TestTheReadmeListsEveryKeyThatExists(t *testing.T) {
	const begin, end = "<!-- keys: made from internal/config/options.go -->\n", "<!-- end of keys -->"
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("README.md has lost the marks around its table of keys")
	}
	if *update {
		if err := os.WriteFile("../../README.md", []byte(before+begin+keyTable()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != keyTable() {
		t.Error("the table of keys in README.md is not the one in code: run go test ./internal/config -update")
	}
}
