// Package lint finds what is wrong in a Fluent Bit configuration with inputs of this
// project, before it is run.
//
// It promises to name file and line, what is wrong, and the line to write instead, and
// to find what Fluent Bit itself ignores silently: misspelt keys, and settings
// under which alerts are lost (docs/contract.md).
//
// # Caveats
//
// Values are those of this process's environment; where Fluent Bit runs with another
// one, variables may differ. Match_Regex is read with Go's regular expressions; what
// those do not know is taken to match.
package lint

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
)

// Level says how bad a finding is.
type Level string

const (
	// Error is for what keeps the input from starting, or loses alerts.
	Error Level = "error"
	// Warning is for what works, but is probably not meant, or not safe.
	Warning Level = "warning"
	// Note is for what is good to know; nothing is wrong.
	Note Level = "note"
)

// Finding is one thing that was found. It holds no value of a secret.
type Finding struct {
	Level Level `json:"level"`
	config.Place
	advice.Fault
}

// finding returns a finding at a place.
func finding(level Level, at config.Place, problem, remedy string) Finding {
	return Finding{Level: level, Place: at, Fault: advice.Fault{
		Problem: problem,
		Remedy:  remedy,
		Fate:    advice.NeedsFix,
	}}
}

// String returns one line: level, where, what, remedy.
func (f Finding) String() string { return string(f.Level) + ": " + f.Sentence(f.Problem, f.Remedy) }

// Unreadable returns what is found in a file that cannot be read as a configuration.
func Unreadable(err *fluentbit.Error) Result {
	at := config.Place{File: err.File, Line: err.Line}

	return Result{Findings: []Finding{finding(Error, at, err.Problem, err.Remedy)}}
}

// Input is a section that was read without a fault.
type Input struct {
	*config.Input
	// Tag is what the section says; empty if it does not. So is DataDir with a tenants
	// file alone.
	Tag string
}

// Result is what a configuration holds, and what was found.
type Result struct {
	Inputs   []Input
	Findings []Finding
}

// setVariable is the remedy for a variable that is not set in this process.
const setVariable = "set it, or run this check with Fluent Bit's environment"

// linter collects findings.
type linter struct {
	Result
	sources config.Sources
	file    *fluentbit.File
	// sections are those of this project's inputs, parsed those that were read, with
	// nil for a faulty one.
	sections []fluentbit.Section
	parsed   []*config.Input
	// objects are the external plugins that are loaded, with the place that does it.
	objects map[string]string
	// more are files that the configuration names and Fluent Bit loads.
	more []string
}

// Config checks a configuration of Fluent Bit that was read.
func Config(file *fluentbit.File, s config.Sources) Result {
	l := &linter{sources: s, file: file, objects: map[string]string{}}
	for _, n := range file.Notes {
		l.add(Warning, config.Place{File: n.File, Line: n.Line}, n.Problem, n.Remedy)
	}

	l.serviceSection()
	l.strangeSections()

	if file.Format == fluentbit.YAML { // a classic file must not have parsers, which was said
		l.parsers(file)
	}

	for _, sec := range file.Of("input") {
		if strings.EqualFold(sec.Get("name"), "defender") {
			l.sections = append(l.sections, sec)
			continue
		}

		l.stranger(sec)
		l.plugin(sec)
	}

	for _, kind := range []string{"filter", "output"} {
		for _, sec := range file.Of(kind) {
			l.plugin(sec)
		}
	}

	if len(l.sections) == 0 {
		l.add(Error, config.Place{File: file.Path}, "there is no input with `Name defender`",
			"add one, or name the right file")

		return l.sorted()
	}

	for _, sec := range l.sections {
		l.input(sec)
	}

	l.environment()
	l.service()
	l.together()
	l.routing()
	l.modes()
	l.credentialEnds()
	l.deprecated()

	return l.sorted()
}

