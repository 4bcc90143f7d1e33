package advice_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// noUnit are the packages whose faults no unit ever shows: those of a configuration and
// of commands.
var noUnit = []string{"internal/config", "internal/cloud", "internal/cli/lint", "internal/cli/connector"}

// A fault of a unit without a reason would be shown as one of this program.
func TestEveryFaultOfAUnitNamesItsReason(t *testing.T) {
	found := 0

	for _, root := range []string{"../../tokens", "../../internal"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}

			name := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
			for _, other := range noUnit {
				if strings.HasPrefix(name, other) {
					return nil
				}
			}

			if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return nil
			}

			n, err := faultLiterals(t, path)
			found += n

			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	if found < 10 {
		t.Errorf("only %d literals found", found)
	}
}

// faultLiterals counts the literals of advice.Fault in a file, and reports those without
// a Reason.
func faultLiterals(t *testing.T, path string) (n int, err error) {
	t.Helper()

	files := token.NewFileSet()

	file, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		return 0, err
	}

	ast.Inspect(file, func(node ast.Node) bool {
		literal, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}

		kind, ok := literal.Type.(*ast.SelectorExpr)
		if !ok || kind.Sel.Name != "Fault" {
			return true
		}

		if pkg, ok := kind.X.(*ast.Ident); !ok || pkg.Name != "advice" {
			return true
		}

		n++

		for _, element := range literal.Elts {
			if pair, ok := element.(*ast.KeyValueExpr); ok {
				if key, ok := pair.Key.(*ast.Ident); ok && key.Name == "Reason" {
					return true
				}
			}
		}

		t.Errorf("%s: a fault without a reason", files.Position(literal.Pos()))

		return true
	})

	return n, nil
}
