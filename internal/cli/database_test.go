package cli_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/tick"
)

// databasePassword is in the addresses of these tests, and nowhere else.
const databasePassword = "hunter2-of-the-database"

// shared makes a database the store of a world, by an address with a password, on the
// clock of the machine.
func (w *world) shared() *pgtest.Database {
	w.t.Helper()

	d := w.onDatabase()
	w.now = time.Now
	w.place[1] = strings.Replace(w.place[1], "postgres@", "postgres:"+databasePassword+"@", 1)

	return d
}

// polledThere commits progress of contoso, as an input of before did.
func (w *world) polledThere(d *pgtest.Database, api string) alert.UnitKey {
	w.t.Helper()

	s, err := postgres.Open(postgres.Options{URL: d.URL(), Key: make([]byte, 32)})
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()

	now := tick.FromTime(time.Now())
	key := alert.UnitKey{
		LoginHost: strings.TrimPrefix(w.LoginURL(), "http://"),
		TenantID:  contoso,
		API:       alert.API(api),
	}

	err = errors.Join(
		s.Commit(w.t.Context(), []store.Commit{{
			Key: key,
			Checkpoint: store.Checkpoint{
				Floor:     now - 24*60*tick.Minute,
				Watermark: now,
				SeenSince: now - 24*60*tick.Minute,
			},
		}}),
		s.SetStatus(w.t.Context(), map[alert.UnitKey]store.Status{key: {
			TenantName: "contoso",
			ClientID:   client,
			State:      "ok",
			UpdatedAt:  time.Now(),
		}}),
	)
	if err != nil {
		w.t.Fatal(err)
	}

	return key
}

// noPassword fails the test if the password of the database is in a result.
func noPassword(t *testing.T, results ...result) {
	t.Helper()

	for _, r := range results {
		if strings.Contains(r.out+r.err, databasePassword) {
			t.Errorf("the password of the database is in:\n%s%s", r.out, r.err)
		}
	}
}

func TestCommandsForTokensOnADatabase(t *testing.T) {
	w := newWorld(t)
	d := w.shared()

	r := w.expect(w.run(w.acquire("siem", "--json")...), 0)
	got := parse[map[string]any](t, r.out)

	if at, _ := got["store"].(string); !strings.HasPrefix(at, "postgres://postgres@/"+d.Name) || got["data_dir"] != "" {
		t.Errorf("stored in %v, %v", got["store"], got["data_dir"])
	}

	contains(t, r.err, "the password in --store in the process list")

	list := w.expect(w.run("tokens", "list"), 0)
	contains(t, list.out, "contoso", client)

	refresh := w.expect(w.run("tokens", "refresh", "contoso", "--api", "siem", "--client-secret-file", w.secretFile(),
		"--api-url", w.APIURL("siem")), 0)
	pull := w.expect(w.run("pull", "contoso", "--api", "siem", "--client-secret-file", w.secretFile(),
		"--api-url", w.APIURL("siem")), 0)
	contains(t, pull.out, "{")

	key := w.file("new.key", strings.Repeat("A", 42)+"E=\n")
	rekey := w.expect(w.run("tokens", "rekey", "--new-key-file", key), 0)
	contains(t, rekey.out, "1 encrypted with "+key)
	contains(t, w.run("tokens", "list").out, "key")

	w.place[3] = key
	contains(t, w.expect(w.run("tokens", "list"), 0).out, "contoso")
	contains(t, w.expect(w.run("tokens", "rekey", "--decrypt"), 2).err, "always encrypted")

	removed := w.expect(w.run("tokens", "remove", "contoso", "--yes"), 0)
	empty := w.expect(w.run("tokens", "list"), 0)
	contains(t, empty.err, "no refresh tokens are stored in postgres://postgres@/"+d.Name)

	noSecret(t, r, list, refresh, rekey, removed)
	noPassword(t, r, list, refresh, pull, rekey, removed, empty)

	if exists, err := os.Stat(w.dir); err == nil {
		t.Errorf("%s was made", exists.Name())
	}
}

