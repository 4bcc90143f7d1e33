package instance

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
)

// commandLine returns the command line of the process, or nil if it cannot be read.
func commandLine() []string {
	data, err := os.ReadFile("/proc/self/cmdline")
	if err != nil || len(data) == 0 {
		return nil
	}

	var args []string
	for arg := range bytes.SplitSeq(bytes.TrimSuffix(data, []byte{0}), []byte{0}) {
		args = append(args, string(arg))
	}

	return args
}

// hostFile returns the configuration file that Fluent Bit was started with, or "".
func hostFile(args []string) string {
	for i, arg := range args {
		if i == 0 {
			continue
		}

		if path, ok := strings.CutPrefix(arg, "--config="); ok {
			return path
		}

		if (arg == "-c" || arg == "--config") && i+1 < len(args) {
			return args[i+1]
		}

		if path, ok := strings.CutPrefix(arg, "-c"); ok && path != "" {
			return path
		}
	}

	return ""
}

// sameSection are the keys by which an instance recognises its own section in the file.
var sameSection = []string{"tenant_id", "tenant_name", "tenants_file", "client_id", "api", "state_id", "format"}

// hostWarnings returns a line for each setting of Fluent Bit itself that endangers the
// records of this input. Fluent Bit does not show these settings to plugins, so its
// configuration file is read here once more. A file that cannot be read is no fault:
// Fluent Bit has read it already, or got its settings elsewhere.
func hostWarnings(g config.Getter, cfg *config.Input, args []string) []string {
	path := hostFile(args)
	if path == "" {
		return nil
	}

	file, err := fluentbit.Load(path, nil)
	if err != nil {
		return nil
	}

	for _, sec := range file.Of("input") {
		differs := func(key string) bool { return sec.Get(key) != g.Get(key) }
		if strings.EqualFold(sec.Get("name"), "defender") && !slices.ContainsFunc(sameSection, differs) {
			return sectionWarnings(file, sec, cfg)
		}
	}

	return nil
}

// sectionWarnings returns what is wrong with a section, and with the filters and
// outputs for its tags, one line each.
func sectionWarnings(file *fluentbit.File, sec fluentbit.Section, cfg *config.Input) []string {
	var lines []string

	add := func(h fluentbit.Hazard) {
		lines = append(lines, fmt.Sprintf("%s:%d: %s: %s; %s", h.File, h.Line, h.Key, h.Problem, h.Remedy))
	}
	for _, h := range file.Hazards(sec) {
		add(h)
	}

	var tags []string

	for _, t := range cfg.Examples() {
		tag := t.Tag
		if tag == "" {
			tag = sec.Get("tag")
		}

		if tag != "" && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}

	for _, f := range file.Of("filter") {
		h, ok := f.FilterHazard()
		if ok && slices.ContainsFunc(tags, f.Matches) {
			add(h)
		}
	}

	lost := slices.DeleteFunc(tags, func(tag string) bool { return file.Reached(sec, tag) })
	if len(lost) > 0 {
		more := ""
		if len(lost) > 1 {
			more = fmt.Sprintf(" and %d other tags", len(lost)-1)
		}

		lines = append(
			lines,
			fmt.Sprintf("%s:%d: no output takes the tag %q%s: Fluent Bit drops the alerts; give an "+
				"output: Match %s",
				sec.File, sec.Line, lost[0], more, lost[0]),
		)
	}

	return lines
}

// warnOfHost logs what hostWarnings finds.
func (p *Process) warnOfHost(g config.Getter, cfg *config.Input, log *slog.Logger) {
	for _, line := range hostWarnings(g, cfg, p.commandLine()) {
		log.Warn(line)
	}
}
