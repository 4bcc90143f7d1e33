package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestASeedBesideTheHomeTenantIsForItsChain: a refresh token in defaults or section is
// for the sign-in that all customers share, and never for a tenant that opted out.
func TestASeedBesideTheHomeTenantIsForItsChain(t *testing.T) {
	const other = "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee"

	dir := workshop(t)
	path := filepath.Join(dir, "tenants.yaml")

	for name, c := range map[string]struct {
		section            Map
		defaults, tenant   string
		wantHome, wantSeed string
	}{
		"both in defaults": {nil, "home_tenant_id: H\n  refresh_token: 0.D", "", home, "0.D"},
		"both in the section": {Map{
			"home_tenant_id": home,
			"refresh_token":  "0.S",
		}, "api: graph", "", home, "0.S"},
		"home in the section": {Map{"home_tenant_id": home}, "refresh_token: 0.D", "", home, "0.D"},
		"seed in the section": {Map{"refresh_token": "0.S"}, "home_tenant_id: H", "", home, "0.S"},
		"an opt-out": {nil, "home_tenant_id: H\n  refresh_token: 0.D", "home_tenant_id: none", "",
			""},
		"an opt-out with its own seed": {nil, "home_tenant_id: H", "home_tenant_id: none\n    refresh_token: 0.T", "",
			"0.T"},
		"another home than the seed's": {nil, "home_tenant_id: H\n  refresh_token: 0.D", "home_tenant_id: " + other,
			other, ""},
		"no home, and an inherited seed": {nil, "refresh_token: 0.D", "", "", "0.D"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, path, fmt.Sprintf("defaults:\n  %s\ntenants:\n  - tenant_id: a.example\n    client_id: %s\n"+
				"    client_secret: x\n    %s\n", strings.ReplaceAll(c.defaults, ": H", ": "+home), app, c.tenant))

			section := Map{"tenants_file": path}
			for key, value := range c.section {
				section[key] = value
			}

			got := must(t, section, env()).Tenants[0]
			if string(got.HomeTenantID) != c.wantHome || got.RefreshToken.Reveal() != c.wantSeed {
				t.Errorf("home %q, seed %q; want %q, %q", got.HomeTenantID, got.RefreshToken.Reveal(), c.wantHome,
					c.wantSeed)
			}
		})
	}
}