func TestRekeyOnADatabaseNeedsNodesStopped(t *testing.T) {
	w := newWorld(t)
	d := w.shared()
	w.expect(w.run(w.acquire("siem")...), 0)
	d.Exec(t, `INSERT INTO defender.nodes (id, session, version, joined_at, renewed_at, expires_at, ttl, replay)
		VALUES ('collector-1', 's', 'v', now(), now(), now() + interval '1 hour', '15s', '15m')`)

	key := w.file("new.key", strings.Repeat("A", 42)+"E=\n")
	r := w.expect(w.run("tokens", "rekey", "--new-key-file", key), 1)
	contains(t, r.err, "live nodes are collector-1", "stop every node")
	contains(t, w.expect(w.run("tokens", "list"), 0).out, "contoso")
}

func TestCommandsForUnitsOnADatabase(t *testing.T) {
	w := newWorld(t)
	d := w.shared()
	w.expect(w.run(w.acquire("siem")...), 0)
	w.polledThere(d, "siem")

	contains(t, w.expect(w.run("status"), 0).out, "contoso", "siem")
	w.expect(w.run("rewind", "contoso", "--since", "2026-03-01"), 0)

	if n := d.Count(t, `SELECT count(*) FROM defender.rewinds`); n != 1 {
		t.Errorf("%d requests", n)
	}

	// As long as a live node holds it, it is not forgotten.
	d.Exec(t, `INSERT INTO defender.nodes (id, session, version, joined_at, renewed_at, expires_at, ttl, replay)
		VALUES ('collector-1', 's', 'v', now(), now(), now() + interval '1 hour', '15s', '15m')`)
	d.Exec(t, `UPDATE defender.units SET owner = 'collector-1', epoch = 1, claimed_at = now()`)

	r := w.expect(w.run("tenants", "forget", "contoso", "--yes"), 1)
	contains(t, r.err, "is polled by node collector-1")

	d.Exec(t, `UPDATE defender.units SET owner = NULL`)
	d.Exec(t, `DELETE FROM defender.nodes`)

	r = w.expect(w.run("tenants", "forget", "contoso", "--yes"), 0)
	contains(t, r.out, "1 refresh token forgotten", "api siem are forgotten")

	const rows = `SELECT (SELECT count(*) FROM defender.rewinds) + (SELECT count(*) FROM defender.status)`
	if n := d.Count(t, rows); n != 0 {
		t.Errorf("%d rows are left", n)
	}

	noPassword(t, r)
}

func TestADatabaseIsBackedUpByItsOwnMeans(t *testing.T) {
	w := newWorld(t)
	d := w.shared()
	w.polledThere(d, "siem")
	w.place[1] += "&pool_max_conns=3&statement_timeout=60000&application_name=my+backup"

	to := filepath.Join(t.TempDir(), "backup")
	backup, restore := w.expect(w.run("backup", to), 2), w.expect(w.run("restore", to), 2)
	noPassword(t, backup, restore)

	// The lines that are printed work, but for the name of the file.
	for _, r := range []result{backup, restore} {
		at := strings.Index(r.err, "pg_")
		if at < 0 {
			t.Fatal(r.err)
		}

		line, _, _ := strings.Cut(r.err[at:], "\n")
		line = strings.Replace(line, "FILE", to+".dump", 1)
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Env = append(os.Environ(), "PATH="+d.Server.Programs()+":"+os.Getenv("PATH"))

		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}

		if units := d.Count(t, `SELECT count(*) FROM defender.units`); units != 1 {
			t.Errorf("%s: there are %d units", line, units)
		}

		d.Exec(t, `DELETE FROM defender.units`)
	}

	if _, err := os.Stat(to); err == nil {
		t.Error("a directory was made")
	}
}

