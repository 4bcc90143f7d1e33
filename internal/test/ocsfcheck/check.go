// Package ocsfcheck validates events against the OCSF schema, which lies beside the
// repository: types, enums with their captions, required attributes, constraints, unknown
// names, and that metadata.profiles names the profiles that an event uses and no others.
//
// The file holds the resolved schema 1.8.0 of github.com/ocsf/ocsf-schema. Where it is
// missing, tests of nothing else are skipped; others go without it.
package ocsfcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Schema is the part of the schema that two classes of events reach.
type Schema struct {
	Version string
	Classes map[string]*Object
	Objects map[string]*Object
	Types   map[string]*Type
}

// Object is a class or an object.
type Object struct {
	UID         int64
	Attributes  map[string]*Attribute
	Constraints map[string][]string
}

// Attribute is an attribute of a class or object.
type Attribute struct {
	Type       string
	Array      bool
	Object     string
	Req        string
	Profile    string
	Enum       map[string]string
	Sibling    string
	Deprecated bool
}

// Type is a type of values.
type Type struct {
	Type    string // the type that it restricts
	Regex   string
	MaxLen  int `json:"max_len"`
	Range   []int64
	pattern *regexp.Regexp
}

// Load reads the schema. It skips the test if the file is not there.
func Load(t testing.TB) *Schema {
	t.Helper()

	s := Find(t)
	if s == nil {
		t.Skip("the OCSF schema does not lie beside the repository")
	}

	return s
}

// Find reads the schema, for a test that also has other things to check. If the file is
// not there, it returns nil, a schema that allows everything.
func Find(t testing.TB) *Schema {
	t.Helper()

	text, err := os.ReadFile(filepath.Join(root(t), "../shared/ocsf/ocsf-1.8.0.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	s := &Schema{}
	if err == nil {
		err = json.Unmarshal(text, s)
	}

	if err != nil {
		t.Fatal(err)
	}

	for name, kind := range s.Types {
		if kind.Regex == "" {
			continue
		}

		if kind.pattern, err = regexp.Compile(kind.Regex); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}

	return s
}

// root returns the root of the repository.
func root(t testing.TB) string {
	t.Helper()

	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}

	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}

		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("there is no go.mod above the working directory")
		}

		dir = parent
	}
}

// Check returns what is wrong with an event, a line each. Keys of the project's own, mssp
// and cef, do not count.
func (s *Schema) Check(text []byte) []string {
	if s == nil {
		return nil
	}

	var event map[string]any

	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()

	if err := decoder.Decode(&event); err != nil {
		return []string{err.Error()}
	}

	delete(event, "mssp")
	delete(event, "cef")

	c := &checker{schema: s, used: map[string]bool{}}
	c.event(event)

	return c.faults
}

type checker struct {
	schema   *Schema
	profiles []string
	used     map[string]bool // profiles whose attributes the event has
	faults   []string
}

func (c *checker) fault(at, format string, args ...any) {
	c.faults = append(c.faults, at+": "+fmt.Sprintf(format, args...))
}

func (c *checker) event(event map[string]any) {
	metadata, _ := event["metadata"].(map[string]any)
	list, _ := metadata["profiles"].([]any)

	for _, p := range list {
		name, _ := p.(string)
		c.profiles = append(c.profiles, name)
	}

	for _, class := range c.schema.Classes {
		if number(event["class_uid"]) == class.UID {
			c.object("event", class, event)
			c.class(class, event, metadata)

			return
		}
	}

	c.fault("class_uid", "unknown class %v", event["class_uid"])
}

// class checks what no attribute says.
func (c *checker) class(class *Object, event, metadata map[string]any) {
	if got, want := number(event["type_uid"]), class.UID*100+number(event["activity_id"]); got != want {
		c.fault("type_uid", "%d, and not %d", got, want)
	}

	if metadata["version"] != c.schema.Version {
		c.fault("metadata.version", "%v", metadata["version"])
	}

	_, device := event["device"]
	c.used["host"] = c.used["host"] || device

	for _, key := range []string{"assignee", "assignee_group", "verdict_id", "src_url"} {
		if _, ok := event[key]; ok {
			c.used["incident"] = true
		}
	}

	for _, p := range c.profiles {
		if !c.used[p] {
			c.fault("metadata.profiles", "%s is named, and none of its attributes is there", p)
		}
	}

	if sorted := slices.Clone(c.profiles); len(slices.Compact(slices.Sorted(slices.Values(sorted)))) != len(sorted) {
		c.fault("metadata.profiles", "%v", c.profiles)
	}
}

