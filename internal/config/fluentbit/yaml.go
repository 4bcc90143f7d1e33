package fluentbit

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/config/yamldoc"
)

// yaml reads a file in the YAML format. It accepts what consume_event of flb_cf_yaml.c
// accepts: most places allow one kind of node only, and an empty value is the empty
// text, not an empty list.
func (l *loader) yaml(path string, data []byte) error {
	docs, err := yamldoc.All(data)

	var bad *yamldoc.Error
	if errors.As(err, &bad) {
		return &Error{
			File:    path,
			Line:    bad.Line,
			Problem: bad.Problem,
			Remedy:  bad.Remedy,
			Err:     err,
		}
	}

	y := &yamlReader{loader: l, path: path}
	for _, root := range docs {
		if err := y.document(root); err != nil {
			return err
		}
	}

	return nil
}

// yamlReader reads one file.
type yamlReader struct {
	*loader
	path string
}

func (y *yamlReader) fail(n *yaml.Node, problem, remedy string) error {
	if n.Kind == yaml.AliasNode {
		problem, remedy = "uses an alias, which Fluent Bit does not know", "write the value itself"
	}

	return &Error{
		File:    y.path,
		Line:    n.Line,
		Problem: problem,
		Remedy:  remedy,
	}
}

// pairs calls f with every key, as text, and its value.
func (y *yamlReader) pairs(n *yaml.Node, f func(key, value *yaml.Node) error) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			return y.fail(k, "has a key that is not a word", "write keys with values")
		}

		if v.Kind == yaml.AliasNode {
			return y.fail(v, "", "")
		}

		if err := f(k, v); err != nil {
			return err
		}
	}

	return nil
}

func (y *yamlReader) document(root *yaml.Node) error {
	if root.Kind != yaml.MappingNode {
		return y.fail(root, "is not a mapping", "begin with service: or pipeline:")
	}

	if y.isTenantsFile(root) {
		return &Error{
			File:    y.path,
			Line:    root.Line,
			Problem: ErrTenantsFile.Error(),
			Remedy:  "name it with tenants_file in the section of the input",
			Err:     ErrTenantsFile,
		}
	}

	return y.pairs(root, y.top)
}

func (y *yamlReader) isTenantsFile(root *yaml.Node) bool {
	tenants := false

	for i := 0; i+1 < len(root.Content); i += 2 {
		switch strings.ToLower(root.Content[i].Value) {
		case "tenants":
			tenants = true
		case "pipeline", "service", "includes", "env":
			return false
		}
	}

	return tenants
}

// lists are the parts of the root that are lists of sections, with the kind of these.
var lists = map[string]string{
	"parsers":           "parser",
	"multiline_parsers": "multiline_parser",
	"stream_processor":  "stream_processor",
	"upstream_servers":  "upstream_servers",
	"customs":           "custom",
}

// parts are the parts of the pipeline.
var parts = map[string]string{
	"inputs":  "input",
	"filters": "filter",
	"outputs": "output",
}

// top reads one key of the root.
func (y *yamlReader) top(k, v *yaml.Node) error {
	name := strings.ToLower(k.Value)
	switch name {
	case "env":
		return y.environment(k, v)
	case "includes":
		return y.includes(k, v)
	case "pipeline":
		if v.Kind != yaml.MappingNode {
			return y.fail(k, "pipeline is not a mapping", "write inputs:, filters: or outputs: under it")
		}

		return y.pairs(v, y.part)
	case "plugins":
		return y.plugins(k, v)
	case "service":
		if y.serviceSeen {
			return y.fail(k, "service is there twice", "keep one, in all files together")
		}

		y.serviceSeen = true

		return y.flat("service", k, v)
	}

	if kind := lists[name]; kind != "" {
		return y.sections(kind, k, v)
	}

	return y.flat(Other, k, v)
}

// part reads one part of the pipeline.
func (y *yamlReader) part(k, v *yaml.Node) error {
	kind := parts[strings.ToLower(k.Value)]
	if kind == "" {
		return y.fail(k, "pipeline has an unknown part", "use inputs, filters or outputs")
	}

	return y.sections(kind, k, v)
}

