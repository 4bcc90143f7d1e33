package simulator_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/testbed/simulator"
)

func TestServeForCLI(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	s, config, err := simulator.ServeForCLI(ctx, simulator.CLIOptions{
		Tenants: 5,
		Alerts:  10,
		Seed:    3,
		Trickle: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}

	if n := strings.Count(config, "[INPUT]"); n != 5 {
		t.Errorf("%d inputs", n)
	}

	for _, want := range []string{
		"Name                 defender", "Threaded             Off", "storage.type         filesystem",
		"storage.checksum     off", "Retry_Limit          no_limits",
		"login_url            " + s.LoginURL(), "api_url              " + s.APIURL(simulator.SIEM),
		"api                  incidents", "grant                refresh_token",
	} {
		if !strings.Contains(config, want) {
			t.Errorf("the configuration lacks %q:\n%s", want, config)
		}
	}

	first := s.TenantIDs()[0]
	for deadline := time.Now().Add(3 * time.Minute); len(s.Ledger(first, simulator.Graph).Exists) < 20; {
		if time.Now().After(deadline) {
			t.Fatal("no new alert came")
		}
	}

	cancel()

	for deadline := time.Now().Add(3 * time.Minute); ; {
		res, err := http.Get(s.LoginURL())
		if err != nil {
			break
		}

		_ = res.Body.Close()

		if time.Now().After(deadline) {
			t.Fatal("it still listens")
		}
	}

	if _, _, err := simulator.ServeForCLI(ctx, simulator.CLIOptions{Tenants: -1}); err == nil {
		t.Error("fewer than no tenants were accepted")
	}

	if _, _, err := simulator.ServeForCLI(ctx, simulator.CLIOptions{Faults: "nothing"}); err == nil {
		t.Error("a fault that is none was accepted")
	}

	if _, err := s.FluentBitConfig(simulator.ConfigOptions{API: "mail"}); err == nil {
		t.Error("an API that is none was accepted")
	}
}

// TestConfigIsOneThatTheInputTakes reads the configuration as Fluent Bit and the plugin
// do.
func TestConfigIsOneThatTheInputTakes(t *testing.T) {
	s, text, err := simulator.ServeForCLI(
		t.Context(),
		simulator.CLIOptions{Tenants: 4, Config: simulator.ConfigOptions{DataDir: t.TempDir()}},
	)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	file := filepath.Join(t.TempDir(), "fluent-bit.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	parsed, err := fluentbit.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}

	if len(parsed.Notes) > 0 {
		t.Errorf("Fluent Bit would say %v", parsed.Notes)
	}

	for _, section := range parsed.Of("input") {
		for _, p := range section.Props {
			if fault := config.UnknownKey(p.Key); fault != nil {
				t.Error(fault)
			}
		}

		if _, warnings, err := config.FromPlugin(section, config.Sources{}); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", section.Get("tenant_name"), warnings, err)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	for name, c := range map[string]simulator.Config{
		"a tenant id that is no GUID": {Tenants: []simulator.Tenant{{ID: "contoso"}}},
		"a tenant listed twice":       {Tenants: []simulator.Tenant{{ID: contoso}, {ID: strings.ToUpper(contoso)}}},
		"a public client with a secret": {Tenants: []simulator.Tenant{{ID: contoso,
			Apps: []simulator.App{{ClientID: client, Public: true, Secret: "x"}}}}},
		"an application without an id": {Tenants: []simulator.Tenant{{ID: contoso, Apps: []simulator.App{{}}}}},
		"a fault that is none":         {Faults: "nothing"},
	} {
		if _, err := simulator.New(c); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}

	s, err := simulator.New(simulator.Config{Tenants: simulator.Generate(3, 2, 1)})
	if err != nil {
		t.Fatal(err)
	}

	if err := s.Start("nowhere"); err == nil {
		t.Error("an address without a port was accepted")
	}

	if s.LoginURL() != "" || len(s.TenantIDs()) != 3 {
		t.Errorf("listens at %q with %d tenants", s.LoginURL(), len(s.TenantIDs()))
	}

	if _, err := s.FluentBitConfig(simulator.ConfigOptions{}); err == nil {
		t.Error("a configuration before it listens")
	}

	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
