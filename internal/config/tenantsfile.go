package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config/envvar"
	"fluent-bit-defender/internal/config/yamldoc"
)

// tenantsFile reads the tenants of a tenants file, and how others are discovered (nil
// if they are not). It adds faults to b; the tenants are complete only if there is
// none.
func (b *builder) tenantsFile(path string, at value, sec section) ([]Tenant, *Discovery) {
	c := readFile(b.sources, path, maxTenantsFile)
	if c.err != nil {
		usual := "name a YAML file with the tenants, of at most 4 MB, readable by the user Fluent Bit runs as"
		at := Place{File: at.file, Line: at.line, Key: "tenants_file"}
		b.add(newFault(at, named(path)+" "+c.err.Error(), remedyOf(c.err, usual)))

		return nil, nil
	}

	b.reader().warnForeign("tenants_file", at, c)
	b.sum = sha256.Sum256(c.data)
	f := &tenantsReader{builder: b, file: path}

	root := f.parse(c.data)
	if root == nil {
		return nil, nil
	}

	return f.tenants(root, sec), f.found
}

// tenantsReader reads one tenants file.
type tenantsReader struct {
	*builder
	file  string
	found *Discovery // the part `discover`; nil if there is none
}

func (f *tenantsReader) fault(line int, key, tenant, problem, remedy string) {
	at := Place{
		File:   f.file,
		Line:   line,
		Key:    key,
		Tenant: tenant,
	}
	f.add(newFault(at, problem, remedy))
}

const shape = "write `tenants:` and under it a list, each with its tenant_id"

// parse returns the document's root mapping, or reports why there is none. Aliases are
// never followed: a file may not grow while it is read.
func (f *tenantsReader) parse(data []byte) *yaml.Node {
	root, err := yamldoc.Parse(data)

	var bad *yamldoc.Error
	switch {
	case errors.As(err, &bad) && bad.Empty:
		f.fault(0, "", "", bad.Problem, shape)
	case errors.As(err, &bad):
		f.fault(bad.Line, "", "", bad.Problem, bad.Remedy)
	case root.Kind != yaml.MappingNode:
		f.fault(root.Line, "", "", "is not a mapping", shape)
	default:
		return root
	}

	return nil
}

// pair is a key of a mapping with its value.
type pair struct{ key, value *yaml.Node }

// mapping is a mapping of the file; its keys are in lower case.
type mapping map[string]pair

// mapping reads a mapping, and reports keys that cannot be used.
func (f *tenantsReader) mapping(n *yaml.Node, tenant string) mapping {
	m := mapping{}

	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		name := strings.ToLower(k.Value)

		first, twice := m[name]

		switch {
		case k.Kind != yaml.ScalarNode:
			f.fault(k.Line, "", tenant, "has a key that is not a word", shape)
		case k.Tag == "!!merge":
			f.fault(k.Line, "", tenant, "has a merge key (<<)", commonKeys)
		case twice:
			f.fault(k.Line, name, tenant, fmt.Sprintf("is set twice, first in line %d", first.key.Line),
				"keep one of them")
		default:
			m[name] = pair{key: k, value: v}
		}
	}

	return m
}

// commonKeys is the remedy for anchors, aliases and merge keys, which are not followed.
const commonKeys = "write what is common to all tenants under `defaults:`"

// tenants reads the root mapping.
func (f *tenantsReader) tenants(root *yaml.Node, sec section) []Tenant {
	top := f.mapping(root, "")
	f.unknownParts(top)

	defaults := f.defaults(top)
	f.found = f.discovery(top, defaults, sec)

	var all []Tenant

	if list := f.list(root, top); list != nil {
		all = f.listed(list, defaults, sec)
	}

	if f.found != nil {
		for _, t := range all {
			f.found.listed = append(f.found.listed, t.TenantID)
		}
	}

	return all
}

