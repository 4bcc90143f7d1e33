package flbhost

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// configure writes the YAML configuration of a real Fluent Bit with these sections.
func (r *Real) configure(instances []Instance) error {
	text, err := r.yaml(instances)
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.configFile(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("flbhost: %w", err)
	}
	return nil
}

func (r *Real) yaml(instances []Instance) (string, error) {
	level := LevelInfo
	if r.cfg.LogLevel != "" {
		l, ok := levelNames[strings.ToLower(r.cfg.LogLevel)]
		if !ok {
			return "", fmt.Errorf("flbhost: log_level %q: %w", r.cfg.LogLevel, ErrUnknownProperty)
		}
		level = l
	}
	plugin, err := filepath.Abs(r.cfg.Plugin)
	if err != nil {
		return "", fmt.Errorf("flbhost: %w", err)
	}
	storage, err := filepath.Abs(filepath.Join(r.cfg.StorageDir, "storage"))
	if err != nil {
		return "", fmt.Errorf("flbhost: %w", err)
	}
	grace := r.cfg.GraceSeconds
	if grace == 0 {
		grace = 5
	}
	var b strings.Builder
	y := func(indent int, key, value string) {
		dash := ""
		if rest, ok := strings.CutPrefix(key, "- "); ok {
			dash, key = "- ", rest
		}
		fmt.Fprintf(&b, "%s%s%s: %s\n", strings.Repeat("  ", indent), dash, quote(key), quote(value))
	}
	b.WriteString("service:\n")
	y(1, "flush", "1")
	y(1, "grace", strconv.Itoa(grace))
	// Start and reload are seen by lines of level info; the level asked for is set on the inputs.
	y(1, "log_level", max(level, LevelInfo).String())
	y(1, "storage.path", storage)
	y(1, "scheduler.base", "1")
	y(1, "scheduler.cap", "2")
	if r.cfg.HotReload {
		y(1, "hot_reload", "on")
		y(1, "hot_reload.ensure_thread_safety", "off")
	}
	fmt.Fprintf(&b, "plugins:\n  - %s\npipeline:\n  inputs:\n", quote(plugin))
	for _, ins := range instances {
		r.input(y, ins, level)
	}
	b.WriteString("  outputs:\n")
	y(2, "- name", "http")
	y(3, "match", "*")
	y(3, "host", "127.0.0.1")
	y(3, "port", strconv.Itoa(r.receiver.port))
	y(3, "format", "msgpack")
	y(3, "header_tag", tagHeader)
	y(3, "retry_limit", "no_limits")
	return b.String(), nil
}

func (r *Real) input(y func(int, string, string), ins Instance, level Level) {
	name := "defender"
	switch {
	case ins.name != "":
		name = ins.name
	case r.cfg.Name != "":
		name = r.cfg.Name
	}
	y(2, "- name", name)
	if ins.Tag != "" {
		y(3, "tag", ins.Tag)
	}
	y(3, "log_level", level.String())
	y(3, "threaded", map[bool]string{true: "on", false: "off"}[ins.Threaded])
	if ins.RingCapacity > 0 {
		y(3, "thread.ring_buffer.capacity", strconv.Itoa(ins.RingCapacity))
	}
	if ins.MemBufLimit > 0 {
		y(3, "mem_buf_limit", strconv.Itoa(ins.MemBufLimit)) // counts with memory storage only
	} else {
		y(3, "storage.type", "filesystem")
	}
	for _, p := range ins.Props {
		y(3, p.Key, p.Value)
	}
}

// quote writes a YAML scalar: a JSON string is one in double quotes.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		return `""` // not possible: a string always has a JSON form
	}
	return string(text)
}
