package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
)

var (
	netKeys = []string{"net.dns.mode", "net.dns.resolver", "net.dns.prefer_ipv4", "net.dns.prefer_ipv6",
		"net.keepalive",
		"net.keepalive_idle_timeout", "net.tcp_keepalive", "net.tcp_keepalive_time", "net.tcp_keepalive_interval",
		"net.tcp_keepalive_probes", "net.io_timeout", "net.connect_timeout", "net.connect_timeout_log_error",
		"net.source_address",
		"net.keepalive_max_recycle", "net.max_worker_connections", "net.proxy_env_ignore", "net.backlog",
		"net.share_port",
		"net.accept_timeout", "net.accept_timeout_log_error"}
	oauthKeys = []string{"oauth2.enable", "oauth2.token_url", "oauth2.client_id", "oauth2.client_secret",
		"oauth2.user_agent",
		"oauth2.scope", "oauth2.audience", "oauth2.resource", "oauth2.auth_method", "oauth2.jwt_key_file",
		"oauth2.jwt_cert_file",
		"oauth2.jwt_aud", "oauth2.jwt_header", "oauth2.jwt_ttl_seconds", "oauth2.refresh_skew_seconds",
		"oauth2.timeout",
		"oauth2.connect_timeout", "oauth2.validate", "oauth2.issuer", "oauth2.jwks_url", "oauth2.allowed_audience",
		"oauth2.allowed_clients", "oauth2.jwks_refresh_interval"}
)

// value checks a value that Fluent Bit refuses for its type.
func (l *linter) value(sec fluentbit.Section, s setting, p fluentbit.Prop) {
	if p.Value == "" {
		return
	}

	switch {
	case s.kind == "bool" && !off(p.Value) && !on(p.Value):
		l.line(Error, sec, p, plain.Quoted(p.Value)+" is neither on nor off"+refuses, "use on or off")
	case s.kind == "int" && !leadingNumber.MatchString(p.Value):
		l.line(Warning, sec, p, plain.Quoted(p.Value)+" is not a number: Fluent Bit takes 0 for it", "write a number")
	case s.kind == "size" && !isSize(p.Value):
		l.line(Warning, sec, p, plain.Quoted(p.Value)+" is not a size",
			"write a number of bytes, or one with K, M or G")
	}

	kind, count, ok := strings.Cut(s.kind, "_")
	least, err := strconv.Atoi(count)

	words := len(strings.Fields(p.Value))
	if kind == "clist" {
		words = strings.Count(p.Value, ",") + 1
	}

	if ok && err == nil && (kind == "slist" || kind == "clist") && words < least {
		l.line(Error, sec, p, fmt.Sprintf("has %d words, but needs %d%s", words, least, refuses),
			"write them all, separated by blanks")
	}
}

// repeated reports a key that was set before, in line first. Of Fluent Bit's own keys
// the last one counts; a plugin's key must not be set twice.
func (l *linter) repeated(sec fluentbit.Section, info *pluginInfo, p fluentbit.Prop, first int) {
	if first == 0 || strings.EqualFold(p.Key, "match_regex") {
		return
	}

	if sec.Core(p.Key) {
		l.line(
			Note,
			sec,
			p,
			fmt.Sprintf("is set twice; Fluent Bit uses the last, in line %d, not the one in line %d",
				p.Line, first),
			"remove one",
		)

		return
	}

	if info == nil || info.open {
		return
	}

	if s, ok := info.find(p.Key); ok && !s.many {
		l.line(Error, sec, p, fmt.Sprintf("is set twice, in line %d too%s", first, refuses), "remove one")
	}
}

// leadingNumber matches a text of which C's atoi reads a number; of any other text atoi
// returns 0.
var leadingNumber = regexp.MustCompile(`^\s*[-+]?[0-9]`)

// sizes are the texts that flb_utils_size_to_bytes reads.
var sizes = regexp.MustCompile(`(?i)^(false|[^0-9]?|.*[0-9]|.*[0-9][kmg]b?)$`)

func isSize(v string) bool { return v != "" && sizes.MatchString(v) }

// coreRule says which values Fluent Bit takes for a key of its own.
type coreRule struct {
	keys    []string
	valid   func(v string) bool
	problem string
	remedy  string
	// ignored says that Fluent Bit ignores any other value; otherwise it refuses to
	// start.
	ignored bool
}