// TenantsFile checks a tenants file alone; keys of the input's section are not known.
func TenantsFile(path string, s config.Sources) Result {
	l := &linter{sources: s, objects: map[string]string{}}

	in, warnings, err := config.FromPlugin(config.Map{"tenants_file": path}, s)
	if in != nil {
		in.DataDir = "" // the file does not say
	}

	l.read(in, warnings, err, "")
	l.environment()
	l.inline(path)
	l.credentialEnds()
	l.deprecated()

	return l.sorted()
}

// environment checks the environment of this process, which Fluent Bit may share.
func (l *linter) environment() {
	for _, w := range config.EnvironmentWarnings(l.sources) {
		l.add(Warning, w.Place, w.Problem, w.Remedy)
	}
}

// add adds a finding at a place.
func (l *linter) add(level Level, at config.Place, problem, remedy string) {
	l.Findings = append(l.Findings, finding(level, at, problem, remedy))
}

// at adds a finding about a key of a section.
func (l *linter) at(level Level, sec fluentbit.Section, key, problem, remedy string) {
	if unset := sec.Unset(key); len(unset) > 0 && sec.Get(key) == "" {
		problem += " (the variable " + strings.Join(unset, ", ") + " is not set here)"
		remedy = setVariable
	}

	l.add(level, placeOf(sec, key), problem, remedy)
}

// placeOf returns where a key of a section is, or the section if it has no such key.
func placeOf(sec fluentbit.Section, key string) config.Place {
	file, line := sec.Where(key)

	return config.Place{
		File:   file,
		Line:   line,
		Key:    key,
		Tenant: sec.Get("tenant_name"),
	}
}

// line adds a finding about one property of a section.
func (l *linter) line(level Level, sec fluentbit.Section, p fluentbit.Prop, problem, remedy string) {
	at := config.Place{
		File:   p.File,
		Line:   p.Line,
		Key:    p.Key,
		Tenant: sec.Get("tenant_name"),
	}
	l.add(level, at, problem, remedy)
}

// hazard adds a finding about a setting under which records are lost.
func (l *linter) hazard(level Level, h fluentbit.Hazard, tenant string) {
	at := config.Place{
		File:   h.File,
		Line:   h.Line,
		Key:    h.Key,
		Tenant: tenant,
	}
	l.add(level, at, h.Problem, h.Remedy)
}

// sorted puts findings in the order of the file, the worst of a line first, and drops
// repeats.
func (l *linter) sorted() Result {
	rank := func(v Level) int { return slices.Index([]Level{Error, Warning, Note}, v) }

	slices.SortStableFunc(l.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(rank(a.Level), rank(b.Level)))
	})

	l.Findings = slices.CompactFunc(l.Findings, func(a, b Finding) bool {
		return a.Place == b.Place && a.String() == b.String()
	})

	return l.Result
}

// stranger checks inputs of other plugins for ours under another name.
func (l *linter) stranger(sec fluentbit.Section) {
	name := strings.ToLower(sec.Get("name"))
	_, hasTenant := sec.Prop("tenant_id")

	_, hasFile := sec.Prop("tenants_file")
	if hasTenant || hasFile || name == "in_defender" || name == "microsoft_defender" {
		l.at(Error, sec, "Name", "the input is named "+plain.Quoted(name)+", but has the keys of this one",
			"write: Name defender")
	}
}

// input checks one section of ours.
func (l *linter) input(sec fluentbit.Section) {
	in, warnings, err := config.FromPlugin(sec, l.sources)
	l.read(in, warnings, err, sec.Get("tag"))
	l.keys(sec)
	l.unset(sec)
	l.remarks(sec)
	l.threads(sec)
	l.hazards(sec)
	l.pauses(sec)

	for _, p := range sec.Processors {
		l.plugin(p)
	}

	if sec.Get("tag") == "" {
		l.at(Note, sec, "Tag", "is not set: Fluent Bit names the records defender.0, defender.1 …",
			"write: Tag defender."+cmp.Or(sec.Get("tenant_name"), "NAME"))
	}
}

