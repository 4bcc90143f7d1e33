package examples

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"fluent-bit-defender/internal/cli/lint"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/record"
)

const folder = "../../../examples"

// configurations are the files that Fluent Bit is started with.
var configurations = []string{
	"splunk.conf",
	"splunk.yaml",
	"arcsight.conf",
	"arcsight.yaml",
	"splunk-arcsight.conf",
	"splunk-arcsight.yaml",
	"tenants.conf",
	"tenants.yaml",
	"routes.yaml",
	"elastic.conf",
	"elastic.yaml",
	"opensearch.conf",
	"opensearch.yaml",
	"chronicle.conf",
	"chronicle.yaml",
	"s3-ocsf.conf",
	"s3-ocsf.yaml",
}

// parts are the files that they refer to.
var parts = []string{
	"plugins.conf", "defender.env", "customers.yaml", "routes-customers.yaml", "README.md", "splunk-cim",
}

func TestEveryFileOfTheFolderIsTested(t *testing.T) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}

	for _, e := range entries {
		if !slices.Contains(configurations, e.Name()) && !slices.Contains(parts, e.Name()) {
			t.Errorf("%s is in no list of this test", e.Name())
		}
	}
}

func content(t testing.TB, name string) string {
	t.Helper()

	b, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}

	return string(b)
}

// environment reads defender.env, as systemd does.
func environment(t testing.TB) map[string]string {
	t.Helper()

	env := map[string]string{}

	for _, line := range strings.Split(content(t, "defender.env"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}

		name, value, ok := strings.Cut(line, "=")
		if !ok || env[name] != "" || value == "" {
			t.Fatalf("defender.env: %q", line)
		}

		env[name] = value
	}

	return env
}

// sources give the examples what they find on the machine they are made for.
func sources(t testing.TB, name string, env map[string]string) config.Sources {
	t.Helper()

	customers := "customers.yaml"
	if strings.HasPrefix(name, "routes") {
		customers = "routes-customers.yaml"
	}

	machine := fstest.MapFS{
		strings.TrimPrefix(env["DEFENDER_TENANTS_FILE"], "/"): {
			Data: []byte(content(t, customers)),
			Mode: 0o644,
		},
		strings.TrimPrefix(env["DEFENDER_CLIENT_SECRET_FILE"], "/"): {Data: []byte("secret\n"), Mode: 0o600},
	}

	return config.Sources{
		Open: func(path string) (fs.File, error) {
			if !strings.HasPrefix(path, "/") {
				return nil, errors.New(path + " is not an absolute path")
			}

			return machine.Open(strings.TrimPrefix(path, "/"))
		},
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}
}

func load(t testing.TB, name string, env map[string]string) *fluentbit.File {
	t.Helper()

	f, err := fluentbit.Load(
		filepath.Join(folder, name),
		func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	)
	if err != nil {
		t.Fatal(err)
	}

	for _, n := range f.Notes {
		t.Errorf("%v", n)
	}

	return f
}

// settings are the keys, in lower case, with their values.
func settings(s fluentbit.Section) map[string]string {
	m := map[string]string{}
	for _, p := range s.Props {
		m[strings.ToLower(p.Key)] = p.Value
	}

	return m
}

// expect compares some settings, in any case.
func expect(t *testing.T, where string, got map[string]string, want ...string) {
	t.Helper()

	for i := 0; i < len(want); i += 2 {
		if !strings.EqualFold(got[want[i]], want[i+1]) {
			t.Errorf("%s: %s is %q, not %q", where, want[i], got[want[i]], want[i+1])
		}
	}
}

// refuse names settings under which alerts are lost.
func refuse(t *testing.T, where string, got map[string]string, keys ...string) {
	t.Helper()

	for _, k := range keys {
		if v, there := got[k]; there {
			t.Errorf("%s: %s %s loses alerts", where, k, v)
		}
	}
}

