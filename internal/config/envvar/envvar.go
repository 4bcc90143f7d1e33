// Package envvar replaces ${NAME} and ${NAME:-default} in the values of a
// configuration, as Fluent Bit does. The readers of Fluent Bit's files and of a tenants
// file and the conformance host use it.
package envvar

import (
	"slices"
	"strings"
)

// Lookup returns the value of a variable, and whether it is set.
type Lookup func(name string) (value string, set bool)

// Reference is the text between the braces: NAME or NAME:-default.
type Reference struct {
	Name, Default string
	HasDefault    bool
}

// Parse reads the text between the braces. A default begins after the first colon if a
// minus follows it; otherwise the whole text is the name. Parse does not check whether
// a variable can have that name.
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

// Value returns the text that replaces the reference, and false if the variable is not
// set and there is no default. The default also replaces a variable that is set, but
// empty.
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

// Expand replaces the references in s once; in the value of a variable nothing is
// replaced. References to variables that are not set become empty; Expand returns their
// names, each once.
//
// It has the peculiarities of flb_env_var_translate (src/flb_env.c in Fluent Bit): it
// looks for the next closing brace, even before the "${". If that brace is not after
// the "${", it stops, and the text up to that brace is lost.
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