var coreRules = []coreRule{
	{
		keys:    []string{"log_level"},
		valid:   isLogLevel,
		problem: "is not a log level",
		remedy:  useLogLevel,
	},
	{
		keys:    []string{"mem_buf_limit", "rate_gate.max_bytes"},
		valid:   isSize,
		problem: "is not a size",
		remedy:  "write a number of bytes, or one with K, M or G",
	},
	{
		keys:    []string{"storage.total_limit_size"},
		valid:   func(v string) bool { return off(v) || isSize(v) },
		problem: "is not a size",
		remedy:  "remove the key",
	},
	{
		keys:    []string{"storage.type"},
		valid:   oneOfWords("filesystem", "memory", "memrb"),
		problem: "is not a storage type",
		remedy:  "write: storage.type filesystem",
	},
	{
		keys: []string{"threaded", "storage.pause_on_chunks_overlimit", "rate_gate", "rate_gate.backpressure",
			"tls.verify_client_cert"},
		valid:   isSwitch,
		problem: "is neither on nor off",
		remedy:  "use on or off",
	},
	{
		keys:    []string{"routable", "ipv6", "tls", "tls.verify", "tls.verify_hostname"},
		valid:   isSwitch,
		problem: "is neither on nor off, and Fluent Bit ignores it",
		remedy:  "use on or off",
		ignored: true,
	},
	{
		keys:    []string{"thread.ring_buffer.capacity", "rate_window"},
		valid:   func(v string) bool { return atoi(v) > 0 },
		problem: "is not in the range",
		remedy:  "remove the key",
	},
	{
		keys:    []string{"thread.ring_buffer.window"},
		valid:   func(v string) bool { return atoi(v) > 0 && atoi(v) <= 100 },
		problem: "is not in the range",
		remedy:  "remove the key",
	},
	{
		keys: []string{"rate_gate.max_records"},
		valid: func(v string) bool {
			_, err := strconv.ParseUint(v, 10, 64)
			return err == nil
		},
		problem: "is not a number",
		remedy:  "write a number",
	},
	{
		keys: []string{"rate_gate.resume_ratio"},
		valid: func(v string) bool {
			r, err := strconv.ParseFloat(v, 64)
			return err == nil && r > 0 && r < 1
		},
		problem: "is not between 0 and 1",
		remedy:  "remove the key",
	},
}

// isSwitch reports whether Fluent Bit reads a text as on or off.
func isSwitch(v string) bool { return on(v) || off(v) }

// oneOfWords returns a check for one of several words, in any case.
func oneOfWords(words ...string) func(v string) bool {
	return func(v string) bool { return slices.Contains(words, strings.ToLower(v)) }
}

// coreValue checks the value of a key that Fluent Bit keeps for itself.
func (l *linter) coreValue(sec fluentbit.Section, p fluentbit.Prop) {
	key, v := strings.ToLower(p.Key), p.Value
	if v == "" || !sec.Core(key) && sec.Kind != fluentbit.Processor {
		return
	}

	for _, rule := range coreRules {
		switch {
		case !slices.Contains(rule.keys, key) || rule.valid(v):
		case rule.ignored:
			l.line(Warning, sec, p, plain.Quoted(v)+" "+rule.problem, rule.remedy)
		default:
			l.line(Error, sec, p, plain.Quoted(v)+" "+rule.problem+refuses, rule.remedy)
		}
	}

	l.coreTLS(sec, p, key)
}

// coreTLS checks the TLS keys: a plugin without TLS refuses `tls on`, and the files
// must exist.
func (l *linter) coreTLS(sec fluentbit.Section, p fluentbit.Prop, key string) {
	info := lookUp(sec)
	ours := sec.Kind == "input" && strings.EqualFold(sec.Get("name"), "defender")

	switch key {
	case "tls":
		if on(p.Value) && (ours || info != nil && !info.tls) {
			l.line(Error, sec, p, "is on, but this "+sec.Kind+" has no TLS"+refuses, "remove the key")
		}
	case "tls.ca_file", "tls.crt_file", "tls.key_file":
		if on(sec.Get("tls")) && !ours {
			l.exists(sec, p)
		}
	}
}

// isLogLevel reports whether a text is a log level of Fluent Bit.
var isLogLevel = oneOfWords("off", "error", "warn", "warning", "info", "debug", "trace")

// useLogLevel is the remedy for a text that is not.
const useLogLevel = "use off, error, warn, info, debug or trace"

// atoi reads a number as C does: what follows it does not count, and 0 is what it
// cannot read.
func atoi(v string) int {
	v = strings.TrimSpace(v)

	end := 0
	for end < len(v) && (v[end] >= '0' && v[end] <= '9' || end == 0 && (v[0] == '-' || v[0] == '+')) {
		end++
	}

	n, err := strconv.Atoi(v[:end])
	if err != nil {
		return 0
	}

	return n
}
