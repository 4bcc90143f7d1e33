package lint_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fluent-bit-defender/internal/cli/lint"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
)

// good is a configuration with no problems found; each case below spoils one thing.
const good = `[SERVICE]
    Flush 1
    storage.path /var/lib/fluent-bit
    storage.checksum off
    storage.keep.rejected on

[INPUT]
    Name defender
    Tag defender.contoso
    Threaded Off
    storage.type filesystem
    tenant_id 99999999-8888-4777-8666-555555555551
    tenant_name contoso
    client_id 11111111-2222-4333-8444-555555555555
    client_secret_file SECRET
    api siem
    region eu
    data_dir DATA

[INPUT]
    Name defender
    Tag defender.fabrikam
    Threaded Off
    storage.type filesystem
    tenant_id 99999999-8888-4777-8666-555555555552
    tenant_name fabrikam
    client_id 11111111-2222-4333-8444-555555555555
    client_secret ${APP_CREDENTIAL}
    api graph
    data_dir DATA

[OUTPUT]
    Name splunk
    Match defender.contoso
    Retry_Limit no_limits
    Host hec.example
    tls On
    Splunk_Token ${APP_CREDENTIAL}

[OUTPUT]
    Name splunk
    Match defender.fabrikam
    Retry_Limit no_limits
    Host hec.example
    tls On
    Splunk_Token ${APP_CREDENTIAL}
`

// place makes the files that the configuration names.
func place(t *testing.T) (dir string, fill func(string) string) {
	t.Helper()
	dir = t.TempDir()

	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("s3cret-of-the-application\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte("s3cret-of-the-application\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}

	write(t, filepath.Join(dir, "bare.conf"), "[PLUGINS]\n    Path in_nothing.so\n", 0o600)
	write(t, filepath.Join(dir, "bad-parsers.conf"), "[PARSER]\n    Name x\n", 0o600)

	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}

	if err := os.Mkdir(filepath.Join(dir, "wide"), 0o755); err != nil {
		t.Fatal(err)
	}

	return dir, strings.NewReplacer(
		"SECRET",
		secret,
		"OPEN",
		open,
		"DATA",
		filepath.Join(dir, "data"),
		"WIDE",
		filepath.Join(dir,
			"wide"),
		"DIR",
		dir,
	).Replace
}

func env(name string) (string, bool) {
	if name == "APP_CREDENTIAL" {
		return "s3cret-of-the-application", true
	}

	return "", false
}

func look(t *testing.T, path string) lint.Result {
	t.Helper()

	file, err := fluentbit.Load(path, env)
	if err != nil {
		t.Fatal(err)
	}

	return lint.Config(file, config.Sources{Env: env})
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()

	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}

	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}

	return path
}

func TestNothingIsObjectedToInAGoodConfiguration(t *testing.T) {
	dir, fill := place(t)
	for _, f := range problems(look(t, write(t, filepath.Join(dir, "good.conf"), fill(good), 0o640))) {
		t.Error(f)
	}
}

// problems are the findings of a configuration but for the note that its API is old.
func problems(r lint.Result) []lint.Finding {
	return slices.DeleteFunc(r.Findings, func(f lint.Finding) bool {
		return f.Level == lint.Note && strings.Contains(f.Problem, "deprecated since 31 December 2023")
	})
}

func TestADeprecatedAPIIsNotedOnceForEachInput(t *testing.T) {
	dir, fill := place(t)

	var notes []lint.Finding

	for _, f := range look(t, write(t, filepath.Join(dir, "good.conf"), fill(good), 0o640)).Findings {
		if strings.Contains(f.Problem, "API siem is deprecated") {
			notes = append(notes, f)
		}
	}

	if len(notes) != 1 || notes[0].Level != lint.Note || notes[0].Key != "api" || notes[0].Line == 0 ||
		!strings.Contains(notes[0].Remedy, "defenderctl compare NAME --from siem --to graph") {
		t.Errorf("%+v", notes)
	}
}

