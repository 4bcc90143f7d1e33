package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// source is one Go file: its text, line by line, and its syntax.
type source struct {
	path  string // relative to the root of the module
	lines []string
	file  *ast.File
	kind  kind
}

// kind says what a source is for. Only product code is held to everything; the tools are
// held to their form, since their words are about the words of the others.
type kind int

const (
	product kind = iota
	test
	tool
)

// tree is the Go code of a module, product and tests.
type tree struct {
	fset    *token.FileSet
	sources []*source
	// foreign are C sources, scripts and the like: names in them exist too.
	foreign []foreignFile
}

// foreignFile is a file that is neither Go nor a document.
type foreignFile struct {
	path string // relative to the root of the module
	text string
}

// load parses every Go file below root, except in testdata, in folders whose name begins
// with a dot, and in what the build makes.
func load(root string) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}

	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && skipped(d.Name()):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		case isForeign(d.Name()):
			return t.addForeign(root, path)
		case !strings.HasSuffix(path, ".go"):
			return nil
		}

		s, err := t.parse(root, path)
		if err != nil {
			return err
		}

		t.sources = append(t.sources, s)

		return nil
	})

	return t, err
}

// isForeign reports whether a file is of those that are read besides Go and documents.
func isForeign(name string) bool {
	switch filepath.Ext(name) {
	case ".c", ".h", ".sh", ".sql", ".conf", ".yaml", ".yml", ".mod", ".json", ".css", ".js", ".env":
		return true
	case "":
		return name == "Makefile" || name == "Dockerfile" || !strings.ContainsFunc(name, unicode.IsUpper)
	}

	return false
}

func (t *tree) addForeign(root, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}

	rel, err := filepath.Rel(root, path)
	t.foreign = append(t.foreign, foreignFile{filepath.ToSlash(rel), string(text)})

	return err
}

// skipped reports whether a folder has nothing to check: data, what the build makes, and
// hidden folders but for that of the CI.
func skipped(dir string) bool {
	return dir == "testdata" || dir == "build" || strings.HasPrefix(dir, ".") && dir != ".ci"
}

// kindOf returns what the Go file at path is for.
func kindOf(path string) kind {
	switch {
	case strings.HasPrefix(path, "tools/"):
		return tool
	case strings.HasSuffix(path, "_test.go"):
		return test
	}

	return product
}

func (t *tree) parse(root, path string) (*source, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}

	file, err := parser.ParseFile(t.fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}

	rel, err := filepath.Rel(root, path)
	if err != nil {
		return nil, err
	}

	return &source{
		path:  filepath.ToSlash(rel),
		lines: strings.Split(string(text), "\n"),
		file:  file,
		kind:  kindOf(filepath.ToSlash(rel)),
	}, nil
}
