package fluentbit

import (
	"slices"
	"strings"
)

// Kinds of sections that are not named like a section of Fluent Bit.
const (
	// Other is a section that Fluent Bit ignores.
	Other = "other"
	// Processor is an entry in the processors of an input or output.
	Processor = "processor"
)

// Section is one section: [INPUT], or an entry of pipeline.inputs.
type Section struct {
	// Kind is "service", "input", "filter", "output", "parser", "plugins", "custom" …
	// or Other. Name is the name as written.
	Kind, Name string
	// File and Line are where it begins.
	File string
	Line int
	// Props are in order; a key may appear more than once.
	Props []Prop
	// Processors are those for logs, of an input or output.
	Processors []Section
	// Routes are the conditional routes of an input.
	Routes []Route
}

// Route is a conditional route of an input.
type Route struct {
	Name string
	// Outputs are the aliases that it leads to.
	Outputs []string
}

// Prop is one key of a section.
type Prop struct {
	// Key is the key as written (in YAML with camelCase turned into snake_case, as
	// Fluent Bit does). Value is what Fluent Bit uses: trimmed, with variables
	// replaced.
	Key, Value string
	// Written is the value as written, where Fluent Bit changes it.
	Written string
	File    string
	Line    int
	// Unset names the variables in the value that are not set.
	Unset []string
	// Nested says that the value is a structure, such as processors, and not kept.
	Nested bool
}

// Keys that Fluent Bit keeps for itself (flb_input.c, flb_output.c, flb_filter.c),
// since 4.1.
var (
	tlsKeys = []string{
		"tls", "tls.verify", "tls.verify_hostname", "tls.debug", "tls.vhost", "tls.ca_path",
		"tls.ca_file", "tls.crt_file", "tls.key_file", "tls.key_passwd", "tls.min_version",
		"tls.max_version", "tls.ciphers",
	}
	inputKeys = slices.Concat(tlsKeys, []string{
		"tag", "log_level", "log_suppress_interval", "routable", "alias", "mem_buf_limit", "listen",
		"host", "port", "ipv6", "tls.verify_client_cert", "storage.type", "threaded",
		"thread.ring_buffer.capacity", "thread.ring_buffer.window", "rate_window", "rate_gate",
		"rate_gate.max_bytes", "rate_gate.max_records", "rate_gate.backpressure",
		"rate_gate.resume_ratio", "storage.pause_on_chunks_overlimit",
	})
	outputKeys = slices.Concat(tlsKeys, []string{
		"match", "match_regex", "alias", "log_level", "log_suppress_interval", "host", "port",
		"ipv6", "retry_limit", "storage.total_limit_size", "workers", "tls.proxy.verify",
		"tls.proxy.verify_hostname", "tls.proxy.ca_path", "tls.proxy.ca_file",
	})
	filterKeys = []string{"match", "match_regex", "alias", "log_level", "log_suppress_interval"}
)

// emptyCounts are the core keys of which an empty value replaces an earlier one. Fluent
// Bit ignores an empty value of any other core key.
var emptyCounts = []string{
	"match",
	"host",
	"port",
	"listen",
	"retry_limit",
	"tls.vhost",
	"tls.ca_path",
	"tls.ca_file",
	"tls.crt_file",
	"tls.key_file",
	"tls.key_passwd",
	"tls.min_version",
	"tls.max_version",
	"tls.ciphers",
}

// EmptyCounts reports whether Fluent Bit uses an empty value of this core key. It
// passes other keys without a value on to the plugin, which mostly does not know them.
func EmptyCounts(key string) bool { return slices.Contains(emptyCounts, strings.ToLower(key)) }

// CoreKeys returns the keys of this kind of section that Fluent Bit keeps for itself.
func CoreKeys(kind string) []string {
	switch kind {
	case "input":
		return inputKeys
	case "output":
		return outputKeys
	case "filter":
		return filterKeys
	}

	return nil
}

// Core reports whether Fluent Bit keeps a key of this section for itself. Then the
// plugin does not see it, and the last of several counts.
func (s Section) Core(key string) bool {
	return slices.Contains(CoreKeys(s.Kind), strings.ToLower(key))
}

// Get returns the value of a key, in any case, or "". If the key appears more than
// once, it is the value that counts for Fluent Bit.
func (s Section) Get(key string) string {
	p, _ := s.Prop(key)
	return p.Value
}

// Prop returns the property with a key, in any case. Of several it returns the last for
// a key of Fluent Bit itself, and the first for a key of a plugin.
func (s Section) Prop(key string) (Prop, bool) {
	last := s.Kind == "service" || s.Core(key)
	replaces := s.Kind == "service" || slices.Contains(emptyCounts, strings.ToLower(key))

	var found Prop

	ok := false

	for _, p := range s.Props {
		if !strings.EqualFold(p.Key, key) {
			continue
		}

		if ok && p.Value == "" && !replaces {
			continue
		}

		found, ok = p, true

		if !last {
			break
		}
	}

	return found, ok
}

// Where returns the file and line of a key, or of the section when it has no such key.
func (s Section) Where(key string) (file string, line int) {
	if p, ok := s.Prop(key); ok {
		return p.File, p.Line
	}

	return s.File, s.Line
}

// Unset names the variables in the value of a key that are not set.
func (s Section) Unset(key string) []string {
	p, _ := s.Prop(key)
	return p.Unset
}

// Of returns the sections of a kind.
func (f *File) Of(kind string) []Section {
	var found []Section

	for _, s := range f.Sections {
		if s.Kind == kind {
			found = append(found, s)
		}
	}

	return found
}

// Service returns all service sections as one, as Fluent Bit does.
func (f *File) Service() Section {
	all := Section{Kind: "service", Name: "SERVICE", File: f.Path}
	for i, s := range f.Of("service") {
		if i == 0 {
			all.File, all.Line = s.File, s.Line
		}

		all.Props = append(all.Props, s.Props...)
	}

	return all
}
