package config

import (
	"regexp"
	"strings"

	"fluent-bit-defender/internal/secret"
)

// value is what one layer says about a key, and where it says so.
type value struct {
	text string
	// set says that the layer has the key. A tenants file may set a key to nothing, which
	// means its built-in default.
	set  bool
	file string
	line int
	// inherited says that the value is not the tenant's own: a fault in it is reported
	// only once, and not once per tenant.
	inherited bool
	// bad says that the value was refused already, so that the key is not missing.
	bad bool
}

// layer is a place that has keys: a tenant of the file, the file's defaults, or the
// section.
type layer struct {
	value func(key string) value
}

// section is a copy of a section of Fluent Bit, whose own strings end with the
// instance.
type section struct {
	values map[string]sectionValue
	file   string
	line   int
}

type sectionValue struct {
	// text is a secret.Text for every key, so that an Input can be printed.
	text secret.Text
	file string
	line int
	// unset names the variables that left the key without a value, where that is known.
	unset []string
}

// unexpanded matches a value that is only a variable that was not replaced.
var unexpanded = regexp.MustCompile(`^\$\{[^{}]*\}$`)

func snapshot(g Getter) section {
	s := section{values: map[string]sectionValue{}}
	at, _ := g.(Locator)
	vars, known := g.(variables)

	for _, o := range options {
		var v sectionValue
		if at != nil {
			v.file, v.line = at.Where(o.Name)
		}
		// A variable that is not set arrives as an empty value: the same as no key.
		if text := strings.TrimSpace(g.Get(o.Name)); text != "" && !unexpanded.MatchString(text) {
			v.text = secret.New(text)
		} else if known {
			v.unset = vars.Unset(o.Name)
		}

		s.values[o.Name] = v
	}

	if at != nil {
		s.file, s.line = at.Where("")
	}

	return s
}

func (s section) value(key string) value {
	v, ok := s.values[key]
	if !ok {
		return value{file: s.file, line: s.line}
	}

	return value{
		text: v.text.Reveal(),
		set:  !v.text.IsZero(),
		file: v.file,
		line: v.line,
	}
}

// inherited returns the value of a key that a tenant of a tenants file inherits.
func (s section) inherited(key string) value {
	v := s.value(key)
	v.inherited = true

	return v
}

// hint returns why a key may be missing although it is written.
func (s section) hint(key string) string {
	if names := s.values[key].unset; len(names) > 0 {
		return "; the environment variable " + strings.Join(names, ", ") + " in it is not set"
	}

	return " (a ${VARIABLE} that is not set counts as missing)"
}
