package lint

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
)

// serviceKeys are the keys of [SERVICE] with their types (service_configs of
// flb_config.c). Fluent Bit ignores all others silently.
var serviceKeys = map[string]string{
	"flush":                               "double",
	"flush.adaptive":                      "bool",
	"flush.adaptive.min_interval":         "double",
	"flush.adaptive.max_interval":         "double",
	"flush.adaptive.low_pressure":         "double",
	"flush.adaptive.medium_pressure":      "double",
	"flush.adaptive.high_pressure":        "double",
	"flush.adaptive.up_steps":             "int",
	"flush.adaptive.down_steps":           "int",
	"grace":                               "int",
	"daemon":                              "bool",
	"log_file":                            "str",
	"log_level":                           "str",
	"parsers_file":                        "file",
	"plugins_file":                        "file",
	"streams_file":                        "file",
	"sp.convert_from_str_to_num":          "bool",
	"json.convert_nan_to_null":            "bool",
	"json.escape_unicode":                 "bool",
	"security.fips_mode":                  "bool",
	"http_server":                         "bool",
	"http_listen":                         "str",
	"http_port":                           "str",
	"health_check":                        "bool",
	"hc_errors_count":                     "int",
	"hc_retry_failure_count":              "int",
	"hc_period":                           "int",
	"enable_chunk_trace":                  "bool",
	"hot_reload":                          "bool",
	"hot_reload.ensure_thread_safety":     "bool",
	"hot_reload.timeout":                  "int",
	"dns.mode":                            "str",
	"dns.resolver":                        "str",
	"dns.prefer_ipv4":                     "bool",
	"dns.prefer_ipv6":                     "bool",
	"storage.path":                        "str",
	"storage.sync":                        "str",
	"storage.metrics":                     "bool",
	"storage.checksum":                    "bool",
	"storage.backlog.mem_limit":           "size",
	"storage.backlog.flush_on_shutdown":   "bool",
	"storage.max_chunks_up":               "int",
	"storage.delete_irrecoverable_chunks": "bool",
	"storage.trim_files":                  "bool",
	"storage.type":                        "str",
	"storage.inherit":                     "bool",
	"storage.keep.rejected":               "bool",
	"storage.rejected.path":               "str",
	"storage.rejected.limit":              "size",
	"coro_stack_size":                     "int",
	"multiline_buffer_limit":              "str",
	"scheduler.cap":                       "int",
	"scheduler.base":                      "int",
	"telemetry":                           "map",
}

// serviceSection checks the keys of the service section, of all files together.
func (l *linter) serviceSection() {
	sec := l.file.Service()

	names := []string{}
	for name := range serviceKeys {
		names = append(names, name)
	}

	slices.Sort(names)
	l.unset(sec)
	l.remarks(sec)

	for _, p := range sec.Props {
		key := strings.ToLower(p.Key)

		kind, known := serviceKeys[key]
		switch {
		case !known:
			remedy := "remove it"
			if near := config.Nearest(p.Key, names); near != "" {
				remedy = "did you mean " + near + "?"
			}

			l.line(Warning, sec, p, "is not a key of the service section, and Fluent Bit ignores it", remedy)
		case kind == "map" && !p.Nested:
			l.line(Error, sec, p, "is not a mapping"+refuses, "remove it")
		case p.Nested || p.Value == "" && len(p.Unset) == 0:
		case key == "storage.delete_irrecoverable_chunks" && on(p.Value):
			l.line(Warning, sec, p, "is on: Fluent Bit deletes chunks of alerts that it cannot read, after a full "+
				"disk for instance", "remove it")
		default:
			l.serviceValue(sec, p, key, kind)
		}
	}
}

// serviceRule says which values Fluent Bit takes for a key of the service section, or
// for all keys of a kind.
type serviceRule struct {
	key, kind string
	valid     func(v string, sec fluentbit.Section) bool
	problem   string
	remedy    string
	// refused says that Fluent Bit refuses to start with any other value; otherwise it
	// uses something else in its place.
	refused bool
}

// always makes a check of a value of one that does not depend on the section.
func always(valid func(v string) bool) func(string, fluentbit.Section) bool {
	return func(v string, _ fluentbit.Section) bool { return valid(v) }
}

