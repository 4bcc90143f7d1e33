package cli_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/sqlite"
	"fluent-bit-defender/internal/tick"
)

func TestForgetLeavesNothingOfATenant(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	s, keys := w.polled("siem")
	w.report(s, keys[0], store.Status{State: health.OK})
	fabrikam := w.write(s, "fabrikam", store.Status{State: health.OK})

	r := w.expect(w.run("tenants", "forget", "contoso", "--yes"), 1)
	contains(t, r.err, "is polled by process", "remove it from its configuration or tenants_file first")

	// It was removed from the running input, which still delivers its last alerts.
	w.report(s, keys[0], store.Status{State: health.Stopped})
	w.now = func() time.Time { // as the command waits, the input goes on with the other tenant
		now := time.Now().Add(time.Duration(w.slept.Load()))
		w.write(s, "fabrikam", store.Status{State: health.OK, UpdatedAt: now, Since: now})

		return now.Add(-time.Duration(w.slept.Load()))
	}

	r = w.expect(w.run("tenants", "forget", "contoso", "--yes"), 0)
	contains(t, r.err, "still delivers what it has read")
	contains(t, r.out, "progress, status and deferred alerts of api siem are forgotten", "1 refresh token forgotten",
		"Still to revoke at Microsoft", "revoke the sessions", client, "https://security.microsoft.com?tid="+contoso)
	noSecret(t, r)

	if _, _, ok, err := s.Load(t.Context(), keys[0]); ok || err != nil {
		t.Errorf("its progress is there: %t, %v", ok, err)
	}

	statuses, err := s.Statuses(t.Context())
	if _, there := statuses[fabrikam]; err != nil || len(statuses) != 1 || !there {
		t.Errorf("%v, %v", statuses, err)
	}

	if list, err := s.Tokens().List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}

	contains(t, w.expect(w.run("tenants", "forget", "contoso", "--yes"), 2).err, "there is no tenant", "fabrikam")
	contains(t, w.expect(w.run("tenants", "forget", "fabrikam"), 1).err, "is polled by")
}

func TestForgetAsksAndReports(t *testing.T) {
	w := newWorld(t)
	s, keys := w.polled("siem")
	w.report(s, keys[0], store.Status{State: health.Stopped})

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	contains(t, w.expect(w.run("tenants", "forget", "contoso"), 2).err, "add --yes")

	got := parse[map[string]any](t, w.expect(w.run("tenants", "forget", "contoso", "--yes", "--json"), 0).out)
	if got["tenant_id"] != contoso || len(got["units"].([]any)) != 1 || got["tokens"] != 0.0 {
		t.Errorf("%v", got)
	}
}

func TestABackupIsRestoredAndGoesOn(t *testing.T) {
	w := newWorld(t)
	key := w.file("key", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
	w.expect(w.run(append(w.acquire("siem"), "--key-file", key)...), 0)

	s, err := sqlite.Open(sqlite.Options{Dir: w.dir, Inputs: true, Key: []byte(strings.Repeat("k", 32))})
	if err != nil {
		t.Fatal(err)
	}

	unit := alert.UnitKey{LoginHost: "login.test", TenantID: contoso, API: "siem"}
	commit := store.Commit{Key: unit, Checkpoint: store.Checkpoint{Floor: 1, Watermark: tick.Tick(77), SeenSince: 1}}

	if err := s.Commit(t.Context(), []store.Commit{commit}); err != nil {
		t.Fatal(err)
	}

	to := filepath.Join(t.TempDir(), "backup")
	r := w.expect(w.run("backup", to), 0) // beside the running input, and without its key
	contains(t, r.out, "progress of 1 unit, 1 refresh token")

	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	entries, err := os.ReadDir(to)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%v, %v", entries, err)
	}

	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}

	contains(t, w.expect(w.run("backup", to), 1).err, "is not empty")
	contains(t, w.expect(w.run("restore", to), 1).err, "in use by another process", "runs inputs on it; stop it first")

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	contains(t, w.expect(w.run("restore", to), 1).err, "is not empty")

	old := w.dir
	w.dir = filepath.Join(t.TempDir(), "new")
	r = w.expect(w.run("restore", to, "--key-file", key), 0)
	contains(t, r.out, "is restored: progress of 1 unit, 1 refresh token")
	contains(t, r.err, "What repeats", "same record_ids", "token_dead")

	restored, err := sqlite.Open(sqlite.Options{Dir: w.dir, Inputs: true, Key: []byte(strings.Repeat("k", 32))})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()

	if cp, _, ok, err := restored.Load(t.Context(), unit); err != nil || !ok || cp.Watermark != 77 {
		t.Errorf("%+v, %t, %v", cp, ok, err)
	}

	refresh := append([]string{"tokens", "refresh", "contoso", "--key-file", key, "--client-id", client,
		"--client-secret-file", w.secretFile()}, w.network("siem")...)
	w.expect(w.run(refresh...), 0) // the sealed token works

	// A backup that was changed is refused, and nothing is left of it.
	if err := os.WriteFile(filepath.Join(to, "tokens.db"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}

	w.dir = filepath.Join(t.TempDir(), "other")
	contains(t, w.expect(w.run("restore", to), 1).err, "tokens.db", "is not what backup wrote")

	if _, err := os.Stat(w.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}

	contains(t, w.expect(w.run("restore", old), 1).err, "is not a backup")
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	w := newWorld(t)
	to := filepath.Join(t.TempDir(), "backup")
	contains(t, w.expect(w.run("backup", to), 1).err, "there is no directory")

	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there: %v", to, err)
	}
}

