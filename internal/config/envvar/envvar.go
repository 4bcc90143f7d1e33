// Package envvar replaces ${NAME} and ${NAME:-default} in the values of a
// configuration, as Fluent Bit does. The reader of Fluent Bit's files, that of a tenants
// file and the conformance host share it.
package envvar

import (
	"slices"
	"strings"
)

// A Lookup returns the value of a variable, and whether it is set.
type Lookup func(name string) (value string, set bool)

// A Reference is what stands between the braces: NAME or NAME:-default.
type Reference struct {
	Name, Default string
	HasDefault    bool
}

// Parse reads the text between the braces. A default begins behind the first colon, and
// only if a minus follows it; else the whole text is the name. Whether a variable can
// have that name is not checked.
func Parse(inside string) Reference {
	if name, after, ok := strings.Cut(inside, ":"); ok && strings.HasPrefix(after, "-") {
		return Reference{
			Name:       name,
			Default:    after[1:],
			HasDefault: true,
		}
	}

	return Reference{Name: inside}
}

// Value returns what stands for the reference, and false if the variable is not set and
// there is no default. The default also replaces a variable that is set, but empty.
func (r Reference) Value(lookup Lookup) (string, bool) {
	v, set := lookup(r.Name)
	switch {
	case set && (v != "" || !r.HasDefault):
		return v, true
	case r.HasDefault:
		return r.Default, true
	}

	return "", false
}

// Expand replaces the references in s once: what a variable holds is not looked at again.
// It returns the names that are not set as well, each once; nothing stands for them.
//
// It has the peculiarities of flb_env_var_translate (src/flb_env.c in Fluent Bit): it
// looks for the next brace that closes, also before the "${". Where that goes wrong it
// stops, and what it had not looked at yet is lost up to that brace.
func Expand(s string, lookup Lookup) (value string, unset []string) {
	var b strings.Builder

	replaced, closing, i := false, -1, 0

	for i < len(s) {
		open := strings.Index(s[i:], "${")
		if open < 0 {
			break
		}

		open += i

		closing = strings.IndexByte(s[i:], '}')
		if closing < 0 {
			break
		}

		closing += i
		if closing <= open+len("${") {
			break
		}

		replaced = true
		ref := Parse(s[open+len("${") : closing])
		text, set := ref.Value(lookup)

		b.WriteString(s[i:open])
		b.WriteString(text)

		if !set && !slices.Contains(unset, ref.Name) {
			unset = append(unset, ref.Name)
		}

		i = closing + 1
	}

	if !replaced {
		return s, nil
	}

	if closing >= 0 {
		b.WriteString(s[closing+1:])
	}

	return b.String(), unset
}
