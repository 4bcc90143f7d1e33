package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fault is one thing that is wrong in a configuration. It never holds the value of a secret.
type Fault struct {
	// Key is the option; empty when a file as a whole is at fault.
	Key string
	// Tenant is the tenant's name, or its id; empty when the fault is not one tenant's.
	Tenant string
	// File and Line say where, as far as known; Line 0 is unknown.
	File string
	Line int
	// Problem is what is wrong, Mend what to write instead.
	Problem, Mend string
}

// Error is one line: where, key, tenant, problem, mend.
func (f *Fault) Error() string { return line(f.File, f.Line, f.Key, f.Tenant, f.Problem, f.Mend) }

// Warning is something that works but is probably not meant, or not safe. Its fields are those of a Fault.
type Warning Fault

// String is one line, like Fault.Error.
func (w Warning) String() string { return line(w.File, w.Line, w.Key, w.Tenant, w.Problem, w.Mend) }

// Faults takes the error of FromPlugin, Reload or UnknownKeys apart again.
func Faults(err error) []*Fault {
	var all []*Fault
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			all = append(all, Faults(e)...)
		}
		return all
	}
	var f *Fault
	if errors.As(err, &f) {
		all = append(all, f)
	}
	return all
}

func line(file string, number int, key, tenant, problem, mend string) string {
	var b strings.Builder
	if file != "" {
		b.WriteString(printable(file, 256))
		if number > 0 {
			fmt.Fprintf(&b, ":%d", number)
		}
		b.WriteString(": ")
	}
	if key != "" {
		b.WriteString(printable(key, 64))
		if tenant != "" {
			fmt.Fprintf(&b, " (tenant %s)", printable(tenant, 128))
		}
		b.WriteString(": ")
	} else if tenant != "" {
		fmt.Fprintf(&b, "tenant %s: ", printable(tenant, 128))
	}
	b.WriteString(printable(problem, 1024))
	if mend != "" {
		b.WriteString("; " + printable(mend, 1024))
	}
	return b.String()
}

// printable keeps a message on one line and free of what a terminal would obey, whatever a file held.
func printable(s string, most int) string {
	var b strings.Builder
	n := 0
	for i := 0; i < len(s); n++ {
		if n == most {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := fmt.Sprintf("%+q", r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += size
	}
	return b.String()
}

// shown quotes a value for a message; a long one is cut.
func shown(value string) string { return `"` + printable(value, 64) + `"` }
