package main

import (
	"bytes"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fluent-bit-defender/internal/test/setup"
)

func TestGosOwnLogLinesAreNeverPrinted(t *testing.T) {
	if log.Writer() != io.Discard {
		t.Error("net/http prints parts of responses to stderr")
	}
}

// build makes a copy of the plugin, another copy, a link, and the program that loads
// them, in one directory.
func build(t *testing.T) string {
	t.Helper()

	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}

	dir := t.TempDir()

	plugin := filepath.Join(dir, "in_defender.so")
	for _, cmd := range []*exec.Cmd{
		exec.Command("cp", setup.Plugin(t), plugin),
		exec.Command("cp", plugin, filepath.Join(dir, "copy.so")),
		exec.Command("ln", "-s", "in_defender.so", filepath.Join(dir, "link.so")),
		exec.Command(cc, "-Wall", "-rdynamic", "-o", filepath.Join(dir, "loads"), "testdata/loads.c", "-ldl"),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}

	return dir
}

func TestTwoLoadingsOfOneConfigurationAreOne(t *testing.T) {
	dir := build(t)
	for name, tc := range map[string]struct{ second, steps, want string }{
		"once":                            {"copy.so", "A0", "ok"},
		"twice":                           {"copy.so", "A0 A0 A0", "ok refused refused"},
		"through a link":                  {"link.so", "A0 B0", "ok refused"},
		"a copy":                          {"copy.so", "A0 B0", "ok refused"},
		"twice, with reloads":             {"copy.so", "A0 A0 A1 A1 A- A1 A1 A-", "ok refused ok refused ok refused"},
		"a copy, with reloads":            {"copy.so", "A0 B0 A1 B1 A- A1 B1 A-", "ok refused ok refused ok refused"},
		"reloads that are refused":        {"copy.so", "A0 A1 A- A1 A- A1 A-", "ok ok ok ok"},
		"a new file by reload":            {"copy.so", "A0 B1 A- +60 A1 B-", "ok ok ok"},
		"new by reload, twice":            {"copy.so", "A1 A1 B1", "ok refused refused"},
		"new by reload, then again later": {"copy.so", "A1 +60 A1 A- A1", "ok ok ok"},
		"stopped and started again":       {"copy.so", "A0 A- A0 A- B0", "ok ok ok"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(
				[]string{filepath.Join(dir, "in_defender.so"), filepath.Join(dir, tc.second)},
				strings.Fields(tc.steps)...)
			cmd := exec.Command(filepath.Join(dir, "loads"), args...)

			var lines bytes.Buffer

			cmd.Stderr = &lines

			out, err := cmd.Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q\n%s", got, err, tc.want, &lines)
			}

			said := strings.Count(lines.String(), "2 [input:defender] ")

			refused := strings.Count(tc.want, "refused")
			if said != refused {
				t.Errorf("%d lines for %d refusals:\n%s", said, refused, &lines)
			}
		})
	}
}