// bundled returns all texts of a support bundle.
func bundled(t *testing.T, path string) string {
	t.Helper()

	file := must(os.Open(path))
	defer file.Close()

	archive := tar.NewReader(must(gzip.NewReader(file)))

	var all strings.Builder

	for {
		_, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all.String()
		}

		if err != nil {
			t.Fatal(err)
		}

		if _, err := io.Copy(&all, archive); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASupportBundleHasNoPasswordOfTheDatabase(t *testing.T) {
	w := newWorld(t)
	d := w.shared()
	w.expect(w.run(w.acquire("siem")...), 0)
	w.polledThere(d, "siem")

	passfile := w.file("pgpass", "db.example:5432:*:defender:from-the\\:password-file\n")
	w.env["PGPASSFILE"] = passfile
	w.env["PGPASSWORD"] = "from-the-variable"
	conf := w.file("fluent-bit.conf", fmt.Sprintf("[INPUT]\n    Name defender\n    tenant_id %s\n    tenant_name "+
		"from-the-variable\n    client_id %s\n    grant refresh_token\n    store %s\n    key_file %s\n    node_id "+
		"from-the\\:password-file\n", contoso, client, w.place[1], w.place[3]))

	path := filepath.Join(t.TempDir(), "bundle.tar.gz")
	r := w.expect(w.run("support-bundle", path, "--config", conf), 0)
	text := bundled(t, path)
	contains(t, text, "postgres://", "contoso")

	for _, secret := range []string{databasePassword, "from-the-variable", "password-file", seedToken} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the bundle:\n%s", secret, text)
		}
	}

	noPassword(t, r)
}

func TestADatabaseNeedsAKey(t *testing.T) {
	w := newWorld(t)
	w.shared()
	w.place = w.place[:2]

	r := w.expect(w.run(w.acquire("siem")...), 1)
	contains(t, r.err, "key_file: missing", "/dev/urandom", "--key-file")
	noPassword(t, r)
}

func TestWhichStoreCounts(t *testing.T) {
	w := newWorld(t)
	w.shared()
	w.expect(w.run(w.acquire("siem")...), 0)

	address, key := w.place[1], w.place[3]
	conf := w.file("fluent-bit.conf", fmt.Sprintf("[INPUT]\n    Name defender\n    tenant_id %s\n    tenant_name "+
		"contoso\n    client_id %s\n    client_secret_file %s\n    grant refresh_token\n    api siem\n    login_url "+
		"%s\n    api_url %s\n    store %s\n    key_file %s\n", contoso, client, w.secretFile(), w.LoginURL(),
		w.APIURL("siem"), address, key))

	w.place = nil
	w.env["DEFENDER_DATA_DIR"] = w.dir

	for name, c := range map[string]struct {
		env  string
		args []string
		code int
		want string
	}{
		"the flag": {"", []string{"tokens", "list", "--store", address, "--key-file", key}, 0,
			"contoso"},
		"the variable":      {address, []string{"tokens", "list", "--key-file", key}, 0, "contoso"},
		"the configuration": {"", []string{"pull", "contoso", "--config", conf}, 0, "{"},
		"the flag --data-dir": {address, []string{"tokens", "list", "--data-dir", w.dir}, 1,
			"there is no directory"},
		"the flag for files": {address, []string{"tokens", "list", "--store", "sqlite"}, 1,
			"there is no directory"},
		"both flags": {"", []string{"status", "--store", address, "--data-dir", w.dir}, 2, "give one of"},
		"an address of nonsense": {"", []string{"status", "--store", "mysql://u:" + databasePassword + "@h/d"}, 2,
			"--store:"},
		"a variable of nonsense":  {"u:" + databasePassword + "@h", []string{"status"}, 2, "$DEFENDER_STORE:"},
		"a database that is gone": {"", []string{"status", "--store", address + "x/"}, 1, "PostgreSQL"},
	} {
		t.Run(name, func(t *testing.T) {
			w.env["DEFENDER_STORE"] = c.env

			var out, errs lockedBuffer

			code := w.startAs(t.Context(), &out, &errs, c.args...)
			if code != c.code {
				t.Errorf("exit code %d: %s%s", code, out.String(), errs.String())
			}

			contains(t, out.String()+errs.String(), c.want)
			noPassword(t, result{code, out.String(), errs.String()})
		})
	}
}

