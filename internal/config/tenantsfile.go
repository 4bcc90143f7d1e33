package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/config/yamldoc"
)

// tenantsFile reads many tenants. What is wrong goes to b; the tenants are complete
// only if nothing does.
func (b *builder) tenantsFile(path string, at value, sec section) []Tenant {
	c := readFile(b.sources, path, maxTenantsFile)
	if c.err != nil {
		usual := "name a YAML file with the tenants, of at most 4 MB, readable by the user Fluent Bit runs as"
		b.add(&Fault{
			Key:     "tenants_file",
			File:    at.file,
			Line:    at.line,
			Problem: named(path) + " " + c.err.Error(),
			Remedy:  remedyOf(c.err, usual),
		})

		return nil
	}

	b.reader().warnForeign("tenants_file", at, c)
	b.sum = sha256.Sum256(c.data)
	f := &tenantsReader{builder: b, file: path}

	root := f.parse(c.data)
	if root == nil {
		return nil
	}

	return f.tenants(root, sec)
}

// tenantsReader reads one tenants file.
type tenantsReader struct {
	*builder
	file string
}

func (f *tenantsReader) fault(line int, key, tenant, problem, remedy string) {
	f.add(&Fault{
		Key:     key,
		Tenant:  tenant,
		File:    f.file,
		Line:    line,
		Problem: problem,
		Remedy:  remedy,
	})
}

const shape = "write `tenants:` and under it a list, each with its tenant_id"

// parse gives the document's root mapping, or reports why there is none. Aliases are
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

// entry is a mapping of the file: its keys in lower case, each with the nodes of key
// and value.
type entry map[string][2]*yaml.Node

// mapping reads a mapping; what is no plain key is reported.
func (f *tenantsReader) mapping(n *yaml.Node, tenant string) entry {
	e := entry{}

	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]

		name := strings.ToLower(k.Value)
		switch {
		case k.Kind != yaml.ScalarNode:
			f.fault(k.Line, "", tenant, "has a key that is not a word", shape)
		case k.Tag == "!!merge":
			f.fault(
				k.Line,
				"",
				tenant,
				"has a merge key (<<)",
				"write what is common to all tenants under `defaults:`",
			)
		case e[name][0] != nil:
			f.fault(
				k.Line,
				name,
				tenant,
				fmt.Sprintf("stands twice, first in line %d", e[name][0].Line),
				"keep one of them",
			)
		default:
			e[name] = [2]*yaml.Node{k, v}
		}
	}

	return e
}

// tenants reads the root mapping.
func (f *tenantsReader) tenants(root *yaml.Node, sec section) []Tenant {
	top := f.mapping(root, "")
	for _, name := range sortedKeys(top) {
		if name != "defaults" && name != "tenants" {
			k := top[name][0]

			remedy := "a tenants file has only `defaults:` and `tenants:`"
			if near := nearest(name, []string{"defaults", "tenants"}); near != "" {
				remedy = "did you mean " + near + "?"
			}

			f.fault(k.Line, k.Value, "", "unknown key", remedy)
		}
	}

	defaults := layer{value: func(string) value { return value{file: f.file, inherited: true} }}

	if d, ok := top["defaults"]; ok && !yamldoc.IsNull(d[1]) {
		if d[1].Kind != yaml.MappingNode {
			f.fault(d[1].Line, "defaults", "", "is not a mapping", "write `defaults:` and under it keys with values")
		} else {
			defaults = f.layer(d[1], "", true)
		}
	}

	list, ok := top["tenants"]
	switch {
	case !ok:
		f.fault(root.Line, "tenants", "", "missing", shape)
		return nil
	case list[1].Kind != yaml.SequenceNode && !yamldoc.IsNull(list[1]):
		f.fault(list[1].Line, "tenants", "", "is not a list", shape)
		return nil
	case len(list[1].Content) == 0:
		f.fault(list[0].Line, "tenants", "", "has no tenant", shape)
		return nil
	}

	var all []Tenant

	first := map[[3]string]int{}

	for i, n := range list[1].Content {
		label := fmt.Sprintf("#%d", i+1)

		switch n.Kind {
		case yaml.MappingNode:
		case yaml.AliasNode:
			f.fault(n.Line, "", label, "uses an alias", "write what is common to all tenants under `defaults:`")
			continue
		default:
			f.fault(n.Line, "", label, "is not a mapping", shape)
			continue
		}

		r := f.reader(f.layer(n, label, false), defaults, layer{value: sec.inherited})
		r.tenant = label
		t := r.readTenant()

		unit := [3]string{t.TenantID, string(t.API), t.StateID}
		if line, twice := first[unit]; twice && t.TenantID != "" {
			f.fault(
				n.Line,
				"tenant_id",
				t.TenantName,
				fmt.Sprintf("is listed twice with api %s, first in line %d", t.API, line),
				"remove one, or give it another api or state_id",
			)
		} else {
			first[unit] = n.Line
		}

		all = append(all, t)
	}

	return all
}