func TestEveryPlantedMistakeIsFoundWithItsLine(t *testing.T) {
	const in, out = "    data_dir DATA\n", "    Match defender.contoso\n    Retry_Limit no_limits\n"

	type mistake struct {
		name, from, to string // the first occurrence of from is replaced
		level          lint.Level
		line           string // the line of the broken file that is named begins so; empty: any
		says           []string
	}
	for _, c := range []mistake{
		{"misspelt key", in, "    poll_intervall 30s\n" + in, lint.Error, "poll_intervall",
			[]string{"did you mean poll_interval"}},
		{"misspelt key, other case", in, "    Tenant_Nme x\n" + in, lint.Error, "Tenant_Nme",
			[]string{"did you mean tenant_name"}},
		{"key of another input", in, "    interval_sec 5\n" + in, lint.Error, "interval_sec",
			[]string{"poll_interval"}},
		{"match in an input", in, "    Match *\n" + in, lint.Error, "Match", []string{"unknown key"}},
		{"net key", in, "    net.keepalive on\n" + in, lint.Error, "net.keepalive", []string{"remove it"}},
		{"value out of range", in, "    poll_interval 10ms\n" + in, lint.Error, "poll_interval",
			[]string{"poll_interval"}},
		{"not a duration", in, "    lookback soon\n" + in, lint.Error, "lookback", []string{"lookback"}},
		{"unknown api", "    api siem\n", "    api sime\n", lint.Error, "api", []string{"sime"}},
		{"region missing", "    region eu\n", "", lint.Error, "", []string{"region", "us, eu, uk"}},
		{"region where it does not fit", "    api graph\n", "    api graph\n    region eu\n", lint.Error, "region",
			[]string{"region"}},
		{"page_size with siem", "    api siem\n", "    api siem\n    page_size 10\n", lint.Error, "page_size",
			[]string{"page_size"}},
		{"tenant missing", "    tenant_id 99999999-8888-4777-8666-555555555551\n", "", lint.Error, "",
			[]string{"tenant_id"}},
		{"tenant common", "99999999-8888-4777-8666-555555555551", "common", lint.Error, "tenant_id",
			[]string{"common"}},
		{"client missing", "    client_id 11111111-2222-4333-8444-555555555555\n", "", lint.Error, "",
			[]string{"client_id"}},
		{"secret file missing", "client_secret_file SECRET", "client_secret_file DIR/none", lint.Error,
			"client_secret_file", []string{"client_secret_file"}},
		{"secret file for all", "client_secret_file SECRET", "client_secret_file OPEN", lint.Warning,
			"client_secret_file", []string{"every user", "chmod o-rwx"}},
		{"two credentials", in, "    client_secret ${APP_CREDENTIAL}\n" + in, lint.Error, "",
			[]string{"client_secret"}},
		{"two seeds", in, "    refresh_token x\n    refresh_token_file SECRET\n" + in, lint.Error, "",
			[]string{"refresh_token"}},
		{"no credential", "    client_secret_file SECRET\n", "", lint.Error, "", []string{"credential"}},
		{"variable not set", "${APP_CREDENTIAL}", "${APP_CREDNTIAL}", lint.Error, "",
			[]string{"APP_CREDNTIAL", "not set"}},
		{"optional variable not set", in, "    filter ${NOWHERE}\n" + in, lint.Warning, "filter", []string{"NOWHERE"}},
		{"same tenant twice", "99999999-8888-4777-8666-555555555552\n    tenant_name fabrikam\n    client_id " +
			"11111111-2222-4333-8444-555555555555\n    client_secret ${APP_CREDENTIAL}\n    api graph\n",
			"99999999-8888-4777-8666-555555555551\n    tenant_name fabrikam\n" +
				"    client_id 11111111-2222-4333-8444-555555555555\n    client_secret ${APP_CREDENTIAL}\n" +
				"    api siem\n    region eu\n", lint.Error, "tenant_id", []string{"polled by the input",
				"state_id"}},
		{"same name for two", "tenant_name fabrikam", "tenant_name contoso", lint.Warning, "tenant_name",
			[]string{"more than one tenant"}},
		{"threaded missing", "    Threaded Off\n", "", lint.Error, "", []string{"Threaded Off", "refuses to start"}},
		{"threaded on", "    Threaded Off\n", "    Threaded On\n", lint.Error, "Threaded", []string{"Threaded Off"}},
		{"threaded and allowed", "    Threaded Off\n", "    Threaded On\n    allow_threaded on\n", lint.Warning,
			"Threaded", []string{"best effort"}},
		{"threaded misspelt", "    Threaded Off\n", "    Threaded Of\n", lint.Error, "Threaded",
			[]string{"neither on nor off", "refuses to start"}},
		{"memory", "    storage.type filesystem\n", "", lint.Error, "", []string{"storage.type filesystem"}},
		{"memrb", "    storage.type filesystem\n", "    storage.type memrb\n", lint.Error, "storage.type",
			[]string{"drops the oldest"}},
		{"storage misspelt", "    storage.type filesystem\n", "    storage.type filesytem\n", lint.Error,
			"storage.type", []string{"not a storage type"}},
		{"no storage path", "    storage.path /var/lib/fluent-bit\n", "", lint.Error, "", []string{"storage.path"}},
		{"checksum", "storage.checksum off", "storage.checksum on", lint.Error, "storage.checksum",
			[]string{"storage.checksum off"}},
		{"daemon", "    Flush 1\n", "    Flush 1\n    Daemon On\n", lint.Error, "Daemon", []string{"forks"}},
		{"mem_buf_limit among several", in, "    mem_buf_limit 5M\n" + in, lint.Warning, "mem_buf_limit",
			[]string{"buffer_limit"}},
		{"pause on overlimit", in, "    storage.pause_on_chunks_overlimit on\n" + in, lint.Warning,
			"storage.pause_on_chunks_overlimit", []string{"remove"}},
		{"no retry limit", out, "    Match defender.contoso\n", lint.Error, "", []string{"Retry_Limit no_limits"}},
		{"retry limit a number", out, "    Match defender.contoso\n    Retry_Limit 5\n", lint.Error, "Retry_Limit",
			[]string{"no_limits"}},
		{"no retries", out, "    Match defender.contoso\n    Retry_Limit no_retries\n", lint.Error, "Retry_Limit",
			[]string{"no_limits"}},
		{"retry limit misspelt", out, "    Match defender.contoso\n    Retry_Limit unlimited\n", lint.Error,
			"Retry_Limit", []string{"not understood"}},
		{"total limit", out, out + "    storage.total_limit_size 1G\n", lint.Warning, "storage.total_limit_size",
			[]string{"deletes the oldest"}},
		{"tag without output", "Tag defender.contoso", "Tag contoso", lint.Error, "Tag",
			[]string{"reaches no output", "Match contoso"}},
		{"match without tag", "Match defender.contoso", "Match defender.contso", lint.Warning, "Match",
			[]string{"matches no input"}},
		{"match missing", "    Match defender.contoso\n", "", lint.Error, "", []string{"Match", "missing"}},
		{"match takes another customer too", "Match defender.contoso", "Match defender.*", lint.Warning, "Match",
			[]string{"mixes 2 customers into one splunk output"}},
		{"prefix of another customer's", "Tag defender.fabrikam\n", "Tag defender.contoso-uk\n", lint.Error, "", nil},
		{"one tag for two customers", "Tag defender.fabrikam", "Tag defender.contoso", lint.Warning, "Tag",
			[]string{"is the tag of contoso and fabrikam"}},
		{"rewrite_tag", "[OUTPUT]\n", "[FILTER]\n    Name rewrite_tag\n    Match defender.contoso\n" +
			"    Rule $x ^ y false\n[OUTPUT]\n",
			lint.Warning, "", []string{"rewrite_tag", "kill"}},
		{"other data_dir mode", "data_dir DATA", "data_dir WIDE", lint.Warning, "data_dir",
			[]string{"0755", "chmod 700"}},
		{"two key files", in, "    key_file KEY\n" + in, lint.Error, "", []string{"key_file"}},
		{"lease without PostgreSQL", in, "    lease_ttl 20s\n" + in, lint.Warning, "lease_ttl",
			[]string{"does nothing"}},
		{"PostgreSQL without a key", in, "    store postgres://me:s3cret@db/x\n" + in, lint.Error, "",
			[]string{"key_file", "required"}},
		{"store misspelt", in, "    store postgre://me:s3cret@db/x\n" + in, lint.Error, "store",
			[]string{"neither sqlite"}},
		{"key twice", in, "    api siem\n" + in, lint.Warning, "api", []string{"is set twice", "uses the first"}},
		{"another input's name", "Name defender\n", "Name defendr\n", lint.Error, "Name", []string{"Name defender"}},
		{"allow_threaded value", in, "    allow_threaded maybe\n" + in, lint.Error, "allow_threaded",
			[]string{"allow_threaded"}},
		{"plain http", in, "    api_url http://api.example\n" + in, lint.Error, "api_url", []string{"loopback"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, fill := place(t)
			fill = func(f func(string) string) func(string) string {
				return func(s string) string {
					return strings.ReplaceAll(f(s), "KEY", write(t, filepath.Join(dir, "key"),
						"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 0o600))
				}
			}(fill)

			if !strings.Contains(good, c.from) {
				t.Fatalf("%q is not in the good configuration", c.from)
			}

			text := fill(strings.Replace(good, c.from, c.to, 1))
			path := write(t, filepath.Join(dir, "fluent-bit.conf"), text, 0o600)
			findings := look(t, path).Findings
			lines := strings.Split(text, "\n")

			for _, f := range findings {
				if strings.Contains(f.String(), "s3cret") {
					t.Errorf("a secret is in %v", f)
				}
			}

			for _, f := range findings {
				if f.Level != c.level || f.File != path || c.line != "" && (f.Line < 1 ||
					!strings.HasPrefix(strings.TrimSpace(lines[f.Line-1]), c.line)) {
					continue
				}

				all := true
				for _, s := range c.says {
					all = all && strings.Contains(f.String(), s)
				}

				if all && f.Remedy != "" {
					return
				}
			}

			t.Errorf("not found; findings: %v", findings)
		})
	}
}

func TestASecretInAFileForAllIsWarnedOf(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		found      bool
	}{
		"inline":   {"a.conf", "[INPUT]\n    Name defender\n    client_secret s3cret\n", true},
		"variable": {"a.conf", "[INPUT]\n    Name defender\n    client_secret ${APP_CREDENTIAL}\n", false},
		"file":     {"a.conf", "[INPUT]\n    Name defender\n    client_secret_file /run/secrets/x\n", false},
		"yaml":     {"a.yaml", "pipeline:\n  inputs:\n    - name: defender\n      client_secret: s3cret\n", true},
		"store":    {"a.conf", "[INPUT]\n    Name defender\n    store postgres://me:s3cret@db/x\n", true},
		"store with a parameter": {
			"a.conf", "[INPUT]\n    Name defender\n    store postgres://db/x?sslmode=require&password=s3cret\n", true,
		},
		"store without password": {"a.conf", "[INPUT]\n    Name defender\n    store postgres://me@db:5432/x\n", false},
		"a token": {"a.conf",
			"[INPUT]\n    Name defender\n[OUTPUT]\n    Name splunk\n    Splunk_Token s3cret\n", true},
		"camelCase": {"a.yaml", "pipeline:\n  inputs:\n    - name: defender\n      refreshToken: \"s3cret\"\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), c.file), c.text, 0o644)
			found := false

			for _, f := range look(t, path).Findings {
				if strings.Contains(f.String(), "s3cret") {
					t.Errorf("the secret is shown: %v", f)
				}

				found = found || strings.Contains(f.Problem, "every user")
			}

			if found != c.found {
				t.Errorf("found: %v", found)
			}
		})
	}
}

