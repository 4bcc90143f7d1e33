package tenantfile

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/config/yamldoc"
)

// add inserts tenants at the end of the list, which it makes if there is none.
func (d *document) add(tenants []Tenant) error {
	switch {
	case d.root == nil:
		d.append("tenants:" + d.newline + d.block("  ", "   ", tenants))
	case d.key == nil && d.root.Style&yaml.FlowStyle != 0:
		return d.addToFlow(d.offset(d.root), len(d.root.Content) > 0, "tenants: ["+flowItems(tenants)+"]")
	case d.key == nil:
		indent := strings.Repeat(" ", d.root.Column-1)
		d.append(indent + "tenants:" + d.newline + d.block(indent+"  ", indent+"   ", tenants))
	case d.list.Kind == yaml.SequenceNode && d.list.Style&yaml.FlowStyle != 0:
		return d.addToList(tenants)
	case yamldoc.IsNull(d.list):
		return d.addToNothing(tenants)
	default:
		d.addToBlock(tenants)
	}

	return nil
}

// block writes tenants as items of a block list. dash is what stands before the dash,
// keys what stands before the keys but for the blank that follows the dash.
func (d *document) block(dash, keys string, tenants []Tenant) string {
	var b strings.Builder

	for _, t := range tenants {
		gap := strings.TrimPrefix(keys, dash)
		b.WriteString(dash + "-" + strings.Repeat(" ", max(1, len(gap))) + "tenant_id: " + t.ID + d.newline)
		b.WriteString(dash + strings.Repeat(" ", 1+max(1, len(gap))) + "tenant_name: " + scalar(t.Name) + d.newline)
	}

	return b.String()
}

// flowItem writes a tenant on one line; flowItems joins several.
func flowItem(t Tenant) string {
	return "{tenant_id: " + t.ID + ", tenant_name: " + scalar(t.Name) + "}"
}

func flowItems(tenants []Tenant) string {
	var all []string
	for _, t := range tenants {
		all = append(all, flowItem(t))
	}

	return strings.Join(all, ", ")
}

// append inserts lines at the end of the document.
func (d *document) append(lines string) { d.insertLines(d.end(), lines) }

// insertLines inserts whole lines at the beginning of a line, or at the end of a text
// whose last line has no end.
func (d *document) insertLines(at int, lines string) {
	if at > 0 && d.text[at-1] != '\n' {
		lines = d.newline + strings.TrimSuffix(lines, d.newline)
	}

	d.edits = append(d.edits, edit{at: at, text: lines})
}

// end returns where the document ends: at a line that ends it, or with the text.
func (d *document) end() int {
	for at := d.bodyStart(); at < len(d.text); at = d.nextLine(at) {
		line := d.line(at)
		if line == "..." || strings.HasPrefix(line, "... ") || line == "---" && at > d.bodyStart() {
			return at
		}
	}

	return len(d.text)
}

// bodyStart returns where the first line of the document's content may begin.
func (d *document) bodyStart() int {
	if d.root == nil {
		return 0
	}

	return d.lineStart(d.root.Line)
}

// line returns the line that begins at an offset, without its end.
func (d *document) line(at int) string {
	return strings.TrimRight(string(d.text[at:d.nextLine(at)]), "\r\n")
}

// nextLine returns where the line after the one at an offset begins.
func (d *document) nextLine(at int) int {
	for at < len(d.text) {
		at++
		if d.text[at-1] == '\n' {
			break
		}
	}

	return at
}

// lineStart returns where a line begins; lines count from 1.
func (d *document) lineStart(line int) int {
	at := 0
	for ; line > 1 && at < len(d.text); line-- {
		at = d.nextLine(at)
	}

	return at
}

// offset returns where a node begins.
func (d *document) offset(n *yaml.Node) int {
	at := d.lineStart(n.Line)

	for column := 1; column < n.Column && at < len(d.text); column++ {
		_, size := utf8.DecodeRune(d.text[at:])
		at += size
	}

	return at
}

// indentOf returns the blanks before the first character of a line.
func indentOf(line string) string { return line[:len(line)-len(strings.TrimLeft(line, " "))] }

// dashOf returns where the line of an item's dash begins.
func (d *document) dashOf(item *yaml.Node) int {
	line := item.Line

	for ; line > d.key.Line; line-- {
		at := d.lineStart(line)
		if rest := strings.TrimLeft(d.line(at), " "); rest == "-" || strings.HasPrefix(rest, "- ") {
			return at
		}
	}

	return d.lineStart(item.Line)
}

// addToBlock adds tenants to a block list that has some.
func (d *document) addToBlock(tenants []Tenant) {
	last := d.entries[len(d.entries)-1].node
	at := d.dashOf(last)
	dash := indentOf(d.line(at))

	gap := 1
	if d.lineStart(last.Line) == at && last.Anchor == "" {
		gap = max(1, last.Column-1-len(dash)-1)
	}

	lines := d.block(dash, dash+strings.Repeat(" ", gap), tenants)
	if last.Style&yaml.FlowStyle != 0 {
		lines = ""
		for _, t := range tenants {
			lines += dash + "-" + strings.Repeat(" ", gap) + flowItem(t) + d.newline
		}
	}

	d.insertLines(d.endOfBlock(at, len(dash)), lines)
}

// endOfBlock returns where new items go: behind the last line that belongs to the list,
// with the comments that are deeper than its dashes. at is in the last item.
func (d *document) endOfBlock(at, dash int) int {
	behind := d.nextLine(at)

	for next := behind; next < d.end(); {
		line := d.line(next)
		trimmed := strings.TrimLeft(line, " \t")

		if trimmed != "" && len(indentOf(line)) <= dash {
			break // a comment about what follows, or the next key
		}

		next = d.nextLine(next)
		if trimmed != "" {
			behind = next
		}
	}

	return behind
}

