package lint

import (
	_ "embed"
	"maps"
	"slices"
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
	// many says that the key may be repeated.
	many bool
}

// pluginInfo is a plugin of Fluent Bit.
type pluginInfo struct {
	kind, name string
	// open says that Fluent Bit does not check the keys, tls that the plugin can use TLS,
	// server that it is an HTTP server.
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
		l.at(Error, sec, "action", "is not one of content_modifier"+refuses, "use "+
			strings.Join(slices.Sorted(maps.Keys(needs)), ", "))

		return
	}

	for _, key := range keys {
		if sec.Get(key) == "" {
			l.at(Error, sec, key, "is missing, which the action "+action+" needs"+refuses, "write it")
		}
	}
}

// unknownPlugin reports a plugin that Fluent Bit does not have. It is only a note where
// an external plugin is loaded, which may have that name.
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
		return !strings.Contains(name, "defender")
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

	problem := "is not a key of the " + info.kind + " " + info.name
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
