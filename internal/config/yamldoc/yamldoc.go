package yamldoc

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Error says why a text is not one YAML document. It holds nothing of the text.
type Error struct {
	// Line counts from 1; 0 is unknown.
	Line int
	// Problem completes a sentence that begins with the file. Remedy says what to do.
	Problem, Remedy string
	// Empty says that there is no document at all.
	Empty bool
}

// Error returns problem and remedy in one line.
func (e *Error) Error() string { return e.Problem + "; " + e.Remedy }

// inText finds the line number in an error of the YAML library, which has it in its
// text only.
var inText = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// Parse returns the root node of the only document in data. A byte order mark is skipped;
// other encodings than UTF-8 are errors. Errors are *Error.
func Parse(data []byte) (*yaml.Node, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if rest := afterText(data); len(rest) > 0 {
		line := 1 + bytes.Count(data[:len(data)-len(rest)], []byte("\n"))
		return nil, &Error{Line: line, Problem: "is not UTF-8", Remedy: "save the file as UTF-8"}
	}

	d := yaml.NewDecoder(bytes.NewReader(data))

	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, &Error{Problem: "is empty", Remedy: "fill the file", Empty: true}
	case err != nil:
		return nil, syntax(err)
	}

	switch err := d.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntax(err)
	default:
		return nil, &Error{
			Line:    more.Line,
			Problem: "has more than one document",
			Remedy:  "keep the part before `---`",
		}
	}

	if len(doc.Content) != 1 {
		return nil, &Error{Problem: "is empty", Remedy: "fill the file", Empty: true}
	}

	return doc.Content[0], nil
}

func syntax(err error) *Error {
	e := &Error{Problem: "is not YAML: " + inText.ReplaceAllString(err.Error(), ""), Remedy: "fix the syntax"}
	if strings.Contains(err.Error(), "anchor") {
		// The library names the anchor, which may be a secret that begins with an
		// asterisk.
		e.Problem, e.Remedy = "uses an alias that is not defined", "put a value that begins with * in quotation marks"
	}

	if m := inText.FindStringSubmatch(err.Error()); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
	}

	return e
}

// afterText returns what follows the longest beginning that is UTF-8.
func afterText(data []byte) []byte {
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			break
		}

		data = data[size:]
	}

	return data
}

// IsNull reports whether a node says nothing: `key:`, `key: null`, `key: ~`.
func IsNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