func TestEveryExampleKeepsThePromise(t *testing.T) {
	env := environment(t)
	for _, name := range configurations {
		t.Run(name, func(t *testing.T) {
			f := load(t, name, env)
			if len(f.Of("filter")) > 0 || len(f.Of("input")) != 1 || len(f.Of("service")) != 1 {
				t.Fatal("not one service, one input and no filter")
			}

			service := settings(f.Of("service")[0])
			expect(t, "service", service, "storage.path", env["DEFENDER_BUFFER"], "storage.checksum", "off",
				"storage.keep.rejected", "on", "plugins_file", "plugins.conf",
				"hot_reload.ensure_thread_safety", "off")
			refuse(t, "service", service, "storage.pause_on_chunks_overlimit", "daemon")

			section := f.Of("input")[0]
			input := settings(section)
			expect(t, "input", input, "name", "defender", "threaded", "off", "storage.type", "filesystem")
			refuse(t, "input", input, "mem_buf_limit", "rate_gate", "storage.pause_on_chunks_overlimit",
				"allow_threaded", "client_secret", "refresh_token")

			for _, p := range section.Props {
				if fault := config.UnknownKey(p.Key); fault != nil {
					t.Error(fault)
				}
			}

			in, warnings, err := config.FromPlugin(section, sources(t, name, env))
			if err != nil {
				t.Fatal(err)
			}

			for _, w := range warnings {
				t.Errorf("%v", w)
			}

			if n := len(in.Tenants); n > 1 && service["storage.max_chunks_up"] == "" &&
				!strings.HasPrefix(name, "routes") {
				t.Errorf("%d tenants without storage.max_chunks_up", n)
			}

			for _, out := range f.Of("output") {
				checkOutput(t, settings(out), in)
			}
		})
	}
}

func checkOutput(t *testing.T, out map[string]string, in *config.Input) {
	t.Helper()

	where := out["alias"]
	expect(t, where, out, "retry_limit", "no_limits", "tls", "on", "tls.verify", "on", "tls.verify_hostname", "on")
	refuse(t, where, out, "storage.total_limit_size", "workers")

	if where == "" || out["match"] == "*" || out["match"] == "" {
		t.Errorf("output %q matches %q", where, out["match"])
	}

	switch out["name"] {
	case "splunk":
		expect(t, where, out, "compress", "gzip", "event_host", "$mssp['tenant']", "event_field",
			"record_id $mssp['record_id']")

		for _, key := range []string{"splunk_token", "channel", "event_index", "event_sourcetype", "tls.ca_file"} {
			if out[key] == "" {
				t.Errorf("%s: no %s", where, key)
			}
		}
	case "syslog":
		expect(t, where, out, "mode", "tls", "syslog_format", "rfc3164", "syslog_message_key", "cef",
			"syslog_maxsize", "65536")
		refuse(t, where, out, "syslog_appname_preset", "syslog_appname_key", "syslog_procid_preset",
			"syslog_procid_key")

		if out["syslog_hostname_preset"] == "" {
			t.Errorf("%s: no host in the header", where)
		}

		for _, tenant := range in.Tenants {
			if tenant.CEFMaxBytes > 60_000 {
				t.Errorf("%s: lines of %d bytes are cut", where, tenant.CEFMaxBytes)
			}
		}
	case "opensearch":
		expect(t, where, out, "write_operation", "create", "id_key", "$mssp['record_id']", "suppress_type_name", "on",
			"buffer_size", "false", "compress", "gzip")
		needFormat(t, where, in, record.FormatRaw)
	case "s3":
		expect(t, where, out, "json_date_key", "false", "use_put_object", "on", "compression", "gzip")
		needFormat(t, where, in, record.FormatOCSF)
	case "chronicle":
		expect(t, where, out, "log_key", "message")
		needFormat(t, where, in, record.FormatRaw)
	default:
		t.Errorf("an output %q", out["name"])
	}
}

// needFormat checks that an output gets what it reads.
func needFormat(t *testing.T, where string, in *config.Input, want record.Format) {
	t.Helper()

	for _, tenant := range in.Tenants {
		if tenant.Format != want {
			t.Errorf("%s: format %v", where, tenant.Format)
		}
	}
}

