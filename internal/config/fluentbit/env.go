package fluentbit

import (
	"os"
	"slices"
	"strings"
)

// expandAll replaces the variables in all values. Fluent Bit does that when everything is read: a variable may be set below
// the section that uses it.
func (l *loader) expandAll() {
	for i := range l.file.Sections {
		for j := range l.file.Sections[i].Props {
			p := &l.file.Sections[i].Props[j]
			if !p.Nested {
				p.Value, p.Unset = l.expand(p.Value)
			}
		}
	}
}

// variable finds a variable as flb_env_get does: the configuration's own first; an empty one of the environment is not set.
func (l *loader) variable(name string) (string, bool) {
	if v, ok := l.vars[name]; ok {
		return v, true
	}
	if v, ok := l.env(name); ok && v != "" {
		return v, true
	}
	if name == "HOSTNAME" {
		if v, err := os.Hostname(); err == nil {
			return v, true
		}
	}
	return "", false
}

// expand replaces ${VAR} and ${VAR:-default} once, as flb_env_var_translate does: what is not set becomes nothing, "${"
// without an end and "${}" stand for themselves.
func (l *loader) expand(s string) (value string, unset []string) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "${")
		inside, after, closed := strings.Cut(rest, "}")
		if !ok || !closed || inside == "" {
			b.WriteString(s)
			return strings.TrimSpace(b.String()), unset
		}
		b.WriteString(before)
		name, def, hasDefault := strings.Cut(inside, ":-")
		v, set := l.variable(name)
		switch {
		case set:
			b.WriteString(v)
		case hasDefault:
			b.WriteString(def)
		case !slices.Contains(unset, name):
			unset = append(unset, name)
		}
		s = after
	}
}
