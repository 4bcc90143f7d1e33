package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"fluent-bit-defender/internal/test/golden"
)

// optionsPage returns docs/options.md, made of the table of options.
func optionsPage(t *testing.T) string {
	t.Helper()

	var rows strings.Builder
	for _, o := range options {
		fmt.Fprintf(&rows, "| `%s` | %s | %s | %s | %s | %s |\n",
			o.Name, kindText(o), code(o.Default), bounds(o), whereText[o.Scope], strings.ReplaceAll(o.Help, "|", `\|`))
	}

	page, err := template.ParseFiles("../../testdata/config/options.tmpl")
	if err != nil {
		t.Fatal(err)
	}

	var b strings.Builder
	if err := page.Execute(&b, map[string]string{"Rows": rows.String()}); err != nil {
		t.Fatal(err)
	}

	return b.String()
}

var whereText = map[Scope]string{
	PerTenant: "section, defaults, tenant",
	InputWide: "section",
	FileOnly:  "tenant",
}

func kindText(o Option) string {
	if o.Kind != KindEnum {
		return string(o.Kind)
	}

	quoted := make([]string, len(o.Values))
	for i, v := range o.Values {
		quoted[i] = code(v)
	}

	return strings.Join(quoted, ", ")
}

func code(s string) string {
	if s == "" {
		return "–"
	}

	return "`" + s + "`"
}

func bounds(o Option) string {
	switch {
	case o.Min == "0" || o.Min == "0s":
		return "0, or " + FormatDuration(leastPositive) + " to " + o.Max
	case o.Min != "":
		return o.Min + " to " + o.Max
	case o.Most != 0:
		return fmt.Sprintf("%d to %d", o.Least, o.Most)
	case o.Least != 0:
		return fmt.Sprintf("from %d", o.Least)
	default:
		return "–"
	}
}

// TestTheChangelogNamesEveryKey in a piece of code, which may have more words than it.
func TestTheChangelogNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}

	named := map[string]bool{}

	for _, piece := range regexp.MustCompile("`[^`]*`").FindAllString(string(text), -1) {
		for word := range strings.FieldsSeq(strings.Trim(piece, "`")) {
			named[word] = true
		}
	}

	for _, o := range options {
		if !named[o.Name] {
			t.Errorf("CHANGELOG.md does not name the key %s", o.Name)
		}
	}
}

func TestGoldenOptionsPage(t *testing.T) {
	page := optionsPage(t)
	golden.File(t, "../../docs/options.md", page)

	for _, o := range Options() {
		if strings.Count(page, "\n| `"+o.Name+"` |") != 1 {
			t.Errorf("%s is not on the page once", o.Name)
		}

		if o.Help == "" || o.Kind == "" || o.Scope == "" || o.Kind == KindSecret && o.Default != "" {
			t.Errorf("%s is described badly: %+v", o.Name, o)
		}

		if o.Kind == KindDuration {
			for _, d := range []string{o.Default, o.Min, o.Max} {
				if _, err := ParseDuration(d); err != nil {
					t.Errorf("%s: %v", o.Name, err)
				}
			}
		}

		if _, err := ParseSize(o.Default); o.Kind == KindSize && err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}

		if _, err := ParseBool(o.Default); o.Kind == KindBool && err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
	}
}
