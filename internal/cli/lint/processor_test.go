package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluent-bit-defender/internal/cli/lint"
)

// oddProcessors are processors and routes of an input, with what Fluent Bit 5.1.1 does
// with them.
var oddProcessors = []struct {
	name, text string
	refused    bool
	level      lint.Level
	says       string
}{
	{"insert", "name: content_modifier|action: insert|key: a|value: b", false, "", ""},
	{"a filter", "name: modify|match: '*'|add: a b", false, "", ""},
	{
		"extract",
		"name: content_modifier|action: extract|key: a|pattern: '^(?<b>.*)$'",
		false,
		lint.Error,
		"drops the alerts after it",
	},
	{
		"convert",
		"name: content_modifier|action: convert|key: a|converted_type: int",
		false,
		lint.Error,
		"drops the alerts after it",
	},
	{"hash", "name: content_modifier|action: hash|key: a", false, lint.Warning, "cannot be hashed"},
	{"sql", "name: sql|query: 'SELECT * FROM STREAM;'", false, lint.Error, "sql drops"},
	{
		"sampling",
		"name: sampling|type: probabilistic|sampling_settings: {sampling_percentage: 40}",
		false,
		lint.Error,
		"sampling drops",
	},
	{"grep", "name: grep|exclude: a b", false, lint.Warning, "they never reach the SIEM"},
	{
		"unknown name",
		"name: content_modfier|action: insert|key: a|value: b",
		true,
		lint.Error,
		"did you mean content_modifier?",
	},
	{"no name", "action: insert|key: a|value: b", true, lint.Error, "Name: is missing"},
	{
		"unknown action",
		"name: content_modifier|action: insrt|key: a|value: b",
		true,
		lint.Error,
		"is not one of content_modifier",
	},
	{
		"unknown key",
		"name: content_modifier|action: insert|kee: a|key: a|value: b",
		true,
		lint.Error,
		"did you mean key?",
	},
	{"no key", "name: content_modifier|action: insert|value: b", true, lint.Error, "key: is missing"},
	{"no pattern", "name: content_modifier|action: extract|key: a", true, lint.Error, "pattern: is missing"},
}

func processors(ours, text string) string {
	return "service:\n  flush: 1\n  storage.path: DIR/chunks\npipeline:\n  inputs:\n    - tag: t\n" +
		"      threaded: off\n      storage.type: filesystem\n" + ours + "      processors:\n        logs:\n" +
		"          - " + strings.ReplaceAll(text, "|", "\n            ") +
		"\n  outputs:\n    - name: stdout\n      match: '*'\n      retry_limit: no_limits\n"
}

func TestProcessorsThatLoseOrFailAreNamed(t *testing.T) {
	for _, c := range oddProcessors {
		t.Run(c.name, func(t *testing.T) {
			dir, fill := place(t)
			ours := "      name: defender\n      tenant_id: one.example\n" +
				"      client_id: 11111111-2222-4333-8444-555555555555\n      client_secret_file: SECRET\n" +
				"      data_dir: DATA\n"
			path := write(t, filepath.Join(dir, "fluent-bit.yaml"), fill(processors(ours, c.text)), 0o600)
			findings := look(t, path).Findings

			found := c.says == "" && len(findings) == 0
			for _, f := range findings {
				found = found ||
					c.says != "" && f.Level == c.level && strings.Contains(f.String(), c.says) && f.Line > 0 &&
						f.Remedy != ""
			}

			if !found {
				t.Errorf("no %s says %q: %v", c.level, c.says, findings)
			}
		})
	}
}

func TestFluentBitTreatsProcessorsAsRecorded(t *testing.T) {
	bin := os.Getenv("FLUENT_BIT")
	if bin == "" {
		t.Skip("$FLUENT_BIT is not set")
	}

	for _, c := range oddProcessors {
		t.Run(c.name, func(t *testing.T) {
			dir, fill := place(t)

			path := write(
				t,
				filepath.Join(dir, "fluent-bit.yaml"),
				fill(processors("      name: dummy\n", c.text)),
				0o600,
			)
			if out, started := start(t, bin, path); started == c.refused {
				t.Errorf("started: %v\n%s", started, out)
			}
		})
	}
}

func TestARouteThatLeadsNowhereIsAnError(t *testing.T) {
	dir, fill := place(t)

	text := strings.Replace(
		processors("      name: defender\n      tenant_id: one.example\n      client_id: x\n",
			"name: modify|add: a b"),
		"      processors:",
		"      routes:\n        logs:\n          - name: r\n            condition: {default: true}\n"+
			"            to: {outputs: [nowhere]}\n      processors:",
		1,
	)
	for _, f := range look(t, write(t, filepath.Join(dir, "fluent-bit.yaml"), fill(text), 0o600)).Findings {
		if f.Level == lint.Error && strings.Contains(f.Problem, "\"nowhere\", which is the alias of no output") {
			return
		}
	}

	t.Error("not found")
}

func TestAParserInYAMLNeedsAFormat(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "fluent-bit.yaml"), "parsers:\n  - name: x\n", 0o600)
	for _, f := range look(t, path).Findings {
		if f.Level == lint.Error &&
			strings.Contains(f.String(), "fluent-bit.yaml:2: Format: is missing in a parser") {
			return
		}
	}

	t.Error("not found")
}
