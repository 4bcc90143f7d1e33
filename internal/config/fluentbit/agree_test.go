package fluentbit

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/setup"
)

// odd is one small configuration, and what Fluent Bit 5.1.1 does with it.
type odd struct {
	name string
	// yaml: the file is a.yaml, else a.conf. More files stand behind lines "-- name --".
	yaml bool
	text string
	// refused is what Fluent Bit says to it; tag the tag of its input, where it starts.
	refused bool
	tag     string
}

// in begins a file with an input; what follows belongs to the input.
const in = "[INPUT]\n    Name dummy\n    Tag t\n"

// yamlIn is the same in YAML; what follows belongs to the pipeline.
const yamlIn = "pipeline:\n  inputs:\n    - name: dummy\n      tag: t\n"

var odds = []odd{
	{name: "plain", text: in, tag: "t"},
	{name: "empty", text: "", tag: ""},
	{name: "comment of the first column", text: in + "# x\n    Alias a\n", tag: "t"},
	{name: "comment of the same indentation", text: in + "    # x\n", tag: "t"},
	{name: "comment of less indentation", text: in + "  # x\n", refused: true},
	{name: "comment of more indentation", text: in + "      # x\n", refused: true},
	{name: "comment of the double indentation", text: in + "        # x\n", tag: "t"},
	{name: "key of the double indentation", text: in + "        Alias a\n", tag: "t"},
	{name: "key of less indentation", text: in + "  Alias a\n", refused: true},
	{name: "key without indentation", text: in + "Alias a\n", refused: true},
	{name: "tab after blanks", text: in + "\tAlias a\n", refused: true},
	{name: "tabs only", text: "[INPUT]\n\tName dummy\n\tTag t\n", tag: "t"},
	{name: "tab and blank", text: "[INPUT]\n\t Name dummy\n\t Tag t\n", tag: "t"},
	{name: "blank line of blanks", text: in + "    \n", tag: "t"},
	{name: "blank line of two blanks", text: in + "  \n", refused: true},
	{name: "blank line of six blanks", text: in + "      \n", refused: true},
	{name: "blank line of eight blanks", text: in + "        \n", tag: "t"},
	{name: "first line of two blanks", text: "  \n" + in, tag: "t"},
	{name: "first line of three blanks", text: "   \n" + in, refused: true},
	{name: "first line a comment of two blanks", text: "  # x\n" + in, tag: "t"},
	{name: "first line a comment of three blanks", text: "   # x\n" + in, refused: true},
	{name: "blank before a header", text: " [INPUT]\n    Name dummy\n", refused: true},
	{name: "blank in a header", text: "[ INPUT ]\n    Name dummy\n", tag: ""},
	{name: "header without end", text: in + "[OUTPUT\n    Name null\n", refused: true},
	{name: "header without name", text: in + "[]\n    Name null\n", tag: "t"},
	{name: "header with a comment", text: "[INPUT] # x\n    Name dummy\n    Tag t\n", tag: "t"},
	{name: "short header", text: "[IN]\n    Name dummy\n    Tag t\n", tag: "t"},
	{name: "plural header", text: "[inputs]\n    Name dummy\n    Tag t\n", tag: "t"},
	{name: "unknown header", text: in + "[OUPUT]\n    Name nothing\n", tag: "t"},
	{name: "key without value", text: in + "    Alias\n", refused: true},
	{name: "key with a blank value", text: in + "    Alias   \n", refused: true},
	{name: "key and value by a tab", text: in + "    Alias\tx\n", refused: true},
	{
		name:    "key by a tab, then a blank",
		text:    in + "    Dummy\t {}\n",
		refused: false,
		tag:     "t",
	},
	{name: "comment behind a value", text: "[INPUT]\n    Name dummy\n    Tag t # x\n", tag: "t # x"},
	{name: "CRLF", text: "[INPUT]\r\n    Name dummy\r\n    Tag t\r\n", tag: "t"},
	{name: "CR at the end of the file", text: "[INPUT]\n    Name dummy\n    Tag t\r", tag: "t"},
	{name: "byte order mark", text: "\xef\xbb\xbf" + in, refused: true},
	{name: "key before a section", text: "    Name dummy\n", refused: true},
	{name: "group", text: in + "    [g] x\n        a b\n    Alias a\n", tag: "t"},
	{name: "group without blank", text: in + "    [g]\n        a b\n", refused: true},
	{name: "group without end", text: in + "    [g x\n", refused: true},
	{name: "set", text: "@SET A=b\n[INPUT]\n    Name dummy\n    Tag ${A}\n", tag: "b"},
	{name: "set below", text: "[INPUT]\n    Name dummy\n    Tag ${A}\n@SET A=b\n", tag: "b"},
	{name: "set twice", text: "@SET A=b\n@SET A=c\n[INPUT]\n    Name dummy\n    Tag ${A}\n", tag: "c"},
	{name: "set without equals sign", text: "@SET A b\n" + in, tag: "t"},
	{name: "set with blanks", text: "@SET  A=b c \n[INPUT]\n    Name dummy\n    Tag ${A}\n", tag: "b c"},
	{name: "set is not expanded", text: "@SET A=${B}\n[INPUT]\n    Name dummy\n    Tag ${A}\n", tag: "${B}"},
	{
		name: "set of a file that is not there",
		text: "@SET A=file:///none\n[INPUT]\n    Name dummy\n    Tag t${A}\n",
		tag:  "t",
	},
	{name: "unknown command", text: "@IMPORT x\n" + in, tag: "t"},
	{name: "command without value", text: "@IMPORT\n" + in, refused: true},
	{name: "short command", text: "@x\n" + in, refused: true},
	{name: "default", text: "[INPUT]\n    Name dummy\n    Tag x${NOTHING_HERE:-d}y\n", tag: "xdy"},
	{name: "colon without default", text: "[INPUT]\n    Name dummy\n    Tag x${NOTHING_HERE:d}y\n", tag: "xy"},
	{name: "brace before", text: "@SET S=s\n[INPUT]\n    Name dummy\n    Tag a}b${S}\n", tag: "a}b${S}"},
	{name: "brace between", text: "@SET S=s\n[INPUT]\n    Name dummy\n    Tag ${S}a}b${S}\n", tag: "sb${S}"},
	{name: "brace open", text: "@SET S=s\n[INPUT]\n    Name dummy\n    Tag a${S}b${S\n", tag: "as"},
	{name: "brace empty", text: "@SET S=s\n[INPUT]\n    Name dummy\n    Tag a${S}b${}c\n", tag: "asc"},
	{name: "tag twice", text: in + "    Tag u\n", tag: "u"},
	{name: "include", text: "@INCLUDE b.inc\n-- b.inc --\n" + in, tag: "t"},
	{name: "include in small letters", text: "@include b.inc\n-- b.inc --\n" + in, tag: "t"},
	{name: "include with a blank behind", text: "@INCLUDE b.inc \n-- b.inc --\n" + in, refused: true},
	{name: "include with two blanks", text: "@INCLUDE  b.inc\n-- b.inc --\n" + in, refused: true},
	{name: "include by a tab", text: "@INCLUDE\tb.inc\n-- b.inc --\n" + in, refused: true},
	{name: "include twice", text: "@INCLUDE b.inc\n@INCLUDE b.inc\n-- b.inc --\n" + in, refused: true},
	{name: "include of nothing", text: in + "@INCLUDE d/*.conf\n", refused: true},
	{name: "include of a missing file", text: in + "@INCLUDE nowhere\n", refused: true},
	{
		name: "include in a section",
		text: "[INPUT]\n    Name dummy\n@INCLUDE b.inc\n    Tag t\n-- b.inc --\n[OUTPUT]\n  Name null\n  Match *\n",
		tag:  "t",
	},
	{
		name:    "include of keys",
		text:    "[INPUT]\n    Name dummy\n@INCLUDE b.inc\n-- b.inc --\n    Tag t\n",
		refused: true,
	},
	{name: "include by a pattern", text: "@INCLUDE *.inc\n-- b.inc --\n" + in, tag: "t"},

	{
		name: "YAML",
		yaml: true,
		text: yamlIn,
		tag:  "t",
	},
	{
		name: "YAML nothing",
		yaml: true,
		text: "",
		tag:  "",
	},
	{
		name:    "YAML list",
		yaml:    true,
		text:    "- a\n",
		refused: true,
	},
	{
		name: "YAML two documents",
		yaml: true,
		text: "service:\n  flush: 1\n---\n" + yamlIn,
		tag:  "t",
	},
	{
		name: "YAML document end",
		yaml: true,
		text: "---\n" + yamlIn + "...\n",
		tag:  "t",
	},
	{
		name:    "YAML tab",
		yaml:    true,
		text:    "pipeline:\n\tinputs:\n",
		refused: true,
	},
	{
		name:    "YAML empty service",
		yaml:    true,
		text:    "service:\n" + yamlIn,
		refused: true,
	},
	{
		name: "YAML service of nothing",
		yaml: true,
		text: "service: {}\n" + yamlIn,
		tag:  "t",
	},
	{
		name:    "YAML service twice",
		yaml:    true,
		text:    "service:\n  flush: 1\n" + yamlIn + "service:\n  grace: 1\n",
		refused: true,
	},
	{
		name: "YAML service in capitals",
		yaml: true,
		text: "SERVICE:\n  Flush: 1\n" + yamlIn,
		tag:  "t",
	},
	{
		name:    "YAML service value a list",
		yaml:    true,
		text:    "service:\n  flush: [1]\n" + yamlIn,
		refused: true,
	},
	{
		name:    "YAML service value a mapping",
		yaml:    true,
		text:    "service:\n  http: {server: on}\n" + yamlIn,
		refused: true,
	},
	{
		name:    "YAML empty filters",
		yaml:    true,
		text:    yamlIn + "  filters:\n",
		refused: true,
	},
	{
		name: "YAML filters of nothing",
		yaml: true,
		text: yamlIn + "  filters: []\n",
		tag:  "t",
	},
	{
		name:    "YAML empty pipeline",
		yaml:    true,
		text:    "pipeline:\n",
		refused: true,
	},
	{
		name:    "YAML unknown part",
		yaml:    true,
		text:    yamlIn + "  output: []\n",
		refused: true,
	},
	{
		name:    "YAML inputs a mapping",
		yaml:    true,
		text:    "pipeline:\n  inputs:\n    name: dummy\n",
		refused: true,
	},
	{
		name:    "YAML value of blanks",
		yaml:    true,
		text:    yamlIn + "      alias: '  '\n",
		refused: true,
	},
	{
		name:    "YAML empty list",
		yaml:    true,
		text:    yamlIn + "      alias: []\n",
		refused: true,
	},
	{
		name:    "YAML nested value",
		yaml:    true,
		text:    yamlIn + "      alias: {a: b}\n",
		refused: true,
	},
	{
		name: "YAML tag a list",
		yaml: true,
		text: "pipeline:\n  inputs:\n    - name: dummy\n      tag: [t, u]\n",
		tag:  "u",
	},
	{
		name: "YAML key in capitals",
		yaml: true,
		text: "pipeline:\n  inputs:\n    - Name: dummy\n      TAG: t\n",
		tag:  "t",
	},
	{
		name:    "YAML alias",
		yaml:    true,
		text:    "service: &s\n  flush: 1\npipeline:\n  inputs:\n    - name: dummy\n      tag: *s\n",
		refused: true,
	},
	{
		name: "YAML anchor alone",
		yaml: true,
		text: "service: &s\n  flush: 1\n" + yamlIn,
		tag:  "t",
	},
	{
		name: "YAML env",
		yaml: true,
		text: "env:\n  A: b\npipeline:\n  inputs:\n    - name: dummy\n      tag: ${A}\n",
		tag:  "b",
	},
	{
		name:    "YAML env nested",
		yaml:    true,
		text:    "env:\n  A: {value: b}\n" + yamlIn,
		refused: true,
	},
	{
		name: "YAML env list",
		yaml: true,
		text: "env:\n  - name: A\n    value: b\npipeline:\n  inputs:\n    - name: dummy\n      tag: ${A}\n",
		tag:  "b",
	},
	{
		name:    "YAML env file not there",
		yaml:    true,
		text:    "env:\n  A: file:///none\n" + yamlIn,
		refused: true,
	},
	{
		name:    "YAML empty env",
		yaml:    true,
		text:    "env:\n" + yamlIn,
		refused: true,
	},
	{
		name: "YAML include",
		yaml: true,
		text: "includes:\n  - b.yaml\n-- b.yaml --\n" + yamlIn,
		tag:  "t",
	},
	{
		name:    "YAML include a word",
		yaml:    true,
		text:    yamlIn + "includes: b.yaml\n-- b.yaml --\nservice:\n  flush: 1\n",
		refused: true,
	},
	{
		name: "YAML include of nothing",
		yaml: true,
		text: yamlIn + "includes:\n  - d/*.yaml\n",
		tag:  "t",
	},
	{
		name:    "YAML include of nothing, absolute",
		yaml:    true,
		text:    yamlIn + "includes:\n  - /nowhere/*.yaml\n",
		refused: true,
	},
	{
		name:    "YAML empty includes",
		yaml:    true,
		text:    yamlIn + "includes:\n",
		refused: true,
	},
	{
		name: "YAML unknown section",
		yaml: true,
		text: yamlIn + "piepline:\n  a: b\n",
		tag:  "t",
	},
	{
		name:    "YAML unknown section a word",
		yaml:    true,
		text:    yamlIn + "piepline: b\n",
		refused: true,
	},
	{
		name:    "YAML plugins a word",
		yaml:    true,
		text:    yamlIn + "plugins: /x.so\n",
		refused: true,
	},
	{
		name:    "YAML processors a list",
		yaml:    true,
		text:    yamlIn + "      processors: []\n",
		refused: true,
	},
	{
		name:    "YAML processors empty logs",
		yaml:    true,
		text:    yamlIn + "      processors:\n        logs:\n",
		refused: true,
	},
	{
		name: "YAML processors of nothing",
		yaml: true,
		text: yamlIn + "      processors:\n        logs: []\n",
		tag:  "t",
	},
	{
		name:    "YAML processors unknown part",
		yaml:    true,
		text:    yamlIn + "      processors:\n        log: []\n",
		refused: true,
	},
}

