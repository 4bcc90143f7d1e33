package flbhost

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// configure writes the configuration of a real Fluent Bit with these sections, in YAML
// or in the classic form.
func (r *Real) configure(instances []Instance) error {
	sections, err := r.sections(instances)
	if err != nil {
		return err
	}

	write := yaml

	if r.cfg.Classic {
		plugins := filepath.Join(r.cfg.StorageDir, "plugins.conf")
		if err := os.WriteFile(plugins, []byte("[PLUGINS]\n    Path "+sections[0].plugin+"\n"), 0o600); err != nil {
			return fmt.Errorf("flbhost: %w", err)
		}

		sections[0].set("plugins_file", plugins)

		write = classic
	}

	if err := os.WriteFile(r.configFile(), []byte(write(sections)), 0o600); err != nil {
		return fmt.Errorf("flbhost: %w", err)
	}

	return nil
}

// confSection is a part of a configuration, whatever it is written in.
type confSection struct {
	kind   string // service, input or output
	plugin string // service: path of the plugin
	keys   []Property
}

func (s *confSection) set(key, value string) { s.keys = append(s.keys, Property{key, value}) }

// sections returns the sections of the service, the inputs and the output.
func (r *Real) sections(instances []Instance) ([]confSection, error) {
	level := LevelInfo

	if r.cfg.LogLevel != "" {
		l, ok := levelNames[strings.ToLower(r.cfg.LogLevel)]
		if !ok {
			return nil, fmt.Errorf("flbhost: log_level %q: %w", r.cfg.LogLevel, ErrUnknownProperty)
		}

		level = l
	}

	plugin, err := filepath.Abs(r.cfg.Plugin)
	if err != nil {
		return nil, fmt.Errorf("flbhost: %w", err)
	}

	storage, err := filepath.Abs(filepath.Join(r.cfg.StorageDir, "storage"))
	if err != nil {
		return nil, fmt.Errorf("flbhost: %w", err)
	}

	grace := r.cfg.GraceSeconds
	if grace == 0 {
		grace = 5
	}

	service := confSection{kind: "service", plugin: plugin}
	service.set("flush", "1")
	service.set("grace", strconv.Itoa(grace))
	// Start and reload are seen by lines of level info; the level asked for is set on
	// the inputs.
	service.set("log_level", max(level, LevelInfo).String())
	service.set("storage.path", storage)
	service.set("scheduler.base", "1")
	service.set("scheduler.cap", "2")

	if r.cfg.HotReload {
		service.set("hot_reload", "on")
		service.set("hot_reload.ensure_thread_safety", "off")
	}

	list := []confSection{service}
	for _, ins := range instances {
		list = append(list, r.input(ins, level))
	}

	output := confSection{kind: "output"}
	for _, p := range Props("name", "http", "match", "*", "host", "127.0.0.1", "port", strconv.Itoa(r.receiver.port),
		"format", "msgpack", "header_tag", tagHeader, "retry_limit", "no_limits") {
		output.set(p.Key, p.Value)
	}

	return append(list, output), nil
}

func (r *Real) input(ins Instance, level Level) confSection {
	name := "defender"
	switch {
	case ins.name != "":
		name = ins.name
	case r.cfg.Name != "":
		name = r.cfg.Name
	}

	s := confSection{kind: "input"}
	s.set("name", name)

	if ins.Tag != "" {
		s.set("tag", ins.Tag)
	}

	s.set("log_level", level.String())
	s.set("threaded", map[bool]string{true: "on", false: "off"}[ins.Threaded])

	if ins.RingCapacity > 0 {
		s.set("thread.ring_buffer.capacity", strconv.Itoa(ins.RingCapacity))
	}

	if ins.MemBufLimit > 0 {
		s.set("mem_buf_limit", strconv.Itoa(ins.MemBufLimit)) // counts with memory storage only
	} else {
		s.set("storage.type", "filesystem")
	}

	s.keys = append(s.keys, ins.Props...)

	return s
}

// yaml writes sections as a YAML configuration.
func yaml(sections []confSection) string {
	var b strings.Builder

	before := ""

	for _, s := range sections {
		indent := "  "

		switch {
		case s.kind == "service":
			b.WriteString("service:\n")
		case s.kind == "input" && before == "service":
			b.WriteString("pipeline:\n  inputs:\n")
		case s.kind != before:
			b.WriteString("  " + s.kind + "s:\n")
		}

		for i, p := range s.keys {
			if s.kind != "service" {
				if indent = "      "; i == 0 {
					indent = "    - "
				}
			}

			b.WriteString(indent + quote(p.Key) + ": " + quote(p.Value) + "\n")
		}

		if s.kind == "service" {
			b.WriteString("plugins:\n  - " + quote(s.plugin) + "\n")
		}

		before = s.kind
	}

	return b.String()
}

// classic writes sections as a classic configuration, which has no quotes: a value ends
// with its line.
func classic(sections []confSection) string {
	var b strings.Builder
	for _, s := range sections {
		b.WriteString("[" + strings.ToUpper(s.kind) + "]\n")

		for _, p := range s.keys {
			b.WriteString("    " + p.Key + " " + p.Value + "\n")
		}
	}

	return b.String()
}

// quote writes a YAML scalar: a JSON string is one in double quotes.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		return `""` // not possible: a string always has a JSON form
	}

	return string(text)
}