// layer reads the keys of the defaults or of one tenant.
func (f *tenantsReader) layer(n *yaml.Node, label string, defaults bool) layer {
	e := f.mapping(n, label)
	if name, ok := e["tenant_name"]; ok && name[1].Kind == yaml.ScalarNode && name[1].Value != "" {
		label = name[1].Value
	} else if id, ok := e["tenant_id"]; ok && id[1].Kind == yaml.ScalarNode && id[1].Value != "" {
		label = id[1].Value
	}

	values := map[string]value{}

	for _, name := range sortedKeys(e) {
		k, v := e[name][0], e[name][1]
		o, known := Lookup(name)

		values[name] = value{
			set:       true,
			bad:       true,
			file:      f.file,
			line:      v.Line,
			inherited: defaults,
		}
		switch {
		case !known:
			problem, remedy := unknown(name, true)
			f.fault(k.Line, k.Value, label, problem, remedy)

			continue
		case o.Scope == InputWide:
			f.fault(
				k.Line,
				o.Name,
				label,
				"is for the whole input",
				"move it to the input's section in Fluent Bit's configuration",
			)

			continue
		case defaults && o.Scope == FileOnly:
			f.fault(k.Line, o.Name, label, "belongs to one tenant", "move it from defaults to the tenants")
			continue
		case v.Kind == yaml.AliasNode || v.Anchor != "":
			f.fault(
				v.Line,
				o.Name,
				label,
				"uses an anchor or alias",
				"write what is common to all tenants under `defaults:`",
			)

			continue
		case v.Kind != yaml.ScalarNode || strings.HasPrefix(v.Tag, "!") && !slices.Contains(plainTags, v.Tag):
			f.fault(v.Line, o.Name, label, "is not a plain value", "write one value on the line of the key")
			continue
		}

		text := ""

		if !yamldoc.IsNull(v) {
			var problem, remedy string
			if text, problem, remedy = f.expand(v.Value, o.Secret); problem != "" {
				f.fault(v.Line, o.Name, label, problem, remedy)
				continue
			}
		}

		values[o.Name] = value{
			text:      strings.TrimSpace(text),
			set:       true,
			file:      f.file,
			line:      v.Line,
			inherited: defaults,
		}
	}

	return layer{value: func(key string) value {
		if v, ok := values[key]; ok {
			return v
		}

		return value{file: f.file, line: n.Line, inherited: defaults}
	}}
}

// plainTags are the kinds of YAML scalars that are taken as they are written.
var plainTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp"}

func sortedKeys(e entry) []string {
	keys := make([]string, 0, len(e))
	for k := range e {
		keys = append(keys, k)
	}

	slices.SortFunc(keys, func(a, b string) int {
		if d := e[a][0].Line - e[b][0].Line; d != 0 {
			return d
		}

		return strings.Compare(a, b)
	})

	return keys
}

// envName is what may stand in ${…}.
var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// expand replaces ${VAR} and ${VAR:-default}, once: what a variable holds is not looked
// at again. As in Fluent Bit (src/flb_env.c) an empty variable counts as not set, and a
// "${" without an end stands for itself.
func (f *tenantsReader) expand(s string, hidden bool) (out, problem, remedy string) {
	var b strings.Builder

	for {
		before, rest, ok := strings.Cut(s, "${")

		inside, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			b.WriteString(s)
			return b.String(), "", ""
		}

		name, def, hasDefault := strings.Cut(inside, ":-")

		v, _ := f.sources.env(name)
		switch {
		case !envName.MatchString(name):
			if hidden {
				return "", "has a ${…} that names no environment variable", "write ${NAME}"
			}

			return "", shown("${"+inside+"}") + " names no environment variable", "write ${NAME} or ${NAME:-default}"
		case v == "" && hasDefault:
			v = def
		case v == "":
			return "", "the environment variable " + name + " is not set", "set it for Fluent Bit, or write ${" + name + ":-default}"
		}

		b.WriteString(before)
		b.WriteString(v)

		s = after
	}
}