// listed reads the tenants of the list.
func (f *tenantsReader) listed(list *yaml.Node, defaults layer, sec section) []Tenant {
	all := make([]Tenant, 0, len(list.Content))
	first := make(map[alert.UnitKey]int, len(list.Content))

	for i, n := range list.Content {
		label := fmt.Sprintf("#%d", i+1)
		if !f.isTenant(n, label) {
			continue
		}

		r := f.reader(f.layer(n, label, inTenant), defaults, layer{value: sec.inherited})
		r.tenant = label
		t := r.readTenant()

		unit := alert.UnitKey{TenantID: t.TenantID, API: t.API, StateID: t.StateID}
		if line, twice := first[unit]; twice && t.TenantID != "" {
			f.fault(n.Line, "tenant_id", t.TenantName,
				fmt.Sprintf("is listed twice with api %s, first in line %d", t.API, line),
				"remove one, or give it another api or state_id")
		} else {
			first[unit] = n.Line
		}

		all = append(all, t)
	}

	return all
}

// unknownParts reports keys of the root that do not exist.
func (f *tenantsReader) unknownParts(top mapping) {
	f.unknownKeys(top, []string{"defaults", "tenants", "discover"},
		"a tenants file has only `defaults:`, `tenants:` and `discover:`")
}

// unknownKeys reports the keys of a mapping that are not known. remedy says which are.
func (f *tenantsReader) unknownKeys(m mapping, known []string, remedy string) {
	for _, name := range sortedKeys(m) {
		if slices.Contains(known, name) {
			continue
		}

		what := remedy
		if near := nearest(strings.ReplaceAll(name, "-", "_"), known); near != "" {
			what = "did you mean " + near + "?"
		}

		k := m[name].key
		f.fault(k.Line, k.Value, "", "unknown key", what)
	}
}

// defaults returns the layer under `defaults`, which may be empty.
func (f *tenantsReader) defaults(top mapping) layer {
	d, ok := top["defaults"]
	if ok && d.value.Kind == yaml.MappingNode {
		return f.layer(d.value, "", inDefaults)
	}

	if ok && !yamldoc.IsNull(d.value) {
		f.fault(d.value.Line, "defaults", "", "is not a mapping", "write `defaults:` and under it keys with values")
	}

	return layer{value: func(string) value { return value{file: f.file, inherited: true} }}
}

// list returns the list under `tenants`, or reports why there is none. If tenants are
// discovered, none need be listed.
func (f *tenantsReader) list(root *yaml.Node, top mapping) *yaml.Node {
	list, ok := top["tenants"]
	_, discovered := top["discover"]

	switch {
	case discovered && (!ok || yamldoc.IsNull(list.value)):
	case discovered && list.value.Kind == yaml.SequenceNode:
		return list.value
	case !ok:
		f.fault(root.Line, "tenants", "", "missing", shape)
	case list.value.Kind != yaml.SequenceNode && !yamldoc.IsNull(list.value):
		f.fault(list.value.Line, "tenants", "", "is not a list", shape)
	case len(list.value.Content) == 0:
		f.fault(list.key.Line, "tenants", "", "has no tenant", shape)
	default:
		return list.value
	}

	return nil
}

// isTenant reports whether an entry of the list is a mapping, and adds a fault if it is
// not.
func (f *tenantsReader) isTenant(n *yaml.Node, label string) bool {
	switch n.Kind {
	case yaml.MappingNode:
		return true
	case yaml.AliasNode:
		f.fault(n.Line, "", label, "uses an alias", commonKeys)
	default:
		f.fault(n.Line, "", label, "is not a mapping", shape)
	}

	return false
}

// part is a part of a tenants file that has keys of tenants.
type part int

const (
	inTenant part = iota // one tenant of the list
	inDefaults
	inDiscover // the defaults of discovered tenants
)