// keys checks the keys of a section of ours: misspelt, repeated, with values that
// Fluent Bit refuses.
func (l *linter) keys(sec fluentbit.Section) {
	seen := map[string]int{}

	for _, p := range sec.Props {
		key := strings.ToLower(p.Key)
		if f := config.UnknownKey(p.Key); f != nil && sec.Core(key) { // Fluent Bit takes it
			l.line(Warning, sec, p, "has no effect in a section of this input", f.Remedy)
		} else if f != nil {
			l.line(Error, sec, p, f.Problem, f.Remedy)
		}

		if first, twice := seen[key]; twice {
			switch {
			case p.Nested:
			case sec.Core(key):
				l.repeated(sec, nil, p, first)
			default:
				l.line(Warning, sec, p,
					fmt.Sprintf("is set twice; Fluent Bit uses the first, in line %d, not this one", first),
					"remove one")

				continue
			}
		}

		if !p.Nested {
			l.coreValue(sec, p)
		}

		seen[key] = p.Line
	}
}

// hazards are the settings under which Fluent Bit loses what it has accepted.
func (l *linter) hazards(sec fluentbit.Section) {
	for _, h := range l.file.Hazards(sec) {
		if l.errorIn(h.File, h.Line) && h.Key != "processors" && h.Line != sec.Line {
			continue // its value is refused, which was said
		}

		level := Warning
		if h.Sure {
			level = Error
		}

		l.hazard(level, h, sec.Get("tenant_name"))
	}
}

// unset warns of variables that are not set.
func (l *linter) unset(sec fluentbit.Section) {
	for _, p := range sec.Props {
		if len(p.Unset) == 0 {
			continue
		}

		names := strings.Join(p.Unset, ", ")

		if f := l.errorOf(p); f == nil {
			l.line(Warning, sec, p, "the environment variable "+names+" is not set here", setVariable)
		} else if !strings.Contains(f.Problem, names) {
			// What is wrong with the value comes from that.
			f.Problem += " (the environment variable " + names + " is not set here)"
			f.Remedy = setVariable
		}
	}
}

// errorOf returns the error that was found in a value already, nil if there is none. In
// YAML, other keys of a section and what the section lacks can have the same line.
func (l *linter) errorOf(p fluentbit.Prop) *Finding {
	i := slices.IndexFunc(l.Findings, func(f Finding) bool {
		return f.Level == Error && f.File == p.File && f.Line == p.Line && strings.EqualFold(f.Key, p.Key)
	})
	if i < 0 {
		return nil
	}

	return &l.Findings[i]
}

// errorIn reports whether an error was found in a line already.
func (l *linter) errorIn(file string, line int) bool {
	return slices.ContainsFunc(l.Findings, func(f Finding) bool {
		return f.Level == Error && f.File == file && f.Line == line
	})
}

// read takes what package config says about a section.
func (l *linter) read(in *config.Input, warnings []config.Warning, err error, tag string) {
	for _, w := range warnings {
		l.add(Warning, w.Place, w.Problem, w.Remedy)
	}

	faults := config.Faults(err)
	for _, f := range faults {
		l.add(Error, f.Place, f.Problem, f.Remedy)
	}

	if err != nil && len(faults) == 0 {
		l.add(Error, config.Place{}, err.Error(), "")
	}

	l.parsed = append(l.parsed, in)
	if in != nil {
		l.Inputs = append(l.Inputs, Input{in, tag})
	}
}

// off and on read a boolean of Fluent Bit (flb_utils_bool).
func off(v string) bool { b, err := config.ParseBool(v); return err == nil && !b }
func on(v string) bool  { b, err := config.ParseBool(v); return err == nil && b }

// mode returns the permissions of a file that is there.
func mode(path string) (os.FileMode, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}

	return info.Mode().Perm(), true
}
