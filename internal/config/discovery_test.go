package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/grant"
)

const (
	fabrikam = "99999999-8888-7777-6666-555555555556"
	// discovered is a tenants file without listed tenants.
	discovered = "defaults:\n  client_id: " + app + "\n  client_secret: x\n  home_tenant_id: " + home + "\ndiscover:\n"
)

// brokenDiscoveries are tenants files with what is wrong in their part discover.
func brokenDiscoveries() map[string]string {
	return map[string]string{
		"discover a list":             discovered + "  - gdap\n",
		"discover misspelt":           "dicsover:\n  from: gdap\n" + minimal,
		"discover misspelt key":       discovered + "  evry: 1h\n  on-vanish: keep\n  colour: blue\n",
		"discover from elsewhere":     discovered + "  from: gdpa\n",
		"discover too often":          discovered + "  every: 30s\n",
		"discover too seldom":         discovered + "  every: 30d\n",
		"discover never":              discovered + "  every: often\n",
		"discover every a list":       discovered + "  every: [1h]\n",
		"discover include a word":     discovered + "  include: Contoso*\n",
		"discover include a mapping":  discovered + "  include:\n    - {a: b}\n    - \"\"\n    - ${NOWHERE}\n",
		"discover defaults a list":    discovered + "  defaults: [api]\n",
		"discover defaults misspelt":  discovered + "  defaults: {pol_interval: 1m}\n",
		"discover defaults an id":     discovered + "  defaults: {tenant_id: a.example, tenant_name: b}\n",
		"discover defaults a value":   discovered + "  defaults: {poll_interval: often}\n",
		"discover defaults data_dir":  discovered + "  defaults: {data_dir: /x}\n",
		"discover tag, other words":   discovered + "  defaults: {tag: \"d.{tenant}\"}\n",
		"discover tag, other letters": discovered + "  defaults: {tag: \"d {tenant_id}\"}\n",
		"discover on_vanish":          discovered + "  on_vanish: stpo\n",
		"discover without home":       "discover:\n  every: 1h\n" + minimal,
		"discover, home none":         discovered + "  defaults: {home_tenant_id: none}\n",
		"discover, home a domain":     discovered + "  defaults: {home_tenant_id: a.example}\n",
		"discover without client_id":  "discover:\n  defaults: {home_tenant_id: " + home + ", grant: refresh_token}\n",
	}
}

// discoveredIn returns what a tenants file becomes that discovers these customers.
func discoveredIn(t *testing.T, text string, section Map, customers ...Customer) (*Input, []Tenant) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	write(t, path, text)
	section["tenants_file"] = path
	in := must(t, section, env("WHO", "contoso"))

	tenants, err := in.Discovery.Tenants(customers)
	if err != nil {
		t.Fatal(err)
	}

	return in, tenants
}

func TestDiscoveryHasTheDocumentedDefaults(t *testing.T) {
	for name, text := range map[string]string{
		"nothing under it": discovered,
		"an empty mapping": discovered[:len(discovered)-1] + " {}\n",
		"no tenants":       discovered + "tenants:\n",
		"an empty list":    discovered + "tenants: []\n",
	} {
		t.Run(name, func(t *testing.T) {
			in, tenants := discoveredIn(t, text, Map{}, Customer{contoso, "Contoso"})

			d := in.Discovery
			if d.Every != time.Hour || d.OnVanish != KeepVanished || d.Home.HomeTenantID != home ||
				len(in.Tenants) != 0 {
				t.Errorf("%+v", d)
			}

			if len(tenants) != 1 || tenants[0].TenantID != contoso || tenants[0].TenantName != "Contoso" ||
				tenants[0].HomeTenantID != home || tenants[0].Tag != "" || tenants[0].API != alert.Graph ||
				tenants[0].DataDir != in.DataDir || tenants[0].Grant != grant.RefreshToken {
				t.Errorf("%+v", tenants)
			}
		})
	}
}

func TestWhichSettingOfADiscoveredTenantWins(t *testing.T) {
	in, tenants := discoveredIn(t, discovered+`  every: 90
  on_vanish: stop
  defaults:
    api: endpoint
    poll_interval: 3m
    state_id: ${WHO}
    refresh_token: 0.AXoAseed-of-home
tenants:
  - tenant_id: `+fabrikam+`
    tenant_name: listed
`, Map{"poll_interval": "9m", "overlap": "7m", "graph_url": "http://127.0.0.1:9"},
		Customer{contoso, "Contoso"}, Customer{fabrikam, "Fabrikam"})

	if len(tenants) != 1 || len(in.Tenants) != 1 || !slices.Equal(in.Discovery.Listed(), []alert.TenantID{fabrikam}) {
		t.Fatalf("a listed tenant wins: %+v", tenants)
	}

	got := tenants[0]
	if got.API != alert.Endpoint || got.PollInterval != 3*time.Minute || got.Overlap != 7*time.Minute ||
		got.StateID != "contoso" || got.RefreshToken.IsZero() || got.GraphURL != "http://127.0.0.1:9" {
		t.Errorf("%+v", got)
	}

	if in.Discovery.Every != 90*time.Second || in.Discovery.OnVanish != StopVanished {
		t.Errorf("%+v", in.Discovery)
	}

	if listed := in.Tenants[0]; listed.API != alert.Graph || listed.PollInterval != 9*time.Minute {
		t.Errorf("discover.defaults are for discovered tenants only: %+v", listed)
	}

	if s := fmt.Sprintf("%+v %#v %+v", in, *in, in.Discovery); strings.Contains(s, "seed-of-home") {
		t.Error("a printed input shows a secret")
	}
}