// unpack returns what is in a bundle, each file after its name.
func unpack(t *testing.T, path string) string {
	t.Helper()

	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}

	var all strings.Builder

	for archive := tar.NewReader(zipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all.String()
		}

		if err != nil {
			t.Fatal(err)
		}

		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}

		all.WriteString(header.Name + "\n" + string(text))
	}
}

// A secret of every kind is planted wherever one may lie, right and wrong.
func TestASupportBundleHoldsNoSecret(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	s, keys := w.polled("siem")

	const (
		inline    = "inl1ne~secret/with=odd+chars"
		inFile    = "f1le-secret-XYZ"
		seed      = "0.seed-refresh-token-in-config"
		seedFile  = "0.seed-refresh-token-in-file"
		proxyPass = "pr0xy-pa55word"
		loginPass = "l0gin-pa55word"
		hec       = "8a9b-hec-token-77"
		bearer    = "Bearer abc.def.ghi-header"
		pgPass    = "pg-pa55word-9"
		inName    = "cl1ent-secret-in-wrong-key"
		unknown   = "unkn0wn-key-value-1"
		env       = "env-s3cret-value"
		metrics   = "metr1cs-token-value"
		broken    = "br0ken-file-secret"
		shownText = "s3cret-in-a-message"
	)

	storeKey := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("K", 32)))
	w.env["DEFENDER_CLIENT_SECRET"] = env
	w.env["HEC_TOKEN"] = shownText
	w.env["NAME_OF_SECRET"] = inline

	tenants := w.file("tenants.yaml", "defaults:\n  client_secret: "+inline+"2\n  proxy: http://u:"+proxyPass+
		"2@proxy.test:3128\n  nonsense: "+unknown+"2\ntenants:\n  - tenant_id: fabrikam.example\n"+
		"    tenant_name: fabrikam\n    refresh_token: '"+seed+"2'\n    client_id: "+inName+"2\n"+
		"discover:\n  from: gdap\n  defaults:\n    client_secret: "+inline+"3\n")
	bad := w.file("bad.yaml", "tenants:\n  - client_secret: "+broken+"\n nonsense")
	conf := w.file("fluent-bit.conf", strings.Join([]string{
		"[SERVICE]",
		"    flush 1",
		"    http_passwd " + unknown + "3",
		"[INPUT]",
		"    Name defender",
		"    tenant_id " + contoso,
		"    tenant_name contoso",
		"    client_id " + inName,
		"    client_secret ${NAME_OF_SECRET}",
		"    client_secret_file " + w.file("secret", inFile+"\n"),
		"    refresh_token " + seed,
		"    refresh_token_file " + w.file("refresh", seedFile+"\n"),
		"    key_file " + w.file("key", storeKey+"\n"),
		"    metrics_token_file " + w.file("metrics", metrics+"\n"),
		"    proxy http://user:" + proxyPass + "@proxy.test:3128",
		"    login_url https://user:" + loginPass + "@login.test",
		"    store postgres://defender:" + pgPass + "@db.test/defender?sslmode=require",
		"    poll_interval 30s",
		"    clientsecret " + unknown,
		"[INPUT]",
		"    Name defender",
		"    tenants_file " + tenants,
		"[INPUT]",
		"    Name defender",
		"    tenants_file " + bad,
		"[OUTPUT]",
		"    Name splunk",
		"    Match defender.*",
		"    host splunk.test",
		"    splunk_token " + hec,
		"    header Authorization " + bearer,
		"    http_passwd " + unknown + "4",
		"",
	}, "\n"))

	w.report(s, keys[0], store.Status{
		State: health.Failing,
		Trouble: health.Trouble{
			Reason:  advice.TokenDead,
			Message: "refused " + shownText + " and " + inline,
			Remedy:  "sign in",
			Trace:   "trace id 4711",
		},
		History: []store.Change{{
			At:      time.Now(),
			State:   health.Failing,
			Message: inFile,
			Trace:   "trace id 4711",
		}},
	})

	path := filepath.Join(t.TempDir(), "bundle.tar.gz")
	r := w.expect(w.run("support-bundle", path, "--config", conf), 0)
	contains(t, r.out, "it holds no secrets")

	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	text := unpack(t, path)

	chains, err := s.Tokens().List(t.Context())
	if err != nil || len(chains) != 1 {
		t.Fatal(chains, err)
	}

	for _, planted := range []string{
		inline, inFile, seed, seedFile, proxyPass, loginPass, hec, bearer, "abc.def.ghi", pgPass, inName, unknown, env,
		metrics, broken, shownText, storeKey, appSecret, chains[0].Chain.Refresh.Reveal(),
	} {
		for _, form := range []string{planted, base64.StdEncoding.EncodeToString([]byte(planted))} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%q is in it: %s", form, text[max(0, i-80):min(len(text), i+80)])
			}
		}
	}

	contains(t, text, `"defenderctl"`, `"tokens.db": `,
		"trace id 4711", `"token_dead"`, `"key": "poll_interval", "value": "30s"`,
		"http://proxy.test:3128", "https://login.test", "splunk.test", "fabrikam", `"state": "failing"`,
		"runs inputs on it", "is not YAML")

	contains(t, w.expect(w.run("support-bundle", path), 1).err, "exists")
}

func TestASupportBundleIsWrittenWithoutAStoreToo(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "bundle.tar.gz")
	w.expect(w.run("support-bundle", path, "--config", w.file("odd.conf", "[INPUT\n  client_secret x-secret-x\n")), 0)

	text := unpack(t, path)
	contains(t, text, "store_error", "there is no directory", `"error": `)

	if strings.Contains(text, "x-secret-x") {
		t.Error("a broken configuration is quoted")
	}
}