// serviceRules are in order: the first that a value breaks is reported.
var serviceRules = []serviceRule{
	{
		key:     "log_level",
		valid:   always(isLogLevel),
		problem: "is not a log level",
		remedy:  useLogLevel,
		refused: true,
	},
	{
		key:     "flush",
		valid:   always(func(v string) bool { return leadingFloat(v) > 0 }),
		problem: "is not a number above 0",
		remedy:  "write: Flush 1",
		refused: true,
	},
	{
		key: "http_port",
		valid: func(v string, sec fluentbit.Section) bool {
			return !on(sec.Get("http_server")) || isPort(v)
		},
		problem: "is not a port",
		remedy:  "write: HTTP_Port 2020",
		refused: true,
	},
	{
		key:     "coro_stack_size",
		valid:   always(func(v string) bool { return atoi(v) >= os.Getpagesize() }),
		problem: "is too small",
		remedy:  "remove it",
		refused: true,
	},
	{
		key:     "storage.sync",
		valid:   always(oneOfWords("normal", "full")),
		problem: "is neither normal nor full",
		remedy:  "write: storage.sync normal",
		refused: true,
	},
	{
		kind:    "bool",
		valid:   always(isSwitch),
		problem: "is neither on nor off",
		remedy:  "use on or off",
	},
	{
		kind:    "int",
		valid:   always(leadingNumber.MatchString),
		problem: "is not a number: Fluent Bit takes 0 for it",
		remedy:  "write a number",
	},
	{
		kind: "double",
		valid: always(func(v string) bool {
			_, err := strconv.ParseFloat(v, 64)
			return err == nil || leadingFloat(v) != 0
		}),
		problem: "is not a number: Fluent Bit takes 0 for it",
		remedy:  "write a number",
	},
	{
		kind:    "size",
		valid:   always(isSize),
		problem: "is not a size",
		remedy:  "write a number of bytes, or one with K, M or G",
	},
}

// serviceValue checks the value of a key.
func (l *linter) serviceValue(sec fluentbit.Section, p fluentbit.Prop, key, kind string) {
	for _, rule := range serviceRules {
		applies := rule.key == key || rule.key == "" && rule.kind == kind
		if !applies || rule.valid(p.Value, sec) {
			continue
		}

		level, problem := Warning, plain.Quoted(p.Value)+" "+rule.problem
		if rule.refused {
			level, problem = Error, problem+refuses
		}

		l.line(level, sec, p, problem, rule.remedy)

		return
	}

	if kind == "file" {
		l.serviceFile(sec, p, key)
	}
}

// leadingFloat reads a number as atof does.
func leadingFloat(v string) float64 {
	for n := len(v); n > 0; n-- {
		if f, err := strconv.ParseFloat(strings.TrimSpace(v[:n]), 64); err == nil {
			return f
		}
	}

	return 0
}

// remarks reports a comment after a value: in the classic format it is a part of the
// value.
func (l *linter) remarks(sec fluentbit.Section) {
	if l.file.Format != fluentbit.Classic {
		return
	}

	for _, p := range sec.Props {
		if strings.Contains(p.Value, " # ") && (sec.Kind == "service" || sec.Core(p.Key)) {
			l.line(Warning, sec, p, "has a comment after the value, which Fluent Bit takes for a part of it",
				"put the comment on a line of its own")
		}
	}
}

// strangeSections checks sections that Fluent Bit ignores or refuses.
func (l *linter) strangeSections() {
	names := []string{"SERVICE", "INPUT", "FILTER", "OUTPUT", "PARSER", "MULTILINE_PARSER", "PLUGINS", "CUSTOM",
		"STREAM_PROCESSOR",
		"UPSTREAM_SERVERS"}
	if l.file.Format == fluentbit.YAML {
		names = []string{
			"service",
			"pipeline",
			"parsers",
			"multiline_parsers",
			"plugins",
			"customs",
			"includes",
			"env",
			"stream_processor",
			"upstream_servers",
			"extensions",
		}
	}

	for _, sec := range l.file.Sections {
		name := strings.ToLower(sec.Name)
		classic := l.file.Format == fluentbit.Classic
		at := config.Place{File: sec.File, Line: sec.Line}

		switch {
		case classic && (name == "parser" || name == "multiline_parser"):
			l.add(Error, at, "["+sec.Name+"] does not belong in the main file"+refuses,
				"put it in a file of its own, and name that with Parsers_File in [SERVICE]")
		case classic && sec.Kind == "plugins":
			l.add(Error, at, "[PLUGINS] does not belong in the main file"+refuses,
				"put it in a file of its own, and name that with Plugins_File in [SERVICE]")
		case sec.Kind == "plugins":
			for _, so := range sec.Props {
				l.sharedObject(sec, so)
			}
		case sec.Kind == fluentbit.Other && name != "env" && name != "extensions":
			level, remedy := Warning, "remove it"
			if near := config.Nearest(strings.TrimSpace(sec.Name), names); near != "" {
				level, remedy = Error, "did you mean "+near+"?"
			}

			l.add(level, at, "the section "+plain.Quoted(sec.Name)+" is unknown, and Fluent Bit ignores it", remedy)
		}
	}
}
