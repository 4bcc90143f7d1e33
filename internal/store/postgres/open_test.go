package postgres

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
)

var testKey = make([]byte, 32)

// openOn opens a store on a database, or where change says, and closes it when the test
// ends.
func openOn(t testing.TB, d *pgtest.Database, change ...func(*Options)) *Store {
	t.Helper()

	o := Options{Key: testKey}
	if d != nil {
		o.URL = d.URL()
	}

	for _, f := range change {
		f(&o)
	}

	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = s.Close() })

	return s
}

func TestTablesAreMadeOnceByMany(t *testing.T) {
	d := pgtest.New(t)

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s, err := Open(Options{URL: d.URL(), Key: testKey})
			if err != nil {
				t.Error(err)
				return
			}

			_ = s.Close()
		})
	}

	all.Wait()

	if n := d.Count(t, `SELECT number FROM defender.meta WHERE name = 'version'`); n != schemaVersion {
		t.Errorf("version %d", n)
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	d := pgtest.New(t)
	openOn(t, d)
	d.Exec(t, `UPDATE defender.meta SET number = 99 WHERE name = 'version'`)

	for _, inputs := range []bool{false, true} {
		if _, err := Open(Options{URL: d.URL(), Key: testKey, Inputs: inputs}); !errors.Is(err, store.ErrNewer) {
			t.Errorf("Inputs %t: %v", inputs, err)
		}
	}
}

func TestInputsNeedAKey(t *testing.T) {
	_, err := Open(Options{URL: secret.New("postgres://localhost/x"), Inputs: true})
	if !errors.Is(err, store.ErrKey) || !strings.Contains(err.Error(), "key_file") {
		t.Error(err)
	}
}

func TestErrorsOfOpenQuoteNoPassword(t *testing.T) {
	for _, url := range []string{
		"postgres://u:hunter2@%zz/x",
		"postgres://u:hunter2@127.0.0.1:99999/x",
		"postgres://u:hunter2@127.0.0.1:1/x?sslmode=hunter2",
		"host=127.0.0.1 port=1 password=hunter2 sslmode=nope",
		"host=127.0.0.1 port=1 'password=hunter2",
		"postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=hunter2",
		"postgres://u:hunter2@127.0.0.1:1/x?pool_max_conns=hunter2",
		"postgres://u:hunter2@127.0.0.1:1/x",
		"hunter2",
	} {
		_, err := Open(Options{URL: secret.New(url), Key: testKey})
		if err == nil {
			t.Errorf("%s: opened", url)
			continue
		}

		t.Log(err)

		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