func TestYAMLWithIncludesAndATenantsFileAreLookedAtToo(t *testing.T) {
	dir, fill := place(t)
	write(t, filepath.Join(dir, "tenants.yaml"), fill(`defaults:
  client_id: 11111111-2222-4333-8444-555555555555
  client_secret_file: SECRET
tenants:
  - tenant_id: contoso.example
    api: graph
    tag: defender.contoso
  - tenant_id: contoso.example
    api: graph
  - tenant_id: fabrikam.example
    pol_interval: 1s
`), 0o600)
	write(
		t,
		filepath.Join(dir, "inputs.yaml"),
		fill(
			"pipeline:\n  inputs:\n    - name: defender\n      tag: defender.all\n      threaded: off\n"+
				"      storage.type: filesystem\n      tenants_file: DIR/tenants.yaml\n      data_dir: DATA\n"+
				"      mem_buf_limit: 5M\n      routes:\n        logs:\n          - name: x\n"+
				"            to: {outputs: [screen]}\n",
		),
		0o600,
	)
	path := write(
		t,
		filepath.Join(dir, "fluent-bit.yaml"),
		"includes:\n  - inputs.yaml\nservice:\n  storage.path: /var/lib/x\npipeline:\n  outputs:\n"+
			"    - name: stdout\n      alias: screen\n      match: 'x'\n",
		0o600,
	)

	all := fmt.Sprint(look(t, path).Findings)
	for _, want := range []string{
		"listed twice", "did you mean poll_interval", "conditional routes", "Retry_Limit no_limits",
		"tenants.yaml:",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in %s", want, all)
		}
	}

	alone := fmt.Sprint(lint.TenantsFile(filepath.Join(dir, "tenants.yaml"), config.Sources{Env: env}).Findings)
	for _, want := range []string{"listed twice", "did you mean poll_interval"} {
		if !strings.Contains(alone, want) {
			t.Errorf("%q is not in %s", want, alone)
		}
	}
}

