package lint

import (
	_ "embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
)

//go:embed plugins.txt
var pluginTable string

// setting is a key of a plugin of Fluent Bit.
type setting struct {
	// name is in the plugin's own letters; kind as in Fluent Bit: str, int, bool, size,
	// time, double, slist_2 (a list of at least two words) … or str_prefix (any key
	// that begins so).
	name, kind string
	// many: the key may be repeated.
	many bool
}

// pluginInfo is a plugin of Fluent Bit.
type pluginInfo struct {
	kind, name string
	// open: Fluent Bit does not check its keys. tls: it knows TLS. server: it is an
	// HTTP server.
	open, tls, server bool
	settings          []setting
}

// plugins reads the table once.
var plugins = sync.OnceValue(func() map[string]*pluginInfo {
	all := map[string]*pluginInfo{}

	var last *pluginInfo

	for line := range strings.Lines(pluginTable) {
		words := strings.Fields(line)
		switch {
		case len(words) < 2 || words[0] == "#":
		case line[0] == '\t':
			kind, many := strings.CutSuffix(words[1], "*")
			last.settings = append(last.settings, setting{name: words[0], kind: kind, many: many})
		default:
			last = &pluginInfo{
				kind:   words[0],
				name:   words[1],
				open:   slices.Contains(words, "open"),
				tls:    slices.Contains(words, "tls"),
				server: slices.Contains(words, "http_server"),
			}
			all[last.kind+" "+strings.ToLower(last.name)] = last
		}
	}

	return all
})

// lookUp returns what is known of the plugin of a section, or nil.
func lookUp(sec fluentbit.Section) *pluginInfo {
	name := strings.ToLower(sec.Get("name"))
	if sec.Kind == fluentbit.Processor {
		if p := plugins()["processor "+name]; p != nil {
			return p
		}

		return plugins()["filter "+name] // filters are processors too
	}

	return plugins()[sec.Kind+" "+name]
}

// find returns the setting with a key, in any case.
func (p *pluginInfo) find(key string) (setting, bool) {
	for _, s := range p.settings {
		prefix := s.kind == "str_prefix" && len(key) > len(s.name) && strings.EqualFold(key[:len(s.name)], s.name)
		if prefix || strings.EqualFold(s.name, key) {
			return s, true
		}
	}

	return setting{}, false
}

// refuses ends a problem for which Fluent Bit does not start.
const refuses = ", and Fluent Bit refuses to start"

// plugin checks the keys of a section of a plugin that is not ours.
func (l *linter) plugin(sec fluentbit.Section) {
	if sec.Get("name") == "" {
		l.at(Error, sec, "Name", "is missing"+refuses, "write: Name and the name of the "+sec.Kind)
		return
	}

	info := lookUp(sec)
	if info == nil {
		l.unknownPlugin(sec)
	}

	seen := map[string]int{}

	for _, p := range sec.Props {
		key := strings.ToLower(p.Key)
		if p.Nested || key == "name" {
			continue
		}

		l.coreValue(sec, p)

		if info != nil {
			l.property(sec, info, p)
		}

		l.repeated(sec, info, p, seen[key])
		seen[key] = p.Line
	}

	for _, p := range sec.Processors {
		l.plugin(p)
	}

	if sec.Kind == fluentbit.Processor && strings.EqualFold(sec.Get("name"), "content_modifier") {
		l.contentModifier(sec)
	}
}

// contentModifier checks the keys that each action of this processor needs
// (cm_config.c).
func (l *linter) contentModifier(sec fluentbit.Section) {
	needs := map[string][]string{
		"insert":  {"key", "value"},
		"upsert":  {"key", "value"},
		"rename":  {"key", "value"},
		"delete":  {"key"},
		"hash":    {"key"},
		"extract": {"key", "pattern"},
		"convert": {"key", "converted_type"},
	}

	action := strings.ToLower(sec.Get("action"))

	keys, ok := needs[action]
	if !ok {
		l.at(Error, sec, "action", "is none of content_modifier"+refuses, "use "+
			strings.Join(slices.Sorted(maps.Keys(needs)), ", "))

		return
	}

	for _, key := range keys {
		if sec.Get(key) == "" {
			l.at(Error, sec, key, "is missing, which the action "+action+" needs"+refuses, "write it")
		}
	}
}