// write puts the files of a case into a directory and returns the first.
func (c odd) write(t *testing.T) string {
	t.Helper()

	name, files := "a.conf", map[string]string{}
	if c.yaml {
		name = "a.yaml"
	}

	first := name

	for line := range strings.Lines(c.text) {
		if other, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(other, " --\n")
			continue
		}

		files[name] += line
	}

	if files[first] == "" {
		files[first] = ""
	}

	return filepath.Join(tree(t, files), first)
}

func TestTheReaderAgreesWithFluentBit(t *testing.T) {
	if len(odds) < 100 {
		t.Errorf("%d cases", len(odds))
	}

	for _, c := range odds {
		t.Run(c.name, func(t *testing.T) {
			f, err := Load(c.write(t), variables)
			if refused := err != nil; refused != c.refused {
				t.Fatalf("refused: %v (%v), Fluent Bit: %v", refused, err, c.refused)
			}

			if err != nil {
				return
			}

			tag := ""
			for _, s := range f.Of("input") {
				tag = s.Get("tag")
			}

			if tag != c.tag {
				t.Errorf("tag %q, Fluent Bit: %q", tag, c.tag)
			}
		})
	}
}

// TestFluentBitStillDoesWhatIsRecorded runs a real Fluent Bit, where there is one.
func TestFluentBitStillDoesWhatIsRecorded(t *testing.T) {
	bin := setup.FluentBit(t)
	for _, c := range odds {
		t.Run(c.name, func(t *testing.T) {
			path := c.write(t)

			out, err := dryRun(t, bin, path)
			if refused := err != nil; refused != c.refused {
				t.Fatalf("refused: %v, recorded: %v\n%s", refused, c.refused, out)
			}

			if c.tag == "" || c.tag == "t" {
				return // nothing about it is odd
			}

			if tag := realTag(t, bin, path); tag != c.tag {
				t.Errorf("tag %q, recorded: %q", tag, c.tag)
			}
		})
	}
}

// dryRun has Fluent Bit read a configuration.
func dryRun(t *testing.T, bin, path string) (string, error) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	cmd := exec.CommandContext(ctx, bin, "--dry-run", "-c", path)
	cmd.Dir = filepath.Dir(path)
	out, err := cmd.CombinedOutput()

	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}

	return string(out), err
}

// printed finds the tag in a line of the output stdout.
var printed = regexp.MustCompile(`^\[0\] (.*): \[\[`)

// realTag starts Fluent Bit and returns the tag of the first record that comes out.
func realTag(t *testing.T, bin, path string) string {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	cmd := exec.CommandContext(ctx, bin, "-f", "0.2", "-c", path, "-o", "stdout", "-m", "*")
	cmd.Dir = filepath.Dir(path)

	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	tag := ""
	for lines := bufio.NewScanner(out); tag == "" && lines.Scan(); {
		if m := printed.FindStringSubmatch(lines.Text()); m != nil {
			tag = m[1]
		}
	}

	cancel()

	_ = cmd.Wait() // it was killed

	return tag
}