// checkout copies the configurations of this repository to a directory whose files
// nobody else may write: a checkout that was made with umask 002 is full of files that
// are refused.
func checkout(t *testing.T) string {
	t.Helper()

	root := filepath.Join(t.TempDir(), "checkout")
	if err := os.CopyFS(filepath.Join(root, "examples"), os.DirFS("../../../examples")); err != nil {
		t.Fatal(err)
	}

	text, err := os.ReadFile("../../../fluent-bit.conf")
	if err != nil {
		t.Fatal(err)
	}

	write(t, filepath.Join(root, "fluent-bit.conf"), string(text), 0o644)

	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}

		info, err := os.Stat(path)
		if err != nil {
			return err
		}

		return os.Chmod(path, info.Mode().Perm()&^0o022)
	})
	if err != nil {
		t.Fatal(err)
	}

	return root
}

func TestNothingIsObjectedToInTheExamples(t *testing.T) {
	dir, fill := place(t)
	values := map[string]string{
		"DEFENDER_CLIENT_SECRET": "x-y-z-secret",
		"DEFENDER_REFRESH_TOKEN": "0.a-refresh-token",
	}
	root := checkout(t)

	list, err := os.ReadFile(filepath.Join(root, "examples", "defender.env"))
	if err != nil {
		t.Fatal(err)
	}

	for line := range strings.Lines(string(list)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			values[name] = value
		}
	}

	values["DEFENDER_CLIENT_SECRET_FILE"], values["DEFENDER_DATA_DIR"] = fill("SECRET"), filepath.Join(dir, "data")
	env := func(name string) (string, bool) { v, ok := values[name]; return v, ok }

	for path, customers := range map[string]string{
		"fluent-bit.conf":               "",
		"examples/arcsight.conf":        "",
		"examples/arcsight.yaml":        "",
		"examples/splunk.conf":          "",
		"examples/splunk.yaml":          "",
		"examples/splunk-arcsight.conf": "",
		"examples/splunk-arcsight.yaml": "",
		"examples/tenants.conf":         "customers.yaml",
		"examples/tenants.yaml":         "customers.yaml",
		"examples/routes.yaml":          "routes-customers.yaml",
	} {
		values["DEFENDER_TENANTS_FILE"] = filepath.Join(root, "examples", customers)

		file, err := fluentbit.Load(filepath.Join(root, path), env)
		if err != nil {
			t.Error(err)
			continue
		}

		for _, f := range problems(lint.Config(file, config.Sources{Env: env})) {
			if f.Level == lint.Note && strings.Contains(f.Problem, "in_defender.so") {
				continue // it is installed later
			}

			t.Errorf("%s: %v", path, f)
		}
	}
}