func TestEveryTenantOfTheManyReachesItsOutput(t *testing.T) {
	env := environment(t)
	want := map[string]string{
		"contoso":   "splunk_contoso",
		"northwind": "splunk_northwind",
		"fabrikam":  "arcsight",
		"woodgrove": "arcsight",
		"tailspin":  "splunk_unassigned",
	}

	for _, name := range []string{"tenants.conf", "tenants.yaml"} {
		f := load(t, name, env)

		in, _, err := config.FromPlugin(f.Of("input")[0], sources(t, name, env))
		if err != nil {
			t.Fatal(err)
		}

		if len(in.Tenants) != len(want) {
			t.Errorf("%d tenants", len(in.Tenants))
		}

		for _, tenant := range in.Tenants {
			tag := tenant.Tag
			if tag == "" {
				tag = settings(f.Of("input")[0])["tag"]
			}

			var reached []string

			for _, s := range f.Of("output") {
				if out := settings(s); s.Matches(tag) {
					reached = append(reached, out["alias"])
					if (out["name"] == "syslog") != (tenant.Format.String() == "cef") {
						t.Errorf("%s: %s gets format %s", tenant.TenantName, out["alias"], tenant.Format)
					}
				}
			}

			if strings.Join(reached, " ") != want[tenant.TenantName] {
				t.Errorf("%s: %s reaches %v", name, tenant.TenantName, reached)
			}
		}
	}
}

func TestCheckFindsNothingInTheExamples(t *testing.T) {
	env := environment(t)
	for _, name := range configurations {
		for _, f := range lint.Config(load(t, name, env), sources(t, name, env)).Findings {
			switch {
			case f.Level == lint.Note, f.Key == "data_dir": // the directory is not on this machine
			default:
				t.Errorf("%s: %v", name, f)
			}
		}
	}
}

func TestClassicAndYAMLSayTheSame(t *testing.T) {
	env := environment(t)
	for _, name := range []string{
		"splunk", "arcsight", "splunk-arcsight", "tenants", "elastic", "opensearch", "chronicle", "s3-ocsf",
	} {
		classic, yaml := load(t, name+".conf", env), load(t, name+".yaml", env)
		if len(classic.Sections) != len(yaml.Sections) {
			t.Fatalf("%s: %d sections and %d", name, len(classic.Sections), len(yaml.Sections))
		}

		for i, s := range classic.Sections {
			a, b := settings(s), settings(yaml.Sections[i])
			for key := range b {
				if _, both := a[key]; !both {
					a[key] = ""
				}
			}

			for key, v := range a {
				if !strings.EqualFold(v, b[key]) {
					t.Errorf("%s, %s %d: %s is %q in classic, %q in YAML", name, s.Kind, i, key, v, b[key])
				}
			}
		}
	}
}

var variable = regexp.MustCompile(`\$\{([A-Z_]+)\}`)

// TestVariablesAreDescribed: the head of an example names exactly the variables it
// uses, all of which defender.env explains.
func TestVariablesAreDescribed(t *testing.T) {
	env := environment(t)
	used := map[string]bool{}

	for _, name := range configurations {
		text := content(t, name)

		head, body, _ := strings.Cut(text, "\n\n")
		if strings.Contains(body, "DEFENDER_TENANTS_FILE") {
			customers := "customers.yaml"
			if name == "routes.yaml" {
				customers = "routes-customers.yaml"
			}

			body += content(t, customers)
		}

		_, list, ok := strings.Cut(strings.ReplaceAll(head, "\n# ", " "), "Set in the environment (defender.env): ")
		if !ok {
			t.Errorf("%s does not say what it needs", name)
		}

		var named, needed []string

		named = append(named, regexp.MustCompile(`[A-Z][A-Z_]+`).FindAllString(list, -1)...)
		for _, m := range variable.FindAllStringSubmatch(body, -1) {
			needed, used[m[1]] = append(needed, m[1]), true
			if env[m[1]] == "" {
				t.Errorf("%s: %s is not in defender.env", name, m[1])
			}
		}

		slices.Sort(named)
		slices.Sort(needed)

		if needed = slices.Compact(needed); !slices.Equal(named, needed) {
			t.Errorf("%s names %v\nand uses %v", name, named, needed)
		}
	}

	for v := range env {
		if !used[v] {
			t.Errorf("defender.env: no example uses %s", v)
		}
	}
}