// layer reads the keys of the defaults or of one tenant. A refused value stays in the
// layer, marked as bad, so that the key does not count as missing.
func (f *tenantsReader) layer(n *yaml.Node, label string, at part) layer {
	m := f.mapping(n, label)

	for _, key := range []string{"tenant_name", "tenant_id"} {
		if p, ok := m[key]; ok && p.value.Kind == yaml.ScalarNode && p.value.Value != "" {
			label = p.value.Value
			break
		}
	}

	values := map[string]value{}

	for _, name := range sortedKeys(m) {
		text, ok := "", f.belongs(name, m[name], label, at)
		if ok {
			text, ok = f.text(name, m[name], label)
		}

		values[name] = value{
			text:      text,
			set:       true,
			bad:       !ok,
			file:      f.file,
			line:      m[name].value.Line,
			inherited: at != inTenant,
		}
	}

	return layer{value: func(key string) value {
		if v, ok := values[key]; ok {
			return v
		}

		return value{file: f.file, line: n.Line, inherited: at != inTenant}
	}}
}

// belongs reports whether a key is allowed in its part of the file, and adds a fault if
// it is not.
func (f *tenantsReader) belongs(name string, p pair, label string, at part) bool {
	o, known := Lookup(name)

	switch {
	case !known:
		problem, remedy := unknown(name, true)
		f.fault(p.key.Line, p.key.Value, label, problem, remedy)
	case o.Scope == InputWide:
		f.fault(p.key.Line, name, label, "is for the whole input",
			"move it to the input's section in Fluent Bit's configuration")
	case at == inDiscover && (name == "tenant_id" || name == "tenant_name"):
		f.fault(p.key.Line, name, label, "comes from the customer itself", "remove it")
	case at == inDefaults && o.Scope == FileOnly:
		f.fault(p.key.Line, name, label, "belongs to one tenant", "move it from defaults to the tenants")
	default:
		return true
	}

	return false
}

// text returns the value of a known key with its variables replaced, or reports why it
// cannot be used.
func (f *tenantsReader) text(name string, p pair, label string) (text string, ok bool) {
	v := p.value

	switch {
	case v.Kind == yaml.AliasNode || v.Anchor != "":
		f.fault(v.Line, name, label, "uses an anchor or alias", commonKeys)
		return "", false
	case v.Kind != yaml.ScalarNode || strings.HasPrefix(v.Tag, "!") && !slices.Contains(plainTags, v.Tag):
		f.fault(v.Line, name, label, "is not a plain value", "write one value on the line of the key")
		return "", false
	case yamldoc.IsNull(v):
		return "", true
	}

	text, problem, remedy := f.expand(v.Value, option(name).Secret)
	if problem != "" {
		f.fault(v.Line, name, label, problem, remedy)
		return "", false
	}

	return strings.TrimSpace(text), true
}

// plainTags are the kinds of YAML scalars that are read as they are written.
var plainTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp"}

// sortedKeys returns the keys in the order of the file.
func sortedKeys(m mapping) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[a].key.Line, m[b].key.Line), cmp.Compare(a, b))
	})
}

// envName matches the names that are allowed in ${…}.
var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// expand replaces ${VAR} and ${VAR:-default} once; in the value of a variable nothing
// is replaced. As in Fluent Bit (src/flb_env.c) an empty variable counts as not set,
// and a "${" without an end is left as it is.
func (f *tenantsReader) expand(s string, hidden bool) (out, problem, remedy string) {
	var b strings.Builder

	for {
		before, rest, ok := strings.Cut(s, "${")

		inside, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			b.WriteString(s)
			return b.String(), "", ""
		}

		ref := envvar.Parse(inside)
		if !envName.MatchString(ref.Name) {
			if hidden {
				return "", "has a ${…} that names no environment variable", "write ${NAME}"
			}

			return "", shown("${"+inside+"}") + " names no environment variable",
				"write ${NAME} or ${NAME:-default}"
		}

		v, set := ref.Value(f.nonEmpty)
		if !set {
			return "", "the environment variable " + ref.Name + " is not set",
				"set it for Fluent Bit, or write ${" + ref.Name + ":-default}"
		}

		b.WriteString(before)
		b.WriteString(v)

		s = after
	}
}

// nonEmpty looks up an environment variable; an empty one counts as not set.
func (f *tenantsReader) nonEmpty(name string) (value string, set bool) {
	v, _ := f.sources.env(name)
	return v, v != ""
}