// unknownPlugin: the name is none of Fluent Bit's, unless a plugin is loaded that has it.
func (l *linter) unknownPlugin(sec fluentbit.Section) {
	var names []string

	for _, p := range plugins() {
		if p.kind == sec.Kind || sec.Kind == fluentbit.Processor && p.kind == "filter" {
			names = append(names, p.name)
		}
	}

	slices.Sort(names)

	name := plain.Quoted(sec.Get("name"))

	foreign := slices.ContainsFunc(l.objectNames(), func(name string) bool {
		return !strings.Contains(name,
			"defender")
	})
	if near := config.Nearest(sec.Get("name"), names); near != "" && !foreign {
		l.at(Error, sec, "Name", name+" is no "+sec.Kind+" of Fluent Bit"+refuses, "did you mean "+near+"?")
		return
	}

	l.at(Note, sec, "Name", name+" is no "+sec.Kind+" of Fluent Bit itself: its keys are not checked",
		"load it with Plugins_File or -e")
}

// objectNames returns the paths of the external plugins that are loaded.
func (l *linter) objectNames() []string { return slices.Collect(maps.Keys(l.objects)) }

// serverKeys are those of every plugin that is an HTTP server.
var serverKeys = []string{"http2", "buffer_max_size", "buffer_chunk_size", "max_connections", "workers"}

// property checks a key that Fluent Bit compares with the list of the plugin.
func (l *linter) property(sec fluentbit.Section, info *pluginInfo, p fluentbit.Prop) {
	key := strings.ToLower(p.Key)
	switch {
	case strings.HasPrefix(key, "net."):
		l.oneOf(sec, info, p, netKeys)
		return
	case strings.HasPrefix(key, "oauth2"):
		l.oneOf(sec, info, p, oauthKeys)
		return
	case sec.Core(key) && (p.Value != "" || fluentbit.EmptyCounts(key)),
		info.open,
		key == "active",
		key == "condition",
		strings.HasPrefix(key, "_debug."):
		return
	case info.server && (strings.HasPrefix(key, "http_server.") || slices.Contains(serverKeys, key)):
		return
	case sec.Kind == fluentbit.Processor && slices.Contains(fluentbit.CoreKeys("filter"), key):
		return
	}

	s, ok := info.find(key)
	if !ok {
		var names []string
		for _, s := range info.settings {
			names = append(names, s.name)
		}

		l.unknownKey(sec, info, p, append(names, fluentbit.CoreKeys(sec.Kind)...))

		return
	}

	l.value(sec, s, p)
}

// unknownKey reports a key that the plugin does not have.
func (l *linter) unknownKey(sec fluentbit.Section, info *pluginInfo, p fluentbit.Prop, names []string) {
	remedy := "remove it"
	if near := config.Nearest(p.Key, names); near != "" {
		remedy = "did you mean " + near + "?"
	}

	problem := "is no key of the " + info.kind + " " + info.name
	if sec.Core(p.Key) {
		problem, remedy = "has no value", "write one, or remove the key"
	}

	l.line(Error, sec, p, problem+refuses, remedy)
}

func (l *linter) oneOf(sec fluentbit.Section, info *pluginInfo, p fluentbit.Prop, names []string) {
	if !slices.Contains(names, strings.ToLower(p.Key)) {
		l.unknownKey(sec, info, p, names)
	}
}

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

// repeated: of a key of Fluent Bit's own the last counts; a plugin's own key must not
// stand twice.
func (l *linter) repeated(sec fluentbit.Section, info *pluginInfo, p fluentbit.Prop, first int) {
	if first == 0 || strings.EqualFold(p.Key, "match_regex") {
		return
	}

	if sec.Core(p.Key) {
		l.line(
			Note,
			sec,
			p,
			fmt.Sprintf("stands twice; Fluent Bit takes the last, in line %d, not the one in line %d",
				p.Line, first),
			"remove one",
		)

		return
	}

	if info == nil || info.open {
		return
	}

	if s, ok := info.find(p.Key); ok && !s.many {
		l.line(Error, sec, p, fmt.Sprintf("stands twice, in line %d too%s", first, refuses), "remove one")
	}
}

// leadingNumber is what atoi reads of a text; with nothing to read it returns 0.
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
	// ignored: Fluent Bit ignores another value. Otherwise it refuses to start.
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

// coreTLS: an input or output without TLS refuses it, and files must be there.
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
