package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestTheCommandLineDoesNotLinkTheRuntime: defenderctl takes the parts of an input from
// internal/wiring, and needs nothing of what runs inside Fluent Bit.
func TestTheCommandLineDoesNotLinkTheRuntime(t *testing.T) {
	forbidden := map[string]string{
		"fluent-bit-defender/internal/instance":         "Fluent Bit's callbacks: nobody calls them here",
		"fluent-bit-defender/internal/collect":          "polls for ever; a command reads once, with the same readers",
		"fluent-bit-defender/internal/delivery":         "delivers to Fluent Bit, which is not there",
		"fluent-bit-defender/internal/metrics":          "a command has no /metrics",
		"fluent-bit-defender/internal/test":             "tests are no part of a program",
		"github.com/prometheus":                         "40 packages that only /metrics needs",
		"github.com/fluent/fluent-bit-go":               "the boundary to Fluent Bit, in C",
		"github.com/chromedp":                           "drives a browser in tests",
		"testing":                                       "registers flags of its own",
		"fluent-bit-defender/internal/testbed/flbhost":  "Fluent Bit's side of the boundary, in C, for tests",
		"fluent-bit-defender/internal/testbed/receiver": "servers for tests",
	}

	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}

	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)

		for prefix, reason := range forbidden {
			if path == prefix || strings.HasPrefix(path, prefix+"/") {
				t.Errorf("defenderctl links %s: %s", path, reason)
			}
		}
	}
}