// addToNothing adds tenants to a list that is not there yet: `tenants:` alone, or null.
func (d *document) addToNothing(tenants []Tenant) error {
	if d.root.Style&yaml.FlowStyle != 0 {
		at := d.offset(d.list)
		d.edits = append(d.edits, edit{at: at, cut: len(d.list.Value), text: " [" + flowItems(tenants) + "]"})

		return nil
	}

	if d.list.Value != "" {
		d.edits = append(d.edits, edit{at: d.offset(d.list), cut: len(d.list.Value)})
	}

	indent := strings.Repeat(" ", d.key.Column-1)
	d.insertLines(d.nextLine(d.lineStart(d.key.Line)), d.block(indent+"  ", indent+"   ", tenants))

	return nil
}

// addToList adds tenants to a flow list.
func (d *document) addToList(tenants []Tenant) error {
	return d.addToFlow(d.offset(d.list), len(d.entries) > 0, flowItems(tenants))
}

// addToFlow adds a text at the end of what begins with a bracket at an offset; more says
// that something is in it.
func (d *document) addToFlow(at int, more bool, text string) error {
	for at < len(d.text) && d.text[at] != '[' && d.text[at] != '{' {
		at++ // behind an anchor
	}

	last, comma, ok := endOfFlow(d.text, at)
	if !ok {
		return fmt.Errorf("%w: the end of its list cannot be found", ErrShape)
	}

	switch {
	case more && comma:
		text = " " + text
	case more:
		text = ", " + text
	}

	d.edits = append(d.edits, edit{at: last, text: text})

	return nil
}

// endOfFlow returns where the last character of what stands between two brackets ends,
// and whether that is a comma. The opening bracket is at an offset.
func endOfFlow(text []byte, at int) (last int, comma, ok bool) {
	depth, fresh := 0, true // fresh: a quotation mark would begin a text

	for i := at; i < len(text); i++ {
		if n := blankOf(text, i); n > 0 {
			i += n - 1
			continue
		}

		switch c := text[i]; c {
		case '[', '{':
			depth++
			comma, fresh = false, true
		case ']', '}':
			depth--
			if depth == 0 {
				return last, comma, true
			}

			comma, fresh = false, false
		case '\'', '"':
			if fresh {
				i = endOfQuoted(text, i)
			}

			comma, fresh = false, false
		default:
			comma = c == ','
			fresh = comma || c == ':'
		}

		last = i + 1
	}

	return 0, false, false
}

// blankOf returns the length of the blank or comment at an offset, 0 if there is none.
func blankOf(text []byte, at int) int {
	const blanks = " \t\r\n"

	if strings.IndexByte(blanks, text[at]) >= 0 {
		return 1
	}

	if text[at] != '#' || at == 0 || strings.IndexByte(blanks, text[at-1]) < 0 {
		return 0
	}

	end := bytes.IndexByte(text[at:], '\n')
	if end < 0 {
		return len(text) - at
	}

	return end
}

// endOfQuoted returns where the text in quotation marks ends that begins at an offset.
func endOfQuoted(text []byte, at int) int {
	mark := text[at]

	for i := at + 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && mark == '"':
			i++
		case text[i] == mark && mark == '\'' && i+1 < len(text) && text[i+1] == mark:
			i++
		case text[i] == mark:
			return i
		}
	}

	return len(text)
}

// mark puts a remark above a tenant, and reports whether it was not there.
func (d *document) mark(e Entry, remark string) bool {
	word, _, _ := strings.Cut(remark, " ")

	at := d.lineStart(e.node.Line)
	if d.list.Style&yaml.FlowStyle == 0 {
		at = d.dashOf(e.node)
	}

	for above := at; above > 0; {
		above = d.lineBefore(above)

		line := strings.TrimLeft(d.line(above), " \t")
		if !strings.HasPrefix(line, "#") {
			break
		}

		if strings.HasPrefix(strings.TrimLeft(line, "# "), word) {
			return false
		}
	}

	indent := indentOf(d.line(at))
	start := d.offset(e.node)

	if d.list.Style&yaml.FlowStyle != 0 && strings.TrimSpace(string(d.text[at:start])) != "" {
		// The tenant does not begin its line: it gets one.
		indent = strings.Repeat(" ", d.key.Column+1)
		d.edits = append(d.edits, edit{at: start, text: d.newline + indent + "# " + remark + d.newline + indent})

		return true
	}

	d.edits = append(d.edits, edit{at: at, text: indent + "# " + remark + d.newline})

	return true
}

// lineBefore returns where the line before the one at an offset begins.
func (d *document) lineBefore(at int) int {
	for at--; at > 0 && d.text[at-1] != '\n'; {
		at--
	}

	return max(at, 0)
}

// plainName is a name that YAML reads as a text without quotation marks.
var plainName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*( [A-Za-z0-9_.-]+)*$`)

// reserved are words that YAML does not read as a text.
var reserved = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null|nan|inf)$`)

// scalar writes a name as YAML.
func scalar(name string) string {
	name = cleanName(name)
	if plainName.MatchString(name) && !reserved.MatchString(name) {
		return name
	}

	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// cleanName returns a name on one line, in which nothing would be taken for a variable of
// the environment.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}

		return r
	}, name)

	return strings.ReplaceAll(strings.TrimSpace(name), "${", "$ {")
}
