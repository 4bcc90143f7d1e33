package yamldoc

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// All returns the root nodes of all documents in data; none for an empty text. Its
// errors are *Error.
func All(data []byte) ([]*yaml.Node, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if rest := afterText(data); len(rest) > 0 {
		line := 1 + bytes.Count(data[:len(data)-len(rest)], []byte("\n"))
		return nil, &Error{Line: line, Problem: "is not UTF-8", Remedy: "save the file as UTF-8"}
	}

	d := yaml.NewDecoder(bytes.NewReader(data))

	var roots []*yaml.Node

	for {
		var doc yaml.Node

		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return roots, nil
		}

		if err != nil {
			return nil, syntax(err)
		}

		roots = append(roots, doc.Content...)
	}
}
