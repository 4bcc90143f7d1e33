package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/storetest"
)

func TestADatabaseOfAnotherEncodingIsRefused(t *testing.T) {
	server := pgtest.Shared(t)

	for _, encoding := range []string{"LATIN1", "SQL_ASCII", "EUC_JP"} {
		d := server.NewEncoded(t, encoding)

		for _, inputs := range []bool{false, true} {
			_, err := Open(Options{URL: d.URL(), Key: testKey, Inputs: inputs})
			if !errors.Is(err, errUnfit) || !strings.Contains(err.Error(), encoding) ||
				!strings.Contains(err.Error(), "ENCODING 'UTF8'") {
				t.Errorf("%s, inputs %t: %v", encoding, inputs, err)
			}
		}
	}
}

// setRole sets options of a database as an operator could for other programs.
func setRole(t *testing.T, d *pgtest.Database, settings ...string) {
	t.Helper()

	for _, setting := range settings {
		d.Exec(t, fmt.Sprintf(`ALTER DATABASE %s SET %s`, d.Name, setting))
	}
}

func TestSettingsOfTheDatabaseChangeNothing(t *testing.T) {
	d := pgtest.New(t)
	setRole(t, d, "client_encoding = 'LATIN1'", "datestyle = 'German'", "timezone = 'Asia/Kathmandu'",
		"search_path = 'nowhere'", "standard_conforming_strings = off", "extra_float_digits = -5",
		"default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on",
		"escape_string_warning = off")

	key := storetest.Key(1)
	s := joined(t, d, "a", key)
	name := "株式会社 Ünïcode €"

	commit := store.Commit{
		Key:        key,
		Checkpoint: store.Checkpoint{Floor: 1, Watermark: 20, SeenSince: 1},
		Seen:       storetest.Entries(1, 300),
		Deferred: []store.Deferred{{
			Kind:   "window",
			From:   1,
			To:     2,
			Reason: name,
		}},
	}
	if err := s.Commit(t.Context(), []store.Commit{commit}); err != nil {
		t.Fatal(err)
	}

	if err := s.SetStatus(t.Context(), map[alert.UnitKey]store.Status{key: {TenantName: name}}); err != nil {
		t.Fatal(err)
	}

	if err := s.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}

	again := joined(t, d, "a", key)
	storetest.Expect(t, again, key, commit.Checkpoint, commit.Seen)

	statuses, err := again.Statuses(t.Context())
	if got := statuses[key].TenantName; err != nil || got != name {
		t.Errorf("the name is %q now: %v", got, err)
	}

	list, err := again.ListDeferred(t.Context(), key)
	if err != nil || len(list) != 1 || list[0].Reason != name {
		t.Errorf("deferred: %v, %v", list, err)
	}

	nodes, err := again.Nodes(t.Context())
	if err != nil || len(nodes) != 1 || nodes[0].Units != 1 {
		t.Errorf("nodes: %v, %v", nodes, err)
	}

	if _, err := again.Renew(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSettingsThatDoNotWorkAreNamed(t *testing.T) {
	for setting, want := range map[string]string{
		"bytea_output = 'escape'":    "ALTER ROLE postgres SET bytea_output = 'hex'",
		"intervalstyle = 'iso_8601'": "ALTER ROLE postgres SET intervalstyle = 'postgres'",
	} {
		d := pgtest.New(t)
		setRole(t, d, setting)

		_, err := Open(Options{URL: d.URL(), Key: testKey})
		if !errors.Is(err, errUnfit) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

func TestAServiceWithoutHOMEFindsTheFilesOfItsUser(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", "")

	if err := os.Mkdir(filepath.Join(home, ".postgresql"), 0o700); err != nil {
		t.Fatal(err)
	}

	for name, data := range map[string]string{
		".pgpass":              "*:*:*:*:from pgpass\n",
		".pg_service.conf":     "[central]\nhost=central.test\nuser=app\ndbname=x\n",
		".postgresql/root.crt": string(pgtest.NewAuthority(t).PEM),
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(data), 0o604); err != nil {
			t.Fatal(err)
		}
	}

	read := func(url string) (o Options, host, password string) {
		t.Helper()

		o = Options{URL: secret.New(url), home: func() string { return home }}
		o.defaults()

		c, err := o.parse()
		if err != nil {
			t.Fatal(err)
		}

		return o, c.ConnConfig.Host, c.ConnConfig.Password
	}

	o, host, password := read("postgres://app@db.test/x?sslmode=require")
	if host != "db.test" || password != "from pgpass" {
		t.Errorf("the password for %s is %q", host, password)
	}

	if c, err := o.poolConfig(); err != nil || tlsWarning(c.ConnConfig) != "" {
		t.Errorf("~/.postgresql/root.crt was not found: %v", err)
	}

	if list := o.readableSecrets(); len(list) != 1 || !strings.Contains(list[0], home+"/.pgpass: chmod 600") {
		t.Errorf("warnings: %q", list)
	}

	if _, host, password = read("postgres:///?service=central"); host != "central.test" || password != "from pgpass" {
		t.Errorf("the service is at %s, with password %q", host, password)
	}

	if _, _, password = read("postgres://app:own@db.test/x"); password != "own" {
		t.Errorf("the password in front of the host does not count: %q", password)
	}

	t.Setenv("PGPASSWORD", "from the environment")

	if o, _, password = read("postgres://app@db.test/x"); password != "from the environment" {
		t.Errorf("PGPASSWORD does not count: %q", password)
	}

	if list := o.readableSecrets(); len(list) != 0 {
		t.Errorf("a file that is not used: %q", list)
	}
}

func TestVariablesOfLibpqCompleteTheAddress(t *testing.T) {
	d := pgtest.New(t)

	for name, value := range map[string]string{
		"PGHOST":     filepath.Dir(d.Server.Socket()),
		"PGPORT":     "5432",
		"PGUSER":     "postgres",
		"PGDATABASE": d.Name,
	} {
		t.Setenv(name, value)
	}

	s, err := Open(Options{URL: secret.New("postgres:///"), Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	if n := d.Count(t, `SELECT count(*) FROM defender.meta`); n != 1 {
		t.Errorf("the tables are elsewhere")
	}
}

// Of several servers one is looked for that takes changes, unless the address says
// otherwise.
func TestOfSeveralServersOneThatTakesChangesIsUsed(t *testing.T) {
	for address, want := range map[string]bool{
		"postgres://u@a/d":                              false,
		"postgres://u@a,b/d":                            true,
		"postgres://u@a:1,b:2,c/d":                      true,
		"postgres://u@a,b/d?target_session_attrs=any":   false,
		"postgres://u@/d?host=/run/one,/run/two":        true,
		"postgres://u@a/d?target_session_attrs=primary": true,
	} {
		o := Options{URL: secret.New(address)}
		o.defaults()

		c, err := o.poolConfig()
		if err != nil {
			t.Fatal(err)
		}

		if got := c.ConnConfig.ValidateConnect != nil; got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}
