package cli_test

import (
	"fmt"
	"strings"
	"testing"

	"fluent-bit-defender/internal/store/postgres/pgtest"
)

// checkedStore runs `check` on a configuration with a store, and returns what it says of
// it.
func (w *world) checkedStore(address string) (r result, found map[string]any) {
	w.t.Helper()

	conf := w.conf("siem", "store "+address, "key_file "+w.place[3])
	w.place = []string{"--store", address, "--key-file", w.place[3]}

	r = w.run("check", conf)
	list, _ := parse[map[string]any](w.t, w.run("check", "--json", conf).out)["stores"].([]any)

	if len(list) != 1 {
		w.t.Fatalf("stores: %v", list)
	}

	return r, list[0].(map[string]any)
}

func TestCheckWarnsOfADatabaseThatIsNotProtected(t *testing.T) {
	w := newWorld(t)
	d := w.shared()
	proxy := pgtest.NewProxy(t, "unix", d.Server.Socket())

	// 0.0.0.0 is no loopback address, and leads to this machine all the same.
	for host, warned := range map[string]bool{"127.0.0.1": false, "0.0.0.0": true} {
		for _, query := range []string{"", "?sslmode=disable"} {
			address := fmt.Sprintf("postgres://postgres:%s@%s:%d/%s%s", databasePassword, host, proxy.Port(), d.Name,
				query)
			r, found := w.checkedStore(address)
			warnings, _ := found["warnings"].([]any)

			if found["answer"] != "ok" || found["tls"] != "off" || (len(warnings) == 1) != warned {
				t.Errorf("%s: %v", address, found)
			}

			if n := strings.Count(r.out+r.err, "may go without"); warned != (n == 1) {
				t.Errorf("%s: said %d times:\n%s%s", host, n, r.out, r.err)
			}

			noPassword(t, r)
		}
	}
}

func TestCheckWarnsOfADatabaseThatTakesNoChanges(t *testing.T) {
	w := newWorld(t)
	d := w.shared()
	address := w.place[1]
	w.checkedStore(address) // the tables are there now

	d.Exec(t, `ALTER DATABASE `+d.Name+` SET default_transaction_read_only = on`)
	d.Disconnect(t)

	r, found := w.checkedStore(address)
	contains(t, r.out, "it takes no changes (default_transaction_read_only is on")

	if found["exit_code"] == 0.0 || r.code == 0 {
		t.Errorf("exit code %d: %v", r.code, found)
	}
}

func TestCheckRefusesADatabaseOfAnotherEncoding(t *testing.T) {
	w := newWorld(t)
	w.shared()

	latin := pgtest.Shared(t).NewEncoded(t, "LATIN1")

	r, found := w.checkedStore(latin.URL().Reveal())
	contains(t, r.out, "its encoding is LATIN1")

	if found["answer"] != "failed" || r.code == 0 {
		t.Errorf("exit code %d: %v", r.code, found)
	}
}