func TestATagOfManyCustomersIsOneFindingThatNamesSomeOfThem(t *testing.T) {
	dir, fill := place(t)

	tenants := "defaults:\n  client_id: 11111111-2222-4333-8444-555555555555\n  client_secret_file: SECRET\ntenants:\n"
	for i := range 50 {
		tenants += fmt.Sprintf("  - tenant_id: customer%d.example\n    tenant_name: customer%d\n", i, i)
	}

	write(t, filepath.Join(dir, "tenants.yaml"), fill(tenants), 0o600)
	conf := fill(
		"[SERVICE]\n    storage.path /x\n[INPUT]\n    Name defender\n    Tag defender\n    Threaded Off\n" +
			"    storage.type filesystem\n    tenants_file DIR/tenants.yaml\n    data_dir DATA\n[OUTPUT]\n" +
			"    Name stdout\n    Match *\n    Retry_Limit no_limits\n",
	)

	found := look(t, write(t, filepath.Join(dir, "fluent-bit.conf"), conf, 0o600)).Findings
	if len(found) != 1 || found[0].Level != lint.Note || found[0].Tenant != "" {
		t.Fatalf("%d findings: %v", len(found), found)
	}

	if s := found[0].String(); !strings.Contains(s, "customer0, customer1,") ||
		!strings.Contains(s, "and 45 others") ||
		len(s) > 400 {
		t.Error(s)
	}
}