// plugins reads the list of external plugins. Fluent Bit treats each path as the name
// of a key.
func (y *yamlReader) plugins(k, v *yaml.Node) error {
	if v.Kind != yaml.SequenceNode {
		return y.fail(k, "plugins is not a list", "write one path a line, each after a dash")
	}

	s := Section{
		Kind: "plugins",
		Name: k.Value,
		File: y.path,
		Line: k.Line,
	}
	for _, item := range v.Content {
		if item.Kind != yaml.ScalarNode || trim(item.Value) == "" {
			return y.fail(item, "plugins has an entry that is not a path", "write one path a line, each after a dash")
		}

		s.add(Prop{
			Key:     "path",
			Value:   snake(trim(item.Value)),
			Written: item.Value,
			Line:    item.Line,
		})
	}

	y.file.Sections = append(y.file.Sections, s)

	return nil
}

// snake translates a key of YAML as flb_cf_key_translate does: a key that begins with a
// small letter is camelCase and becomes snake_case, unless it has an underscore
// already.
func snake(key string) string {
	if key == "" || key[0] < 'a' || key[0] > 'z' {
		return trim(key)
	}

	if strings.ContainsRune(key, '_') {
		return trim(asciiLower(key))
	}

	var b bytes.Buffer

	for i := range len(key) {
		c := key[i]
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
		}

		b.WriteByte(c)
	}

	return trim(asciiLower(b.String()))
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}

		return r
	}, s)
}

// includes reads the list of included files. Relative names are relative to the
// directory of the including file.
func (y *yamlReader) includes(k, v *yaml.Node) error {
	if v.Kind != yaml.SequenceNode {
		return y.fail(k, "includes is not a list", "write one file a line, each after a dash")
	}

	for _, item := range v.Content {
		if item.Kind != yaml.ScalarNode {
			return y.fail(item, "includes something that is not a file name",
				"write one file a line, each after a dash")
		}

		at := &Error{File: y.path, Line: item.Line}
		if err := y.includeAll(item.Value, filepath.Dir(y.path), at); err != nil {
			return err
		}
	}

	return nil
}

// environment reads env: a mapping of names to values, or a list of mappings with name,
// value and uri (`file:///path`, a file that holds the value).
func (y *yamlReader) environment(k, v *yaml.Node) error {
	switch v.Kind {
	case yaml.MappingNode:
		return y.pairs(v, func(name, value *yaml.Node) error {
			if value.Kind != yaml.ScalarNode {
				return y.fail(name, "env has something that is not a plain value",
					"write names with values; for a file, a list of entries with name and uri")
			}

			y.setVariable(variable{name: name.Value, value: value.Value}, name)

			return nil
		})
	case yaml.SequenceNode:
		for _, item := range v.Content {
			if err := y.environmentEntry(item); err != nil {
				return err
			}
		}

		return nil
	default:
		return y.fail(k, "env is not a mapping", "write names with values under it, or remove it")
	}
}

func (y *yamlReader) environmentEntry(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return y.fail(n, "an entry of env is not a mapping", "write name: and value: or uri:")
	}

	var e variable

	err := y.pairs(n, func(key, value *yaml.Node) error {
		if value.Kind != yaml.ScalarNode {
			return y.fail(key, "env has something that is not a plain value", "write one value")
		}

		switch strings.ToLower(key.Value) {
		case "name":
			e.name = value.Value
		case "value":
			e.value = value.Value
		case "uri":
			e.uri = value.Value
		case "refresh_interval":
		default:
			if e.name == "" {
				e.name, e.value = key.Value, value.Value
			}
		}

		return nil
	})
	if err == nil && e.name != "" {
		y.setVariable(e, n)
	}

	return err
}

func (y *yamlReader) setVariable(v variable, n *yaml.Node) {
	v.at, v.strict = Error{File: y.path, Line: n.Line}, true
	y.sets = append(y.sets, v)
}
