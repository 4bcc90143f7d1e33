package config

import (
	"errors"
	"fmt"
	"strings"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config/plain"
)

// Place says where in a configuration something is: file and line, key, and tenant.
// Each part is empty if it is not known.
type Place struct {
	File string `json:"file,omitempty"`
	// Line counts from 1; 0 is unknown.
	Line int `json:"line,omitempty"`
	// Key is the option; empty when a file as a whole is at fault.
	Key string `json:"key,omitempty"`
	// Tenant is the tenant's name, or its id; empty when the fault is not one tenant's.
	Tenant string `json:"tenant,omitempty"`
}

// Fault is one thing that is wrong in a configuration. It never holds the value of a
// secret.
type Fault struct {
	Place
	advice.Fault
}

// newFault returns a fault that lasts until somebody changes the configuration.
func newFault(at Place, problem, remedy string) *Fault {
	return &Fault{Place: at, Fault: advice.Fault{Problem: problem, Remedy: remedy, Fate: advice.NeedsFix}}
}

// Error returns one line: where, key, tenant, problem, remedy.
func (f *Fault) Error() string { return f.Sentence(f.Problem, f.Remedy) }

// Warning is something that works but is probably not meant, or not safe. Its fields
// are those of a Fault.
type Warning Fault

// String returns one line, like Fault.Error.
func (w Warning) String() string { return w.Sentence(w.Problem, w.Remedy) }

// Faults returns the faults in the error of FromPlugin or Watch.Poll.
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

// Sentence returns one line about what is wrong at a place.
func (p Place) Sentence(problem, remedy string) string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(plain.Text(p.File, 256))

		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}

		b.WriteString(": ")
	}

	if p.Key != "" {
		b.WriteString(plain.Text(p.Key, 64))

		if p.Tenant != "" {
			fmt.Fprintf(&b, " (tenant %s)", plain.Text(p.Tenant, 128))
		}

		b.WriteString(": ")
	} else if p.Tenant != "" {
		fmt.Fprintf(&b, "tenant %s: ", plain.Text(p.Tenant, 128))
	}

	b.WriteString(plain.Text(problem, 1024))

	if remedy != "" {
		b.WriteString("; " + plain.Text(remedy, 1024))
	}

	return b.String()
}

// shown quotes a value for a message; a long one is cut.
func shown(value string) string { return plain.Quoted(value) }
