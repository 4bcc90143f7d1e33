package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
)

func TestWhereTheStoreIs(t *testing.T) {
	key := workshop(t) + "/key32"
	host := func() (string, error) { return "collector-7", nil }

	for name, c := range map[string]struct {
		section Map
		want    Store
		address string
	}{
		"nothing":  {good(), Store{}, ""},
		"sqlite":   {good("store", "SQLite"), Store{}, ""},
		"defaults": {good("store", "postgres://db/d"), Store{NodeID: "collector-7"}, "postgres://db/d"},
		"another name": {good("store", "PostgreSQL://db/d", "node_id", "a.b_c-1"), Store{NodeID: "a.b_c-1"},
			"postgresql://db/d"},
		"a socket": {good("store", "postgres:///d?host=/run/x"), Store{NodeID: "collector-7"},
			"postgres:///d?host=/run/x"},
		"several hosts": {good("store", "postgres://a:1,b:2/d"), Store{NodeID: "collector-7"}, "postgres://a:1,b:2/d"},
		"times": {
			good("store", "postgres://db/d", "lease_ttl", "5", "takeover_replay", "0"),
			Store{NodeID: "collector-7", LeaseTTL: 5 * time.Second},
			"postgres://db/d",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.section["key_file"] = key
			got := must(t, c.section, Sources{Env: env().Env, Hostname: host}).Store

			if got.URL.Reveal() != c.address || got.Shared() != (c.address != "") {
				t.Errorf("address %q, want %q", got.URL.Reveal(), c.address)
			}

			if c.want.LeaseTTL == 0 && c.address != "" {
				c.want.LeaseTTL, c.want.TakeoverReplay = 15*time.Second, 15*time.Minute
			}

			if got.URL = c.want.URL; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestAStoreIsPrintedWithoutItsPassword(t *testing.T) {
	section := good("store", "postgres://me:"+hidden+"@db/d?password="+hidden, "key_file", workshop(t)+"/key32")
	in := must(t, section, env())

	if s := fmt.Sprintf("%v %+v %#v", in.Store, *in, in.Store); strings.Contains(s, hidden) {
		t.Errorf("a printed store shows its password: %s", s)
	}
}

func TestAMachineWithoutANameNeedsANodeID(t *testing.T) {
	section := good("store", "postgres://db/d", "key_file", workshop(t)+"/key32")
	nameless := Sources{Env: env().Env, Hostname: func() (string, error) { return "", errors.New("none") }}

	_, _, err := FromPlugin(section, nameless)
	if err == nil || !strings.Contains(err.Error(), "node_id: missing, and this machine has no host name") {
		t.Errorf("got %v", err)
	}

	section["node_id"] = "a"
	must(t, section, nameless)
}

func TestTheKeysOfTheStoreAreRefusedInATenantsFile(t *testing.T) {
	for _, key := range append([]string{"store"}, sharedKeys...) {
		for _, place := range []string{"defaults:\n  %s: x\ntenants:\n  - tenant_id: a.example\n",
			"tenants:\n  - tenant_id: a.example\n    %s: x\n"} {
			path := t.TempDir() + "/tenants.yaml"
			write(t, path, fmt.Sprintf(place, key))

			_, _, err := FromPlugin(good("tenant_id", "", "tenants_file", path), env())
			if err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s in a tenants file: %v", key, err)
			}
		}
	}
}

func TestShownStoreOfSeveralHosts(t *testing.T) {
	const unreadable = "postgres://(an address that cannot be read)"

	for address, want := range map[string]string{
		"postgres://u:hunter2@a:1,b:2,c/d":            "postgres://u@a:1,b:2,c/d",
		"postgres://a,b:2,c/d":                        "postgres://a,b:2,c/d",
		"postgres://u@[::1]:1,[::2],c/d?sslmode=x":    "postgres://u@[::1]:1,[::2],c/d?sslmode=x",
		"postgres://u:hunter2,a/@b:1,c/d":             unreadable,
		"postgres://u:1,hun/ter2@b:1,c/d":             unreadable,
		"postgres://u:hunter2@b:port,c/d":             unreadable,
		"postgres://u:hunter2@a:1,b:2,c/d?password=x": "postgres://u@a:1,b:2,c/d",
	} {
		if got := ShownStore(secret.New(address)); got != want {
			t.Errorf("%s is shown as %s, want %s", address, got, want)
		}
	}

	for address, want := range map[string]string{
		"postgres://u:hunter2@a/d?pool_max_conns=9&sslmode=require": "postgres://u@a/d?sslmode=require",
		"postgres://a/d?statement_timeout=1":                        "postgres://a/d",
		"postgres://a,b:2/d?options=-c+x%3Doff&password=hunter2":    "postgres://a,b:2/d?options=-c%20x%3Doff",
		"postgres://u:hunter2@b:port,c/d":                           unreadable,
	} {
		if got := ToolStore(secret.New(address)); got != want {
			t.Errorf("%s is for the tools %s, want %s", address, got, want)
		}
	}

	if StoreHasSecret(secret.New("postgres://u@a:1,b:2,c/d")) {
		t.Error("a list of hosts is taken for a password")
	}
}
