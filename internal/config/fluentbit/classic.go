package fluentbit

import (
	"strings"
)

// classic reads a file in the classic format. Its rules are those of flb_cf_fluentbit.c: a section begins in the first
// column, its keys are all indented by the same blanks, key and value are parted by a space, comments begin a line.
func (l *loader) classic(path string, data []byte) error {
	p := &classicReader{loader: l, path: path, section: -1}
	text := string(data)
	for text != "" {
		var row string
		row, text, _ = strings.Cut(text, "\n")
		p.line++
		if err := p.row(strings.TrimSuffix(row, "\r")); err != nil {
			return err
		}
	}
	return nil
}

// classicReader reads one file; each has its own indentation and current section.
type classicReader struct {
	*loader
	path string
	line int
	// section is the index of the current section of this file, -1 before the first.
	section int
	indent  string
	// group: the lines of double indentation that follow belong to a group of the section.
	group bool
}

func (p *classicReader) fail(problem, mend string) error {
	return &Error{File: p.path, Line: p.line, Problem: problem, Mend: mend}
}

func (p *classicReader) row(row string) error {
	body := strings.TrimLeft(row, " \t")
	switch {
	case body == "" || body[0] == '#':
		return nil
	case row[0] == '@':
		return p.meta(row)
	case row[0] == '[':
		name, _, ok := strings.Cut(row[1:], "]")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return p.fail("has a bad section header", "write it like [INPUT]")
		}
		p.file.Sections = append(p.file.Sections, Section{Kind: strings.ToLower(name), File: p.path, Line: p.line})
		p.section, p.group = len(p.file.Sections)-1, false
		return nil
	}
	blanks := row[:len(row)-len(body)]
	switch {
	case p.section < 0:
		return p.fail("has a key before the first section", "begin with a header such as [INPUT]")
	case blanks == "":
		return p.fail("has a key that is not indented", "indent the keys of a section by four blanks")
	case p.indent == "":
		p.indent = blanks
	}
	switch {
	case blanks == p.indent:
		p.group = false
	case p.group && len(blanks) == 2*len(p.indent) && strings.HasPrefix(blanks, p.indent):
		return nil // of a group, which is kept by name only
	case strings.ContainsRune(blanks, '\t') != strings.ContainsRune(p.indent, '\t'):
		return p.fail("mixes tabs and blanks", "indent all keys of the file alike")
	default:
		return p.fail("is not indented like the keys above it", "indent all keys of the file alike")
	}
	if body[0] == '[' {
		name, _, ok := strings.Cut(body[1:], "]")
		if !ok {
			return p.fail("has a bad group header", "write it like [name]")
		}
		p.add(Prop{Key: strings.TrimSpace(name), Line: p.line, Nested: true})
		p.group = true
		return nil
	}
	key, value, ok := strings.Cut(body, " ")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if key == "" {
		return p.fail("has a value without key", "write the key before the value")
	}
	if !ok || value == "" {
		if strings.ContainsRune(body, '\t') {
			return p.fail("has a key that is parted from its value by a tab", "use a blank")
		}
		return p.fail("has a key without value", "write the value after a blank, or remove the key")
	}
	p.add(Prop{Key: key, Value: value, Line: p.line})
	return nil
}

func (p *classicReader) add(prop Prop) {
	s := &p.file.Sections[p.section]
	s.Props = append(s.Props, prop)
}

// meta obeys a line that begins with @.
func (p *classicReader) meta(row string) error {
	command, rest, ok := strings.Cut(row, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case !ok || rest == "":
		return p.fail("has an @ command without value", "write it like @INCLUDE file or @SET name=value")
	case strings.EqualFold(command, "@include"):
		return p.includeAll(rest, p.root, &Error{File: p.path, Line: p.line})
	case strings.EqualFold(command, "@set"):
		name, value, ok := strings.Cut(rest, "=")
		if !ok || name == "" {
			return p.fail("has an @SET without name or value", "write it like @SET name=value")
		}
		p.vars[name] = value
		return nil
	default:
		return p.fail("has an unknown @ command", "use @INCLUDE or @SET")
	}
}
