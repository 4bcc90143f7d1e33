package fluentbit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"

	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/config/yamldoc"
)

// yaml reads a file in the YAML format.
func (l *loader) yaml(path string, data []byte) error {
	root, err := yamldoc.Parse(data)
	var bad *yamldoc.Error
	if errors.As(err, &bad) {
		return &Error{File: path, Line: bad.Line, Problem: bad.Problem, Mend: bad.Mend, Err: err}
	}
	y := &yamlReader{loader: l, path: path}
	if root.Kind != yaml.MappingNode {
		return y.fail(root, "is not a mapping", "begin with service: or pipeline:")
	}
	if y.isTenantsFile(root) {
		return &Error{File: path, Line: root.Line, Problem: ErrTenantsFile.Error(), Mend: "name it with tenants_file in the section of the input", Err: ErrTenantsFile}
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if err := y.top(strings.ToLower(root.Content[i].Value), root.Content[i], root.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

type yamlReader struct {
	*loader
	path string
}

func (y *yamlReader) fail(n *yaml.Node, problem, mend string) error {
	if n.Kind == yaml.AliasNode {
		problem, mend = "uses an alias, which Fluent Bit does not know", "write the value itself"
	}
	return &Error{File: y.path, Line: n.Line, Problem: problem, Mend: mend}
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

// kinds are the names of sections whose singular is not the plural without s.
var kinds = map[string]string{"plugins": "plugins", "customs": "custom", "parsers": "parser", "multiline_parsers": "multiline_parser",
	"inputs": "input", "filters": "filter", "outputs": "output"}

// top reads one key of the root.
func (y *yamlReader) top(name string, k, v *yaml.Node) error {
	switch name {
	case "env":
		return y.environment(v)
	case "includes":
		return y.includes(v)
	case "pipeline":
		if v.Kind != yaml.MappingNode {
			return y.fail(v, "pipeline is not a mapping", "write inputs:, filters: or outputs: under it")
		}
		for i := 0; i+1 < len(v.Content); i += 2 {
			part := strings.ToLower(v.Content[i].Value)
			if part != "inputs" && part != "filters" && part != "outputs" {
				return y.fail(v.Content[i], "pipeline has an unknown part", "use inputs, filters or outputs")
			}
			if err := y.sections(kinds[part], v.Content[i], v.Content[i+1]); err != nil {
				return err
			}
		}
		return nil
	default:
		kind := kinds[name]
		if kind == "" {
			kind = name
		}
		return y.sections(kind, k, v)
	}
}

// sections reads a section, or a list of them.
func (y *yamlReader) sections(kind string, k, v *yaml.Node) error {
	switch {
	case v.Kind == yaml.MappingNode:
		return y.section(kind, v)
	case v.Kind == yaml.SequenceNode:
		for _, item := range v.Content {
			switch item.Kind {
			case yaml.MappingNode:
				if err := y.section(kind, item); err != nil {
					return err
				}
			case yaml.ScalarNode: // plugins: [ /path.so ]
				y.file.Sections = append(y.file.Sections, Section{Kind: kind, File: y.path, Line: item.Line,
					Props: []Prop{{Key: "path", Value: item.Value, Line: item.Line}}})
			default:
				return y.fail(item, kind+" is not a mapping", "write keys with values")
			}
		}
		return nil
	case yamldoc.IsNull(v):
		return nil
	default:
		return y.fail(v, "section "+k.Value+" is neither a mapping nor a list", "write keys with values under it")
	}
}

func (y *yamlReader) section(kind string, n *yaml.Node) error {
	s := Section{Kind: kind, File: y.path, Line: n.Line}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			return y.fail(k, "has a key that is not a word", "write keys with values")
		}
		p := Prop{Key: snake(k.Value), Line: k.Line}
		switch v.Kind {
		case yaml.ScalarNode:
			p.Value = v.Value
			s.Props = append(s.Props, p)
		case yaml.SequenceNode:
			// A list of scalars is the same key several times.
			for _, item := range v.Content {
				p.Value, p.Nested, p.Line = item.Value, item.Kind != yaml.ScalarNode, item.Line
				s.Props = append(s.Props, p)
			}
		case yaml.MappingNode:
			p.Nested = true
			s.Props = append(s.Props, p)
		default:
			return y.fail(v, "has no value", "write one")
		}
	}
	y.file.Sections = append(y.file.Sections, s)
	return nil
}

// snake does what flb_cf_key_translate does: camelCase, beginning in lower case and without underscores, becomes snake_case.
func snake(key string) string {
	if key == "" || !unicode.IsLower(rune(key[0])) || strings.ContainsRune(key, '_') {
		return key
	}
	var b strings.Builder
	for _, c := range key {
		if c < unicode.MaxASCII && unicode.IsUpper(c) {
			b.WriteByte('_')
			c = unicode.ToLower(c)
		}
		b.WriteRune(c)
	}
	return b.String()
}

// includes reads the list of included files; relative names start from the directory of the including file.
func (y *yamlReader) includes(v *yaml.Node) error {
	if v.Kind != yaml.SequenceNode {
		return y.fail(v, "includes is not a list", "write one file a line, each after a dash")
	}
	for _, item := range v.Content {
		if item.Kind != yaml.ScalarNode {
			return y.fail(item, "includes something that is not a file name", "write one file a line, each after a dash")
		}
		if err := y.includeAll(item.Value, filepath.Dir(y.path), &Error{File: y.path, Line: item.Line}); err != nil {
			return err
		}
	}
	return nil
}

// environment reads `env`: names with values, or with the address of a file that holds the value (`uri: file:///path`).
func (y *yamlReader) environment(v *yaml.Node) error {
	if v.Kind != yaml.MappingNode {
		if yamldoc.IsNull(v) {
			return nil
		}
		return y.fail(v, "env is not a mapping", "write names with values under it")
	}
	for i := 0; i+1 < len(v.Content); i += 2 {
		name, value := v.Content[i].Value, v.Content[i+1]
		switch value.Kind {
		case yaml.ScalarNode:
			y.vars[name] = value.Value
		case yaml.MappingNode:
			for j := 0; j+1 < len(value.Content); j += 2 {
				switch key, text := strings.ToLower(value.Content[j].Value), value.Content[j+1].Value; key {
				case "value":
					y.vars[name] = text
				case "uri":
					y.fromFile(name, text, value.Content[j+1])
				}
			}
		default:
			return y.fail(value, "env has something that is not a value", "write names with values")
		}
	}
	return nil
}

// fromFile sets a variable to what a file holds; one that cannot be read is a note, since Fluent Bit goes on without it.
func (y *yamlReader) fromFile(name, uri string, n *yaml.Node) {
	path, ok := strings.CutPrefix(uri, "file://")
	if !ok {
		y.file.Notes = append(y.file.Notes, &Error{File: y.path, Line: n.Line, Problem: "variable " + name + " comes from an address that is not read here"})
		return
	}
	const most = 64 << 10
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		defer f.Close()
		if info, statErr := f.Stat(); statErr == nil && info.Mode().IsRegular() && info.Size() <= most {
			var data bytes.Buffer
			if _, err = data.ReadFrom(f); err == nil {
				y.vars[name] = strings.TrimSpace(data.String())
				return
			}
		}
	}
	y.file.Notes = append(y.file.Notes, &Error{File: y.path, Line: n.Line, Problem: "the file with the variable " + name + " cannot be read", Mend: "check its name and mode", Err: err})
}
