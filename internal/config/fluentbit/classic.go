package fluentbit

import (
	"fmt"
	"strings"
)

// classic reads a file in the classic format, as read_config of flb_cf_fluentbit.c
// does, line by line: a section begins in the first column, its keys have the
// indentation of the first indented line of the file, and a blank separates a key from
// its value.
func (l *loader) classic(path string, data []byte) error {
	p := &classicReader{loader: l, path: path, section: -1}
	text := string(data)

	for text != "" {
		row, rest, ended := strings.Cut(text, "\n")
		text = rest
		p.line++

		if ended {
			row = strings.TrimSuffix(row, "\r")
		}

		if err := p.row(row); err != nil {
			return err
		}
	}

	return nil
}

// classicReader reads one file; each file has its own indentation and current section.
type classicReader struct {
	*loader
	path string
	line int
	// section is the index of the current section of this file, -1 before the first.
	section int
	// indent is the beginning of the first line that is no header, comment or command.
	indent string
	// group says that the current line belongs to a group of the section.
	group bool
	// keys counts the keys since the last header.
	keys int
}

func (p *classicReader) fail(problem, remedy string) error {
	return &Error{
		File:    p.path,
		Line:    p.line,
		Problem: problem,
		Remedy:  remedy,
	}
}

// row reads one line.
func (p *classicReader) row(row string) error {
	switch {
	case strings.IndexByte(row, 0) >= 0:
		return p.fail("contains a zero byte", "save the file as plain UTF-8 text")
	case row == "" || row[0] == '#':
		return nil
	case len(row) > len(include) && strings.EqualFold(row[:len(include)], include):
		return p.includeClassic(row[len(include):])
	case row[0] == '@' && len(row) > 3:
		return p.command(row)
	case row[0] == '[':
		return p.header(row)
	}

	if p.indent == "" {
		p.indent = firstIndent(row)
		if len(p.indent) == len(row) {
			return nil
		}

		if !isBlank(row[0]) {
			p.note("is not indented: Fluent Bit takes its first letter for the indentation of the file",
				"indent the keys of a section by four blanks")
		}
	}

	level, err := p.level(row)
	if err != nil {
		return err
	}

	body := row[level:]
	if body == "" || body[0] == '#' {
		return nil
	}

	return p.key(body)
}

// include is the command of an included file; only a blank may follow it.
const include = "@INCLUDE "

