package wiring

import (
	"path/filepath"
	"strings"
	"testing"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
)

func TestAnAddressIsShownWithoutItsSecrets(t *testing.T) {
	for address, want := range map[string]string{
		"postgres://u:hunter2@db.example:5433/d?sslmode=require": "postgres://u@db.example:5433/d?sslmode=require",
		"postgres://u@db.example/d":                              "postgres://u@db.example/d",
		"postgres://db.example/d?password=hunter2&user=u":        "postgres://db.example/d?user=u",
		"postgres://db.example/d?SSLPassword=hunter2":            "postgres://db.example/d",
		"postgres://u:hunter2%zz@db.example/d":                   "postgres://(an address that cannot be read)",
	} {
		got := config.ShownStore(secret.New(address))
		if got != want || strings.Contains(got, "hunter2") {
			t.Errorf("%s is shown as %s; want %s", address, got, want)
		}

		if has := config.StoreHasSecret(secret.New(address)); has != strings.Contains(address, "hunter2") {
			t.Errorf("%s has a secret: %t", address, has)
		}
	}
}

func TestAnInputRefusesAHalfCopiedStore(t *testing.T) {
	for name, at := range map[string]Location{
		"files":    {DataDir: filepath.Join(t.TempDir(), "data")},
		"database": {URL: pgtest.New(t).URL()},
	} {
		t.Run(name, func(t *testing.T) {
			o := StoreOptions{Location: at, Key: make([]byte, 32)}

			s, err := OpenStore(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}

			if err := s.SetDocument(t.Context(), store.CopyMark, []byte("{}")); err != nil {
				t.Fatal(err)
			}

			if err := s.Close(); err != nil {
				t.Fatal(err)
			}

			o.Inputs = true
			if _, err := OpenStore(t.Context(), o); err == nil || !strings.Contains(err.Error(), "store copy") {
				t.Errorf("opened by an input: %v", err)
			}
		})
	}
}
