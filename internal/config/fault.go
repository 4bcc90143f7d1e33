package config

import (
	"errors"
	"fmt"
	"strings"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config/plain"
)

// Fault is one thing that is wrong in a configuration. It never holds the value of a
// secret.
type Fault struct {
	// Key is the option; empty when a file as a whole is at fault.
	Key string
	// Tenant is the tenant's name, or its id; empty when the fault is not one tenant's.
	Tenant string
	// File and Line say where, as far as known; Line 0 is unknown.
	File string
	Line int
	// Problem is what is wrong, Remedy what to write instead.
	Problem, Remedy string
}

// Error is one line: where, key, tenant, problem, remedy.
func (f *Fault) Error() string { return line(f.File, f.Line, f.Key, f.Tenant, f.Problem, f.Remedy) }

// Warning is something that works but is probably not meant, or not safe. Its fields
// are those of a Fault.
type Warning Fault

// String is one line, like Fault.Error.
func (w Warning) String() string { return line(w.File, w.Line, w.Key, w.Tenant, w.Problem, w.Remedy) }

// Faults returns the faults that are joined in the error of FromPlugin.
func Faults(err error) []*Fault {
	var all []*Fault

	for _, e := range advice.Flatten(err) {
		var f *Fault
		if errors.As(e, &f) {
			all = append(all, f)
		}
	}

	return all
}

func line(file string, number int, key, tenant, problem, remedy string) string {
	var b strings.Builder
	if file != "" {
		b.WriteString(plain.Text(file, 256))

		if number > 0 {
			fmt.Fprintf(&b, ":%d", number)
		}

		b.WriteString(": ")
	}

	if key != "" {
		b.WriteString(plain.Text(key, 64))

		if tenant != "" {
			fmt.Fprintf(&b, " (tenant %s)", plain.Text(tenant, 128))
		}

		b.WriteString(": ")
	} else if tenant != "" {
		fmt.Fprintf(&b, "tenant %s: ", plain.Text(tenant, 128))
	}

	b.WriteString(plain.Text(problem, 1024))

	if remedy != "" {
		b.WriteString("; " + plain.Text(remedy, 1024))
	}

	return b.String()
}

// shown quotes a value for a message; a long one is cut.
func shown(value string) string { return plain.Quoted(value) }
