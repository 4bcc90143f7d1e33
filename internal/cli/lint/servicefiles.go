package lint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
)

// serviceFile checks a file that the service section names, and at what it names.
func (l *linter) serviceFile(sec fluentbit.Section, p fluentbit.Prop, key string) {
	if key == "streams_file" {
		if _, ok := l.find(p.Value); !ok { // only of this one Fluent Bit can do without
			l.line(Warning, sec, p, plain.Quoted(p.Value)+" cannot be read: Fluent Bit starts without it",
				"check the path")
		}

		return
	}

	path, ok := l.exists(sec, p)
	if !ok {
		return
	}

	file, err := fluentbit.Load(path, l.sources.Env)

	var e *fluentbit.Error
	if errors.As(err, &e) {
		l.add(Error, config.Place{File: e.File, Line: e.Line}, e.Problem+refuses, e.Remedy)

		return
	}

	if err != nil {
		return
	}

	if key == "parsers_file" {
		l.parsers(file)
		return
	}

	l.more = append(l.more, file.Files[1:]...)

	for _, s := range file.Of("plugins") {
		for _, so := range s.Props {
			if strings.EqualFold(so.Key, "path") {
				l.sharedObject(s, so)
			}
		}
	}
}

// parsers checks the definitions of a parsers file
// (flb_parser_load_parser_definitions).
func (l *linter) parsers(file *fluentbit.File) {
	for _, sec := range file.Of("parser") {
		format := strings.ToLower(sec.Get("format"))
		switch {
		case sec.Get("name") == "":
			l.at(Error, sec, "Name", "is missing in a parser"+refuses, "write it")
		case format == "":
			l.at(Error, sec, "Format", "is missing in a parser"+refuses, "write it")
		case !slices.Contains([]string{"json", "regex", "ltsv", "logfmt"}, format):
			l.at(Error, sec, "Format", plain.Quoted(format)+" is not a format of a parser"+refuses,
				"use json, regex, ltsv or logfmt")
		case format == "regex" && sec.Get("regex") == "":
			l.at(Error, sec, "Regex", "is missing in a parser"+refuses, "write it")
		}
	}
}

// sharedObject checks the path of an external plugin. Fluent Bit passes it to dlopen
// unchanged: a relative one starts from Fluent Bit's working directory.
func (l *linter) sharedObject(sec fluentbit.Section, p fluentbit.Prop) {
	if p.Written != "" && p.Written != p.Value {
		l.line(Error, sec, p, "Fluent Bit changes the letters of this path to "+plain.Quoted(p.Value),
			"write it absolute: /…")
	}

	if first, twice := l.objects[p.Value]; twice {
		l.line(Warning, sec, p, "loads the plugin that "+first+" loads already", "remove one")
		return
	}

	l.objects[p.Value] = fmt.Sprintf("%s:%d", filepath.Base(p.File), p.Line)

	if !strings.Contains(p.Value, "/") {
		l.line(Error, sec, p, plain.Quoted(p.Value)+
			" has no slash: Fluent Bit looks for it in the system's library folders only",
			"write its whole path: /opt/defender/"+p.Value)

		return
	}

	if !filepath.IsAbs(p.Value) {
		if _, err := os.Stat(p.Value); err != nil {
			l.line(Note, sec, p, plain.Quoted(p.Value)+" is not here; it starts from Fluent Bit's working directory",
				"write an absolute path")

			return
		}

		l.more = append(l.more, p.Value)

		return
	}

	if _, err := os.Stat(filepath.Dir(p.Value)); err != nil { // this may be another machine
		l.line(Note, sec, p, plain.Quoted(p.Value)+" is not on this machine",
			"put the plugin there before Fluent Bit starts")

		return
	}

	l.exists(sec, p)
}

// find looks for a file as Fluent Bit does: in its working directory, which may be
// ours, and beside the configuration.
func (l *linter) find(name string) (path string, ok bool) {
	path, err := l.open(name)
	return path, err == nil
}

func (l *linter) open(name string) (path string, err error) {
	candidates := []string{name}
	if !filepath.IsAbs(name) {
		candidates = append(candidates, filepath.Join(l.file.Root, name))
	}

	for _, path := range candidates {
		var f *os.File

		f, err = filemode.Open(path)
		if err == nil {
			l.more = append(l.more, path)
			return path, f.Close()
		}
	}

	return "", err
}

// exists reports a file that is missing, without which Fluent Bit refuses to start.
func (l *linter) exists(sec fluentbit.Section, p fluentbit.Prop) (path string, ok bool) {
	if p.Value == "" {
		return "", false
	}

	path, err := l.open(p.Value)
	if err == nil {
		return path, true
	}

	problem := "cannot be read"

	var why *os.PathError
	if errors.As(err, &why) {
		problem += ": " + why.Err.Error()
	}

	if errors.Is(err, os.ErrPermission) {
		l.line(
			Warning,
			sec,
			p,
			plain.Quoted(p.Value)+" "+problem,
			"run this check as the user that Fluent Bit runs as",
		)

		return "", false
	}

	l.line(Error, sec, p, plain.Quoted(p.Value)+" "+problem+refuses, "check the path")

	return "", false
}