func TestAnEnvironmentThatPrintsTokensIsFound(t *testing.T) {
	debug := func(name string) (string, bool) {
		if name == "GODEBUG" {
			return "http2debug=2", true
		}

		return env(name)
	}
	path := write(t, filepath.Join(t.TempDir(), "tenants.yaml"), "tenants: []\n", 0o600)

	found := fmt.Sprint(lint.TenantsFile(path, config.Sources{Env: debug}).Findings)
	if !strings.Contains(found, "http2debug") {
		t.Errorf("got %s", found)
	}
}

func TestInputsOnOneStoreMustAgree(t *testing.T) {
	dir, fill := place(t)
	key := write(t, filepath.Join(dir, "key"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 0o600)

	const in = "    data_dir DATA\n"

	store := "    store postgres://me:s3cret@db/x\n    key_file " + key + "\n    lease_ttl "

	text := strings.Replace(good, in, store+"15s\n"+in, 1)
	at := strings.LastIndex(text, in)
	text = fill(text[:at] + store + "20s\n" + text[at:])
	path := write(t, filepath.Join(dir, "fluent-bit.conf"), text, 0o600)

	found := 0

	for _, f := range look(t, path).Findings {
		if strings.Contains(f.String(), "s3cret") {
			t.Errorf("a secret is in %v", f)
		}

		if f.Level == lint.Error {
			found++

			if !strings.Contains(f.String(), "differs from that of the input in") ||
				!strings.Contains(f.String(), "the same store") {
				t.Errorf("got %v", f)
			}
		}
	}

	if found != 1 {
		t.Errorf("%d errors, want one", found)
	}
}
