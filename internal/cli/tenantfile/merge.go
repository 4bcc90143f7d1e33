package tenantfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/config/yamldoc"
)

// Tenant is a tenant to add.
type Tenant struct{ ID, Name string }

// Change is what a file is to have.
type Change struct {
	// Add are tenants that are to be in the file. One that is there, under its id, stays
	// as it is.
	Add []Tenant
	// Mark are the ids of tenants of the file above which Remark is to stand.
	Mark []string
	// Remark is one line without "# ". Its first word tells it from other remarks: a
	// tenant that has one with this word gets no second one.
	Remark string
}

// Result is a file after a change.
type Result struct {
	Text          []byte
	Added, Marked int
}

// ErrShape is returned for a file that cannot be changed in its place.
var ErrShape = errors.New("its tenants cannot be added to by this command")

// Merge returns the text of a tenants file with a change. An empty text is a new file.
func Merge(text []byte, c Change) (Result, error) {
	d, err := read(text)
	if err != nil {
		return Result{}, err
	}

	var r Result

	add := slices.DeleteFunc(slices.Clone(c.Add), func(t Tenant) bool { return d.find(t.ID) != nil })

	for _, e := range d.entries {
		if marks(c.Mark, e.ID) && d.mark(e, c.Remark) {
			r.Marked++
		}
	}

	if len(add) > 0 {
		if err := d.add(add); err != nil {
			return Result{}, err
		}

		r.Added = len(add)
	}

	r.Text = d.result()

	return r, d.verify(r.Text, add)
}

// marks reports whether an id is one of those to mark.
func marks(ids []string, id string) bool {
	return id != "" && slices.ContainsFunc(ids, func(s string) bool { return strings.EqualFold(s, id) })
}

// Entry is a tenant of a file.
type Entry struct {
	// ID and Name are as written; Home and Grant too, those of defaults where the tenant
	// says nothing.
	ID, Name, Home, Grant string
	// OwnSignIn says that the tenant has a refresh token of its own.
	OwnSignIn bool

	node *yaml.Node
}

// Entries returns the tenants of a file.
func Entries(text []byte) ([]Entry, error) {
	d, err := read(text)
	if err != nil {
		return nil, err
	}

	return d.entries, nil
}

// edit is a text that is inserted at an offset, in place of some bytes.
type edit struct {
	at, cut int
	text    string
}

// document is a tenants file as text and as tree.
type document struct {
	text    []byte
	bom     bool
	newline string
	root    *yaml.Node // nil for a file that says nothing
	key     *yaml.Node // `tenants`, nil if there is none
	list    *yaml.Node // its value
	entries []Entry
	edits   []edit
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// read parses a file.
func read(text []byte) (*document, error) {
	d := &document{newline: "\n"}
	d.text, d.bom = bytes.CutPrefix(text, byteOrderMark)

	if i := bytes.IndexByte(d.text, '\n'); i > 0 && d.text[i-1] == '\r' {
		d.newline = "\r\n"
	}

	root, err := yamldoc.Parse(d.text)

	var bad *yamldoc.Error
	switch {
	case errors.As(err, &bad) && bad.Empty:
		return d, nil
	case err != nil:
		return nil, err
	case yamldoc.IsNull(root) && root.Value == "":
		return d, nil
	case root.Kind != yaml.MappingNode:
		return nil, fmt.Errorf("%w: it is not a mapping", ErrShape)
	}

	d.root = root
	d.key, d.list = child(root, "tenants")

	return d, d.readEntries()
}

// child returns the key of a mapping with a name in any case, and its value.
func child(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if strings.EqualFold(mapping.Content[i].Value, name) {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}

	return nil, nil
}

// readEntries reads the tenants of the list.
func (d *document) readEntries() error {
	if d.key == nil || yamldoc.IsNull(d.list) {
		return nil
	}

	if d.list.Kind != yaml.SequenceNode {
		return fmt.Errorf("%w: `tenants` is not a list", ErrShape)
	}

	_, defaults := child(d.root, "defaults")

	for _, n := range d.list.Content {
		if n.Kind != yaml.MappingNode {
			return fmt.Errorf("%w: line %d is not a tenant with keys", ErrShape, n.Line)
		}

		text := func(key string) string {
			for _, at := range []*yaml.Node{n, defaults} {
				if at == nil || at.Kind != yaml.MappingNode {
					continue
				}

				if _, v := child(at, key); v != nil {
					return v.Value
				}
			}

			return ""
		}
		_, token := child(n, "refresh_token")
		_, file := child(n, "refresh_token_file")

		d.entries = append(d.entries, Entry{
			ID:        text("tenant_id"),
			Name:      text("tenant_name"),
			Home:      text("home_tenant_id"),
			Grant:     text("grant"),
			OwnSignIn: token != nil || file != nil,
			node:      n,
		})
	}

	return nil
}

// find returns the tenant with an id; nil if there is none.
func (d *document) find(id string) *Entry {
	for i := range d.entries {
		if strings.EqualFold(d.entries[i].ID, id) {
			return &d.entries[i]
		}
	}

	return nil
}

// result returns the text with all edits.
func (d *document) result() []byte {
	slices.SortStableFunc(d.edits, func(a, b edit) int { return a.at - b.at })

	var b bytes.Buffer
	if d.bom {
		b.Write(byteOrderMark)
	}

	last := 0

	for _, e := range d.edits {
		b.Write(d.text[last:e.at])
		b.WriteString(e.text)

		last = e.at + e.cut
	}

	b.Write(d.text[last:])

	return b.Bytes()
}

// verify returns an error unless a text has all that was there before, and the tenants
// that were added behind it.
func (d *document) verify(text []byte, added []Tenant) error {
	if len(d.edits) == 0 {
		return nil
	}

	after, err := read(text)
	if err != nil {
		return fmt.Errorf("%w: the result would be no good YAML", ErrShape)
	}

	if after.root == nil || len(after.entries) != len(d.entries)+len(added) {
		return fmt.Errorf("%w: the result would have other tenants", ErrShape)
	}

	for i, e := range d.entries {
		if !same(e.node, after.entries[i].node) {
			return fmt.Errorf("%w: the tenant in line %d would change", ErrShape, e.node.Line)
		}
	}

	for i, t := range added {
		if e := after.entries[len(d.entries)+i]; e.ID != t.ID || e.Name != cleanName(t.Name) {
			return fmt.Errorf("%w: tenant %s would be written wrongly", ErrShape, t.ID)
		}
	}

	for i := 0; d.root != nil && i+1 < len(d.root.Content); i += 2 {
		name, value := d.root.Content[i].Value, d.root.Content[i+1]
		if d.root.Content[i] == d.key {
			continue
		}

		if _, v := child(after.root, name); v == nil || !same(value, v) {
			return fmt.Errorf("%w: `%s` would change", ErrShape, name)
		}
	}

	return nil
}

// same reports whether two nodes say the same.
func same(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Tag != b.Tag || a.Value != b.Value || a.Anchor != b.Anchor ||
		len(a.Content) != len(b.Content) {
		return false
	}

	for i := range a.Content {
		if !same(a.Content[i], b.Content[i]) {
			return false
		}
	}

	return true
}