func TestCheckNamesTheDatabase(t *testing.T) {
	w := newWorld(t)
	w.shared()
	w.expect(w.run(w.acquire("siem")...), 0)

	section := fmt.Sprintf("[INPUT]\n    Name defender\n    Tag a\n    Threaded Off\n    tenant_id %s\n"+
		"    tenant_name contoso\n    client_id %s\n    client_secret_file %s\n    grant refresh_token\n    api siem\n"+
		"    login_url %s\n    api_url %s\n", contoso, client, w.secretFile(), w.LoginURL(), w.APIURL("siem"))
	good := w.file("good.conf", section+fmt.Sprintf("    store %s\n    key_file %s\n", w.place[1], w.place[3]))
	gone := w.file("gone.conf", section+fmt.Sprintf("    store %s\n    key_file %s\n",
		strings.Replace(w.place[1], "?", "_gone?", 1), w.place[3]))
	keyless := w.file("keyless.conf", section+"    store "+w.place[1]+"\n")
	w.place = nil

	r := w.run("check", good, "--data-dir", "")
	contains(t, r.out, "PostgreSQL 1", "answers, TLS off", "contoso")

	bad := w.run("check", gone, "--data-dir", "")
	contains(t, bad.out, "make the database, or correct its name")

	missing := w.expect(w.run("check", keyless, "--offline"), 1)
	contains(t, missing.out, "key_file", "is required with store")
	noPassword(t, r, bad, missing)
}

func TestAStoreIsCopiedToADatabaseAndBack(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	s, keys := w.polled("siem")
	w.report(s, keys[0], store.Status{State: "ok"})

	d := w.shared()
	address, key := w.place[1], w.place[3]
	w.place = []string{"--store", ""}
	source := must(filepath.Abs(w.dir))

	run := func(code int, args ...string) result {
		t.Helper()

		r := w.expect(w.run(append([]string{"store", "copy"}, args...)...), code)
		noPassword(t, r)
		noSecret(t, r)

		return r
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// What another process holds that runs inputs.
	lock := must(os.OpenFile(filepath.Join(source, "inputs.lock"), os.O_RDWR, 0))
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}

	busy := run(1, "--from", source, "--to", address, "--to-key-file", key)
	contains(t, busy.err, "runs inputs on it")

	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}

	// The files are not encrypted: a key for both is wrong, and nothing was copied.
	both := run(1, "--key-file", key, "--from", source, "--to", address)
	contains(t, both.err, "nothing was copied", "--to-key-file")

	r := run(0, "--json", "--from", source, "--to", address, "--to-key-file", key)
	contains(t, r.out, `"tokens": 1`, `"units": 1`, `"to": "postgres://postgres@/`+d.Name)
	contains(t, r.err, "store postgres://postgres@/"+d.Name, "key_file "+key)

	again := run(1, "--from", source, "--to", address, "--to-key-file", key)
	contains(t, again.err, "is not empty: it has 1 refresh token, 1 ", "DROP SCHEMA defender CASCADE")

	back := filepath.Join(t.TempDir(), "back")
	run(0, "--from", address, "--from-key-file", key, "--to", back)

	w.place = nil
	contains(t, w.expect(w.run("tokens", "list", "--data-dir", back), 0).out, "contoso")
	contains(t, w.expect(w.run("tokens", "list", "--data-dir", source), 0).out, "contoso")

	run(2, "--from", source, "--to", source)
	run(2, "--from", source)
	run(2, "--from", filepath.Join(t.TempDir(), "none"), "--to", back)
}
