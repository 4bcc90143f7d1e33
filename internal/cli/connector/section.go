package connector

import (
	"fmt"
	"maps"
	"strings"

	"github.com/magiconair/properties"
)

// A section is a stanza as it is in the file. The first section of a file has what is
// before all headers, and what is in [default].
type section struct {
	name   string
	values map[field]found
	// err is why the section cannot be used: it says something twice.
	err error
}

// found is a value, and the line where it stands. The key is as the file writes it.
type found struct {
	value, key string
	line       int
}

func (s section) get(f field) string { return s.values[f].value }

func (s section) has(f field) bool { return s.values[f].value != "" }

// split cuts a text into sections, in their order. A header that is repeated continues
// its section, as in Splunk.
func split(text string) ([]section, error) {
	lines, err := logicalLines(text)
	if err != nil {
		return nil, err
	}

	ini := false
	for _, l := range lines {
		ini = ini || l.header != ""
	}

	all := []section{{values: map[field]found{}}}
	index := map[string]int{"default": 0}
	current := 0

	for _, l := range lines {
		if l.header != "" {
			name := l.header
			if strings.EqualFold(name, "default") {
				name = "default"
			}

			at, known := index[name]
			if !known {
				at = len(all)
				index[name] = at
				all = append(all, section{name: name, values: map[field]found{}})
			}

			current = at

			continue
		}

		key, value, err := l.pair(ini)
		if err != nil {
			return nil, err
		}

		all[current].add(key, value, l.number)
	}

	return all, nil
}

// add notes a value. Two different values for one field are a fault: nobody can know
// which of them belongs to the other fields.
func (s *section) add(key, value string, line int) {
	f, known := fields[strings.ToLower(key)]
	if !known || value == "" {
		return
	}

	before := s.values[f]
	mayDiffer := f == fieldProps || f == fieldEvents || f == fieldDisabled

	switch {
	case mayDiffer || before.value == "" || same(f, before.value, value):
		if f != fieldEvents || before.value == "" || rank(f, key) <= rank(f, before.key) {
			s.values[f] = found{value, key, line}
		}
	case s.err == nil:
		s.err = fmt.Errorf("line %d gives %s another value than line %d: two connectors in one place, and it is "+
			"not clear what belongs together", line, key, before.line)
	}
}

// same reports whether two values of a field mean the same.
func same(f field, a, b string) bool {
	switch f {
	case fieldSecret, fieldRefresh:
		return a == b
	case fieldToken, fieldAuth:
		loginA, tenantA, errA := tenantOf(a)
		loginB, tenantB, errB := tenantOf(b)

		return a == b || errA == nil && errB == nil && loginA == loginB && tenantA == tenantB
	}

	return strings.EqualFold(a, b)
}

// rank returns the place of a key among the names of its field; the first one counts
// most.
func rank(f field, key string) int {
	for i, name := range names[f] {
		if strings.EqualFold(name, key) {
			return i
		}
	}

	return len(names[f])
}

// inherit returns the section with what it takes over from the common one. A secret goes
// with the client id beside which it stands, and a refresh token with client id and
// tenant: neither is taken over by a section that names another one.
func (s section) inherit(common section) section {
	v := section{name: s.name, values: map[field]found{}, err: s.err}
	if v.err == nil {
		v.err = common.err
	}

	for f, value := range common.values {
		if s.inherits(f, common) {
			v.values[f] = value
		}
	}

	maps.Copy(v.values, s.values)

	return v
}

// inherits reports whether the section may take over a field from the common one.
func (s section) inherits(f field, common section) bool {
	otherClient := s.differs(fieldClient, common)
	otherTenant := s.differs(fieldToken, common) || s.differs(fieldAuth, common)

	switch f {
	case fieldSecret:
		return !otherClient
	case fieldRefresh:
		return !otherClient && !otherTenant
	case fieldToken, fieldAuth:
		return !s.has(fieldToken) && !s.has(fieldAuth)
	}

	return true
}

// differs reports whether the section has a field with another value than the common one.
func (s section) differs(f field, common section) bool {
	return s.has(f) && (!common.has(f) || !same(f, s.get(f), common.get(f)))
}

// A logicalLine is a line together with those that continue it, or a header.
type logicalLine struct {
	text   string
	header string
	number int // of its first line, from 1
}

// logicalLines joins what a backslash at the end continues, and leaves out comments and
// blank lines.
func logicalLines(text string) ([]logicalLine, error) {
	var all []logicalLine

	open := false

	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")

		trimmed := strings.TrimSpace(line)
		if open {
			all[len(all)-1].text += "\n" + line
			open = continued(line)

			continue
		}

		switch {
		case trimmed == "" || strings.ContainsRune("#!;", rune(trimmed[0])):
		case trimmed[0] == '[':
			name := strings.TrimSpace(strings.TrimSuffix(trimmed[1:], "]"))
			if !strings.HasSuffix(trimmed, "]") || name == "" || strings.ContainsAny(name, "[]") {
				return nil, fmt.Errorf("line %d is not understood: a stanza is written [name], alone on its "+
					"line", number)
			}

			all = append(all, logicalLine{header: name, number: number})
		default:
			all = append(all, logicalLine{text: line, number: number})
			open = continued(line)
		}
	}

	return all, nil
}

// continued reports whether a line ends with a backslash that is not escaped itself.
func continued(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

// pair reads key and value of a line, as Splunk does in files with headers (ini), else as
// Java does.
func (l logicalLine) pair(ini bool) (key, value string, err error) {
	if ini {
		key, value = l.splunkPair()
		return key, value, nil
	}

	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}

	p, err := loader.LoadBytes([]byte(spacedKey(l.text)))
	if err != nil {
		// The library's error quotes the line, which may hold a secret.
		return "", "", fmt.Errorf("is not a properties file: line %d is not understood", l.number)
	}

	for _, k := range p.Keys() {
		v, _ := p.Get(k)
		return strings.TrimSpace(k), strings.TrimSpace(v), nil
	}

	return "", "", nil
}

// splunkPair reads a line of Splunk's: there are no escapes but the one that continues a
// line. Addresses are read as Java writes them too, since an address holds no backslash.
func (l logicalLine) splunkPair() (key, value string) {
	text := strings.ReplaceAll(l.text, "\\\n", "\n")

	at := strings.IndexAny(text, "=:")
	if at < 0 {
		return "", ""
	}

	var pieces []string
	for piece := range strings.Lines(text[at+1:]) {
		pieces = append(pieces, strings.TrimSpace(piece))
	}

	key, value = strings.TrimSpace(text[:at]), strings.Join(pieces, "")
	switch fields[strings.ToLower(key)] {
	case fieldToken, fieldAuth, fieldEvents, fieldProps, fieldResource:
		value = strings.NewReplacer(`\:`, ":", `\=`, "=").Replace(value)
	}

	return key, value
}

// spacedKey escapes the blanks in a key such as "OAuth 2 Client ID: …", which Java would
// end there. Such names are what the portal shows.
func spacedKey(line string) string {
	trimmed := strings.TrimLeft(line, " \t")

	lower := strings.ToLower(trimmed)
	for k := range fields {
		rest, ok := strings.CutPrefix(lower, k)

		rest = strings.TrimLeft(rest, " \t")
		if !ok || !strings.Contains(k, " ") || !strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, ":") {
			continue
		}

		if len(trimmed) != len(lower) {
			continue // letters that change their length in lower case: not one of these keys
		}

		return strings.ReplaceAll(trimmed[:len(k)], " ", `\ `) + trimmed[len(k):]
	}

	return line
}
