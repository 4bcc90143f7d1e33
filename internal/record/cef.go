package record

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
)

// A cefBuilder writes the CEF lines of one tenant and API. The lines it returns are
// valid until its next call.
type cefBuilder struct {
	mapping  *cefMapping
	tenant   string
	maxBytes int
	fields   []gjson.Result
	entities cefCandidates
	pairs    []cefPair
	line     []byte
	move     []byte // Encoder.Alert uses it to put a line in its place
}

// A cefPair is one key of the extension with its value, cut to the key's length and not
// yet escaped.
type cefPair struct{ key, value, label string }

// newCEFBuilder returns a builder. It fails if the table has no column for the API.
func newCEFBuilder(o Options) (*cefBuilder, error) {
	if _, err := o.API.Descriptor(); err != nil {
		return nil, err
	}

	mapping := cefMappings[o.API]
	if mapping == nil || !mapping.whole() {
		return nil, fmt.Errorf("api %s has no mapping to CEF", o.API)
	}

	return &cefBuilder{
		mapping:  mapping,
		tenant:   o.Tenant,
		maxBytes: o.CEFMaxBytes,
	}, nil
}

// alert returns the line of a row, which must be valid JSON.
func (c *cefBuilder) alert(raw []byte, id alert.ID) []byte {
	defer c.release()

	if c.fields == nil { // most units never need it
		c.fields = make([]gjson.Result, len(rowFields.paths))
	}

	a := &cefAlert{
		mapping: c.mapping,
		id:      id,
		tenant:  c.tenant,
		fields:  c.fields,
	}
	a.read(raw, &c.entities)

	c.pairs = c.pairs[:0]

	for _, key := range c.mapping.keys {
		c.add(key.key, key.label, key.max, key.get(a))
	}

	m := c.mapping
	class := cmp.Or(headerText(m.class.get(a), maxClass), m.Noun)
	name := cmp.Or(headerText(m.name.get(a), maxName), "Untitled "+m.Noun)

	return c.finish(class, name, cefSeverity(m.severity.get(a)))
}

// release drops the fields, which are parts of the row, so that its memory can be freed.
func (c *cefBuilder) release() {
	clear(c.fields)
	c.entities.release()
}

// raw returns the line of a row that could not be decoded.
func (c *cefBuilder) raw(id alert.ID) []byte {
	c.pairs = c.pairs[:0]
	c.add("cs3", "RecordId", 4000, id.String())
	c.add("flexString2", "Tenant", 1023, c.tenant)

	return c.finish("raw", "Row not decodable", "6")
}

// health returns the line of a health record.
func (c *cefBuilder) health(h Health) []byte {
	c.pairs = c.pairs[:0]
	c.add("reason", "", 1023, string(h.Reason))
	c.add("msg", "", 1023, h.sentence())
	c.add("flexString2", "Tenant", 1023, c.tenant)

	if h.State.Good() {
		return c.finish("health", "Defender tenant ok", "1")
	}

	return c.finish("health", "Defender tenant failing", "8")
}

// cefSeverity returns a service's severity on ArcSight's scale from 0 to 10.
func cefSeverity(s string) string {
	switch strings.ToLower(s) {
	case "informational":
		return "1"
	case "low":
		return "3"
	case "medium":
		return "6"
	case "high":
		return "8"
	}

	return "Unknown"
}

// add adds a value to the line, unless extensionText leaves nothing of it.
func (c *cefBuilder) add(key, label string, limit int, value string) {
	if value = extensionText(value, limit); value != "" {
		c.pairs = append(c.pairs, cefPair{key, value, label})
	}
}

// finish writes the line, and shortens it if it is too long.
func (c *cefBuilder) finish(class, name, severity string) []byte {
	defer func() { clear(c.pairs[:cap(c.pairs)]) }() // they are parts of a copy of the row, which may be large

	c.line = append(c.line[:0], "CEF:0|Microsoft|"...)
	for _, field := range [...]string{c.mapping.CEF.Product, c.mapping.CEF.Version, class, name, severity} {
		c.line = append(appendEscaped(c.line, field, '|'), '|')
	}

	header := len(c.line)

	size := header - 1
	for _, p := range c.pairs {
		size += p.size()
	}

	c.shorten(size - c.maxBytes)

	for i, p := range c.pairs {
		if i > 0 {
			c.line = append(c.line, ' ')
		}

		c.line = append(append(c.line, p.key...), '=')

		c.line = appendEscaped(c.line, p.value, '=')
		if p.label != "" {
			c.line = append(append(c.line, ' '), p.key...)
			c.line = append(append(c.line, "Label="...), p.label...)
		}
	}

	return c.line
}

// size returns how many bytes of the line the pair takes, with the space before it.
func (p *cefPair) size() int {
	n := len(" =") + len(p.key) + escapedLen(p.value)
	if p.label != "" {
		n += len(" Label=") + len(p.key) + len(p.label)
	}

	return n
}

// shorten makes the line at least over bytes shorter, or as short as is allowed.
func (c *cefBuilder) shorten(over int) {
	for _, key := range cutFirst {
		for i := 0; over > 0 && i < len(c.pairs); i++ {
			p := &c.pairs[i]
			if p.key != key {
				continue
			}

			before := p.size()

			p.value = cutEscaped(p.value, escapedLen(p.value)-over)
			if p.value == "" {
				over -= before

				c.drop(i)
			} else {
				over -= before - p.size()
			}
		}
	}

	for i := len(c.pairs) - 1; over > 0 && i >= 0; i-- {
		if !cutNever[c.pairs[i].key] {
			over -= c.pairs[i].size()
			c.drop(i)
		}
	}
}

// drop removes the pair i from the line.
func (c *cefBuilder) drop(i int) { c.pairs = append(c.pairs[:i], c.pairs[i+1:]...) }
