package config

import (
	"path/filepath"
	"strings"
	"testing"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config/fluentbit"
)

func TestFaultsOfAParsedSectionNameFileAndLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fluent-bit.conf")
	write(
		t,
		path,
		"[INPUT]\n    Name defender\n    Tenant_Id ${TENANT}\n    Client_Id "+app+
			"\n    client_secret ${SECRET}\n    api grapf\n    tennant_name x\n",
	)

	f, err := fluentbit.Load(path, func(name string) (string, bool) { return "a.example", name == "TENANT" })
	if err != nil {
		t.Fatal(err)
	}

	section := f.Of("input")[0]
	_, _, err = FromPlugin(section, env())
	got := strings.ReplaceAll(err.Error(), path, "F")

	want := "F:5: client_secret (tenant a.example): no credential of the application is set; add client_secret_file, " +
		"client_certificate_file or client_secret, or for a public client grant refresh_token; the environment " +
		"variable SECRET in it is not set\n" +
		"F:6: api (tenant a.example): \"grapf\" is unknown; did you mean graph? " +
		"use one of " + strings.Join(alert.APINames(), ", ")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	var misspelt []string

	for _, p := range section.Props {
		if f := UnknownKey(p.Key); f != nil {
			misspelt = append(misspelt, f.Error())
		}
	}

	if len(misspelt) != 1 || misspelt[0] != "tennant_name: unknown key; did you mean tenant_name?" {
		t.Errorf("misspelt: %q", misspelt)
	}
}