func (c *checker) object(at string, o *Object, value map[string]any) {
	for key, v := range value {
		a := o.Attributes[key]
		if a == nil {
			c.fault(at, "unknown attribute %s", key)
			continue
		}

		if a.Profile != "" {
			c.used[a.Profile] = true
			if !slices.Contains(c.profiles, a.Profile) {
				c.fault(at, "%s belongs to the profile %s, which is not named", key, a.Profile)
			}
		}

		if a.Deprecated {
			c.fault(at, "%s is deprecated", key)
		}

		c.attribute(at+"."+key, a, v)
		c.caption(at+"."+key, a, v, value)
	}

	for key, a := range o.Attributes {
		if a.Req == "required" && (a.Profile == "" || slices.Contains(c.profiles, a.Profile)) && value[key] == nil {
			c.fault(at, "%s is missing", key)
		}
	}

	c.constraints(at, o, value)
}

func (c *checker) constraints(at string, o *Object, value map[string]any) {
	for rule, keys := range o.Constraints {
		n := 0

		for _, key := range keys {
			if value[key] != nil {
				n++
			}
		}

		if rule == "at_least_one" && n == 0 || rule == "just_one" && n != 1 {
			c.fault(at, "%s of %v: there are %d", rule, keys, n)
		}
	}
}

// caption checks the text beside an id.
func (c *checker) caption(at string, a *Attribute, id any, value map[string]any) {
	text, ok := value[a.Sibling].(string)
	if a.Enum == nil || !ok {
		return
	}

	if want := a.Enum[fmt.Sprint(id)]; fmt.Sprint(id) != "99" && text != want {
		c.fault(at, "the text beside %v is %q, and not %q", id, text, want)
	}
}

func (c *checker) attribute(at string, a *Attribute, v any) {
	if !a.Array {
		c.value(at, a, v)
		return
	}

	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		c.fault(at, "not an array, or an empty one: %.40v", v)
		return
	}

	for i, x := range list {
		c.value(at+"["+strconv.Itoa(i)+"]", a, x)
	}
}

func (c *checker) value(at string, a *Attribute, v any) {
	if a.Enum != nil {
		if _, ok := a.Enum[fmt.Sprint(v)]; !ok {
			c.fault(at, "%v is not one of the enum", v)
		}
	}

	if a.Type != "object_t" {
		c.scalar(at, a.Type, v)
		return
	}

	m, ok := v.(map[string]any)
	if !ok {
		c.fault(at, "no object: %.40v", v)
	} else if a.Object != "object" { // which may hold anything
		c.object(at, c.schema.Objects[a.Object], m)
	}
}

func (c *checker) scalar(at, name string, v any) {
	kind := c.schema.Types[name]

	base := name
	for t := kind; t.Type != ""; t = c.schema.Types[t.Type] {
		base = t.Type
	}

	if !kind.has(base, v) || name == "timestamp_t" && number(v) < 0 {
		c.fault(at, "no %s: %.60v", name, v)
	}
}

// has reports whether a value is one of the type, which restricts the type base.
func (kind *Type) has(base string, v any) bool {
	switch base {
	case "json_t":
		return v != nil
	case "string_t":
		text, ok := v.(string)

		return ok && (kind.pattern == nil || kind.pattern.MatchString(text)) &&
			(kind.MaxLen == 0 || len(text) <= kind.MaxLen)
	case "boolean_t":
		_, ok := v.(bool)
		return ok
	case "integer_t", "long_t":
		n, ok := v.(json.Number)
		value, err := n.Int64()

		return ok && err == nil && (kind.Range == nil || kind.Range[0] <= value && value <= kind.Range[1])
	}

	_, ok := v.(json.Number)

	return ok
}

func number(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := n.Int64()

	return i
}

// Report fails the test with what is wrong with an event.
func (s *Schema) Report(t testing.TB, what string, event []byte) {
	t.Helper()

	if faults := s.Check(event); len(faults) > 0 {
		t.Errorf("%s:\n\t%s\nin %s", what, strings.Join(faults, "\n\t"), event)
	}
}