// firstIndent returns the blanks at the beginning of a line, and at least its first
// byte, which Fluent Bit takes for an indentation whatever it is.
func firstIndent(row string) string {
	n := 1
	for n < len(row) && isBlank(row[n]) {
		n++
	}

	return row[:n]
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// level returns how many bytes of a line are its indentation (check_indent). A group
// has the double indentation, and so may a plain key if no group is open.
func (p *classicReader) level(row string) (int, error) {
	n := 0
	for n < len(p.indent) && n < len(row) && row[n] == p.indent[n] {
		n++
	}

	if n < len(p.indent) {
		if n < len(row) && isBlank(row[n]) {
			return 0, p.fail("mixes tabs and blanks in the indentation", "indent all lines of the file alike")
		}

		return 0, p.fail(p.outdented(row), "indent all lines of the file, comments too, by the same blanks; "+
			"or begin a comment in the first column")
	}

	extra := 0
	for n+extra < len(row) && isBlank(row[n+extra]) {
		extra++
	}

	switch extra {
	case 0:
		p.group = false
	case n:
	default:
		return 0, p.fail("is indented further than the lines above it", "indent all lines of the file alike")
	}

	return n + extra, nil
}

func (p *classicReader) outdented(row string) string {
	if !isBlank(row[0]) {
		return "is a key that is not indented"
	}

	return fmt.Sprintf("is indented less than the first indented line of the file, which begins with %d blanks",
		len(p.indent))
}

// header begins a section.
func (p *classicReader) header(row string) error {
	name, _, ok := strings.Cut(row[1:], "]")
	if !ok {
		return p.fail("is a section header without its closing bracket", "write it like [INPUT]")
	}

	if name == "" {
		name = row[1:]
	}

	p.file.Sections = append(p.file.Sections, Section{
		Kind: sectionKind(name),
		Name: name,
		File: p.path,
		Line: p.line,
	})
	p.section = len(p.file.Sections) - 1
	p.group, p.keys = false, 0

	return nil
}

// sectionKinds are the names with which Fluent Bit compares a header, in its order. It
// compares only as many letters as the header has, so that [IN] is an [INPUT] too
// (get_section_type).
var sectionKinds = []struct{ name, kind string }{
	{"service", "service"},
	{"parser", "parser"},
	{"multiline_parser", "multiline_parser"},
	{"stream_processor", "stream_processor"},
	{"plugins", "plugins"},
	{"upstream_servers", "upstream_servers"},
	{"custom", "custom"},
	{"customs", "custom"},
	{"input", "input"},
	{"inputs", "input"},
	{"filter", "filter"},
	{"filters", "filter"},
	{"output", "output"},
	{"outputs", "output"},
}

// sectionKind returns what a section with this name is, or Other.
func sectionKind(name string) string {
	for _, k := range sectionKinds {
		if len(name) <= len(k.name) && strings.EqualFold(name, k.name[:len(name)]) {
			return k.kind
		}
	}

	return Other
}

// key reads a key and its value, or the header of a group.
func (p *classicReader) key(body string) error {
	key, value, ok := strings.Cut(body, " ")
	if !ok {
		if strings.ContainsRune(body, '\t') {
			return p.fail("separates a key from its value by a tab", "use a blank")
		}

		return p.fail("is a key without a value", "write the value after a blank, or remove the key")
	}

	if key[0] == '[' {
		return p.openGroup(body)
	}

	if trim(value) == "" {
		return p.fail("is a key without a value", "write the value after a blank, or remove the key")
	}

	if p.section < 0 {
		return p.fail("is a key before the first section", "begin with a header such as [INPUT]")
	}

	p.keys++
	if p.group {
		return nil // the groups of a section are kept by name only
	}

	p.add(Prop{
		Key:   trim(key),
		Value: trim(value),
		Line:  p.line,
	})

	return nil
}

func (p *classicReader) openGroup(body string) error {
	name, _, ok := strings.Cut(body[1:], "]")
	switch {
	case !ok:
		return p.fail("is a group header without its closing bracket", "write it like [name]")
	case p.section < 0:
		return p.fail("is a group outside of a section", "begin with a header such as [INPUT]")
	case p.group && p.keys == 0:
		return p.fail("begins a group after one without keys", "remove the empty group")
	}

	p.add(Prop{
		Key:    trim(name),
		Line:   p.line,
		Nested: true,
	})
	p.group, p.keys = true, 0

	return nil
}

func (p *classicReader) add(prop Prop) {
	s := &p.file.Sections[p.section]
	prop.File = s.File
	s.Props = append(s.Props, prop)
}

// command reads a line that begins with @. Fluent Bit ignores the commands that it does
// not know, and @SET without an equals sign.
func (p *classicReader) command(row string) error {
	name, rest, ok := strings.Cut(row, " ")
	if !ok {
		return p.fail("is an @ command without a blank and a value", "write it like @INCLUDE file or @SET name=value")
	}

	rest = trim(rest)

	if !strings.EqualFold(name, "@set") {
		p.note("is a command that Fluent Bit does not know and ignores", "use @INCLUDE or @SET")
		return nil
	}

	key, value, ok := strings.Cut(rest, "=")
	if !ok || key == "" {
		p.note("is an @SET without name and value, which Fluent Bit ignores", "write it like @SET name=value")
		return nil
	}

	p.sets = append(p.sets, variable{name: key, value: value, at: Error{File: p.path, Line: p.line}})

	return nil
}

func (p *classicReader) note(problem, remedy string) {
	p.file.Notes = append(p.file.Notes, &Error{
		File:    p.path,
		Line:    p.line,
		Problem: problem,
		Remedy:  remedy,
	})
}

// includeClassic reads the file that an @INCLUDE names. A blank before or after the
// name is part of the name.
func (p *classicReader) includeClassic(name string) error {
	at := &Error{File: p.path, Line: p.line}
	if name != trim(name) && !strings.Contains(name, "*") {
		at.hint = "remove the blanks around the name: Fluent Bit takes them for a part of it"
	}

	return p.includeAll(name, p.root, at)
}

// trim removes white space, as isspace of C defines it, from both ends (flb_sds_trim).
func trim(s string) string { return strings.Trim(s, " \t\n\v\f\r") }
