package config

import (
	"slices"
	"strings"
)

// coreKeys are the keys of a section of this input that Fluent Bit itself uses
// (src/flb_input.c, since 4.1). The plugin never sees them.
var coreKeys = []string{
	"name",
	"tag",
	"alias",
	"log_level",
	"log_suppress_interval",
	"routable",
	"mem_buf_limit",
	"threaded",
	"thread.ring_buffer.capacity",
	"thread.ring_buffer.window",
	"storage.type",
	"storage.pause_on_chunks_overlimit",
	"rate_window",
	"rate_gate",
	"routes",
	"processors",
	"telemetry",
	"active",
	"condition",
}

// misplaced are keys of Fluent Bit or of other inputs that do not belong here, with the
// remedy.
var misplaced = map[string]string{
	"tls":              "remove it: Fluent Bit refuses to start an input like this with tls",
	"tls.ca_file":      "use ca_file",
	"host":             "use api_url",
	"listen":           "use metrics_listen",
	"port":             "use metrics_listen",
	"secret":           "use client_secret_file",
	"client_secret_id": "use client_secret_file with the secret's value",
	"interval_sec":     "use poll_interval",
	"interval":         "use poll_interval",
	"timeout":          "use http_timeout",
	"token":            "use refresh_token_file",
	"certificate":      "use client_certificate_file",
	"cert_file":        "use client_certificate_file",
	"scope":            "use resource",
	"workspace":        "use tenant_id",
	"tenant":           "use tenant_id",
	"tenants":          "use tenants_file",
	"http_proxy":       "use proxy",
	"https_proxy":      "use proxy",
	"base_url":         "use api_url",
	"url":              "use api_url",
}

// UnknownKey checks a key of a section of this input. It returns nil if the plugin or
// Fluent Bit knows the key, and a fault with a suggestion if not. Fluent Bit itself
// ignores unknown keys silently. The caller adds file, line and tenant.
func UnknownKey(key string) *Fault {
	name := strings.ToLower(key)
	o, ok := Lookup(name)

	known := ok && o.Scope != FileOnly
	if known || slices.Contains(coreKeys, name) || strings.HasPrefix(name, "rate_gate.") {
		return nil
	}

	problem, remedy := unknown(name, false)

	return newFault(Place{Key: key}, problem, remedy)
}

// unknown returns the problem and the remedy for a key that does not exist. inFile says
// that it is in a tenants file, and not in a section.
func unknown(key string, inFile bool) (problem, remedy string) {
	key = strings.ToLower(key)
	if slices.Contains(coreKeys, key) {
		return "is a key of Fluent Bit", "move it to the input's section in Fluent Bit's configuration"
	}

	if m, ok := misplaced[key]; ok {
		return "unknown key", m
	}

	switch {
	case strings.HasPrefix(key, "tls."):
		return "unknown key", "remove it: it has no effect here; a certificate authority goes to ca_file"
	case strings.HasPrefix(key, "net."), strings.HasPrefix(key, "oauth2"):
		return "unknown key", "remove it: Fluent Bit cannot start an input like this with it"
	}

	var candidates []string

	for _, o := range options {
		if inFile && o.Scope != InputWide || !inFile && o.Scope != FileOnly {
			candidates = append(candidates, o.Name)
		}
	}

	if !inFile {
		candidates = append(candidates, coreKeys...)
	}

	if near := nearest(strings.ReplaceAll(key, "-", "_"), candidates); near != "" {
		return "unknown key", "did you mean " + near + "?"
	}

	return "unknown key", "remove it, or look up its name in the reference"
}
