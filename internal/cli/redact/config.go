package redact

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/config/yamldoc"
)

// Config is a configuration without secrets: of each key it has the value only
// where the value is known to be none.
type Config struct {
	File     string    `json:"file"`
	Error    string    `json:"error,omitempty"`
	Sections []Section `json:"sections"`
}

// Section is a section, or a part of a tenants file.
type Section struct {
	Kind string `json:"kind"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Keys []Key  `json:"keys"`
}

// Key is a key with its value, or with what stands for it.
type Key struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// withheld stands for a value that is not shown.
const withheld = "(not shown)"

// shownKeys are the keys of the input without a kind of their own of which the value is
// shown.
var shownKeys = []string{
	"tenant_id", "tenant_name", "client_id", "home_tenant_id", "state_id", "tag", "metrics_listen", "metrics_hosts",
	"name", "threaded", "storage.type", "mem_buf_limit", "log_level", "alias", "node_id",
}

// shownElsewhere are the keys of other sections of which the value is shown.
var shownElsewhere = []string{
	"name", "match", "match_regex", "tag", "alias", "retry_limit", "threaded", "mem_buf_limit", "flush", "grace",
	"log_level", "daemon", "host", "port", "format", "tls", "tls.verify", "workers", "http_server", "http_port",
	"http_listen", "hot_reload", "storage.path", "storage.sync", "storage.checksum", "storage.metrics", "storage.type",
	"storage.max_chunks_up", "storage.backlog.mem_limit", "storage.total_limit_size",
	"storage.pause_on_chunks_overlimit", "scheduler.base", "scheduler.cap",
}

// harmless matches values that are shown: no address, no query, no blank-separated pair.
var harmless = regexp.MustCompile(`^[\pL\pN_.*:/{}\[\]+-][\pL\pN_.*:/{}\[\], +-]{0,199}$`)

// guid matches the id of an application.
var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// LoadConfig returns the configuration at a path without secrets, and adds those to the
// scrubber. lookupEnv is the environment, for ${VAR}.
func LoadConfig(path string, lookupEnv func(string) (string, bool), s *Scrubber) Config {
	b := Config{File: path, Sections: []Section{}}

	file, err := fluentbit.Load(path, lookupEnv)
	if errors.Is(err, fluentbit.ErrTenantsFile) {
		b.addTenantsFile(path, s)
		return b
	}

	if err != nil {
		b.Error = err.Error() // it holds no values
		return b
	}

	for _, section := range file.Sections {
		ours := section.Kind == "input" && strings.EqualFold(section.Get("name"), "defender")
		b.Sections = append(b.Sections, redactSection(section, ours, s))

		if tenants := section.Get("tenants_file"); ours && tenants != "" {
			if !filepath.IsAbs(tenants) {
				tenants = filepath.Join(file.Root, tenants)
			}

			b.addTenantsFile(tenants, s)
		}
	}

	return b
}

// redactSection returns a section without secrets.
func redactSection(section fluentbit.Section, ours bool, s *Scrubber) Section {
	out := Section{
		Kind: section.Kind,
		File: section.File,
		Line: section.Line,
		Keys: []Key{},
	}

	for _, p := range section.Props {
		value := withheld

		switch {
		case p.Nested:
		case ours:
			value = shownOption(p.Key, p.Value, s)
		case slices.Contains(shownElsewhere, strings.ToLower(p.Key)) && harmless.MatchString(p.Value):
			value = p.Value
		}

		if value == withheld {
			s.addWithheld(p.Value)
			s.AddAddress(p.Value)
		}

		out.Keys = append(out.Keys, Key{plain.Text(p.Key, 64), plain.Text(value, 512)})
	}

	for _, processor := range section.Processors {
		inner := redactSection(processor, false, s)
		out.Keys = append(out.Keys, Key{"processor", plain.Text(processor.Name, 64)})
		out.Keys = append(out.Keys, inner.Keys...)
	}

	return out
}

// secretFiles are the keys that name a file with a secret.
var secretFiles = []string{
	"client_secret_file", "client_certificate_file", "refresh_token_file", "key_file", "metrics_token_file",
}

// shownOption returns the value of a key of the input as it may be shown.
func shownOption(key, value string, s *Scrubber) string {
	key = strings.ToLower(key)
	option, known := config.Lookup(key)

	if slices.Contains(secretFiles, key) {
		s.AddFile(value)
	}

	switch {
	case value == "":
		return ""
	case key == "client_id" && !guid.MatchString(value): // a secret that was pasted into the wrong line
		s.Add(value)
	case slices.Contains(shownKeys, key):
		if harmless.MatchString(value) {
			return value
		}
	case !known:
	case strings.EqualFold(value, option.Default):
		return option.Default
	case option.Kind == config.KindSecret:
		s.Add(value)
		return "(set)"
	case option.Kind == config.KindURL:
		return shownAddress(value, s)
	case option.Secret:
		s.Add(value)
		return "(set)"
	case option.Kind == config.KindString: // filters and the like are free texts
		return "(set)"
	case harmless.MatchString(value):
		return value
	}

	return withheld
}

// shownAddress returns scheme and host of an address.
func shownAddress(address string, s *Scrubber) string {
	s.AddAddress(address)

	u, err := url.Parse(address)
	if err != nil || u.Host == "" || !harmless.MatchString(u.Scheme+"://"+u.Host) {
		s.addWithheld(address)
		return withheld
	}

	return u.Scheme + "://" + u.Host
}

// addTenantsFile adds the parts of a tenants file without secrets.
func (b *Config) addTenantsFile(path string, s *Scrubber) {
	data, err := os.ReadFile(path)
	if err != nil {
		b.Sections = append(b.Sections, Section{
			Kind: "tenants_file: " + err.Error(),
			File: path,
			Keys: []Key{},
		})

		return
	}

	root, err := yamldoc.Parse(data)
	if err != nil {
		b.Sections = append(b.Sections, Section{
			Kind: "tenants_file: " + err.Error(),
			File: path,
			Keys: []Key{},
		})

		for line := range strings.Lines(string(data)) { // a broken file may be quoted elsewhere
			_, value, _ := strings.Cut(line, ":")
			s.addWithheld(strings.Trim(strings.TrimSpace(value), `"'`))
		}

		return
	}

	b.addNode("tenants_file", path, root, s)
}

// addNode adds a mapping of a tenants file, and those in it, each as a section.
func (b *Config) addNode(kind, path string, node *yaml.Node, s *Scrubber) {
	switch node.Kind {
	case yaml.SequenceNode:
		for _, item := range node.Content {
			b.addNode(kind, path, item, s)
		}
	case yaml.MappingNode:
		section := Section{
			Kind: kind,
			File: path,
			Line: node.Line,
			Keys: []Key{},
		}

		var inner []func()

		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := plain.Text(node.Content[i].Value, 64), node.Content[i+1]

			if value.Kind != yaml.ScalarNode {
				inner = append(inner, func() { b.addNode(kind+"."+key, path, value, s) })
				continue
			}

			shown := shownOption(key, value.Value, s)
			if shown == withheld {
				s.addWithheld(value.Value)
				s.AddAddress(value.Value)
			}

			section.Keys = append(section.Keys, Key{key, plain.Text(shown, 512)})
		}

		b.Sections = append(b.Sections, section)

		for _, add := range inner {
			add()
		}
	}
}