func TestPatternsChooseCustomersByNameOrID(t *testing.T) {
	cases := map[string]struct {
		lines string
		want  bool
	}{
		"all":                   {"", true},
		"by name":               {"  include: [\"Contoso Ltd\"]\n", true},
		"in any case":           {"  include: [\"CONTOSO*\"]\n", true},
		"by id":                 {"  include: [" + strings.ToUpper(contoso) + "]\n", true},
		"by part of an id":      {"  include: [\"99999999-*-555555555555\"]\n", true},
		"stars everywhere":      {"  include: [\"*ontos*td*\"]\n", true},
		"another":               {"  include: [Fabrikam]\n", false},
		"a part is no match":    {"  include: [Contoso]\n", false},
		"the end must match":    {"  include: [\"*Limited\"]\n", false},
		"the order matters":     {"  include: [\"*Ltd*Contoso*\"]\n", false},
		"no character twice":    {"  include: [\"Contoso Lt*td\"]\n", false},
		"excluded":              {"  exclude: [\"contoso*\"]\n", false},
		"exclude goes first":    {"  include: [\"*\"]\n  exclude: [" + contoso + "]\n", false},
		"another is excluded":   {"  exclude: [Fabrikam]\n", true},
		"one of several":        {"  include: [Fabrikam, \"${WHO}*\"]\n", true},
		"an empty list is none": {"  include: []\n", true},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, tenants := discoveredIn(t, discovered+c.lines, Map{}, Customer{contoso, "Contoso Ltd"})
			if got := len(tenants) == 1; got != c.want {
				t.Errorf("covered: %v", got)
			}
		})
	}
}

func TestATagOfADiscoveredTenantIsSafe(t *testing.T) {
	for _, c := range []struct{ tag, name, want string }{
		{"defender.{tenant_id}", "x", "defender." + contoso},
		{"d.{tenant_name}.a", "Contoso", "d.Contoso.a"},
		{"d.{tenant_name}", "Söhne & Töchter (GmbH)*", "d.S_hne_T_chter_GmbH_"},
		{"d.{tenant_name}", "株式会社", "d." + contoso},
		{"d.{tenant_name}", "{tenant_id}", "d._tenant_id_"},
		{"d.x", "y", "d.x"},
		{"${WHO}.{tenant_name}", "A.b-c_d", "contoso.A.b-c_d"},
	} {
		_, tenants := discoveredIn(t, discovered+"  defaults: {tag: \""+c.tag+"\"}\n", Map{}, Customer{contoso, c.name})
		if tenants[0].Tag != c.want {
			t.Errorf("%q of %q: %q, want %q", c.tag, c.name, tenants[0].Tag, c.want)
		}
	}
}

// FuzzTag: whatever a customer is called, its tag has safe characters only.
func FuzzTag(f *testing.F) {
	f.Add("d.{tenant_name}", "Contoso & Söhne")
	f.Fuzz(func(t *testing.T, tag, name string) {
		if strings.ContainsFunc(tag, func(c rune) bool { return !inTag(c) && c != '{' && c != '}' }) {
			return
		}

		got := tagOf(tag, Customer{TenantID: contoso, Name: name})
		if !strings.ContainsAny(tag, "{}") && got != tag {
			t.Errorf("%q became %q", tag, got)
		}

		if strings.Contains(tag, "{tenant_name}") && strings.ContainsFunc(strings.Trim(got, "{}"), func(c rune) bool {
			return !inTag(c) && c != '{' && c != '}'
		}) {
			t.Errorf("%q of %q: %q", tag, name, got)
		}
	})
}

// FuzzPattern: a text matches itself and anything that a star stands for.
func FuzzPattern(f *testing.F) {
	f.Add("contoso", "ltd")
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.Contains(a+b, "*") {
			return
		}

		for _, pattern := range []string{a + b, a + "*", "*" + b, "*", a + "*" + b, "*" + a + "*"} {
			if !matchPattern(pattern, a+b) {
				t.Errorf("%q does not match %q", pattern, a+b)
			}
		}
	})
}
