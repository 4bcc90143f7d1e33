package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/golden"
)

const minimal = "tenants:\n  - tenant_id: a.example\n    client_id: " + app + "\n    client_secret: x\n"

// brokenTenants are tenants files with what is wrong in them; DIR stands for the
// workshop.
func brokenTenants() map[string]string {
	return map[string]string{
		"empty":                    "",
		"comments only":            "# tenants:\n",
		"a list":                   "- tenant_id: a.example\n",
		"a word":                   "contoso\n",
		"not UTF-8":                "tenants:\n- tenant_name: gr\xfc\xdfe\n",
		"a Fluent Bit file":        "pipeline:\n  inputs:\n    - name: defender\n",
		"two documents":            minimal + "---\n" + minimal,
		"tabs":                     "tenants:\n\t- tenant_id: a.example\n",
		"no tenants":               "defaults:\n  api: graph\n",
		"empty list":               "tenants: []\n",
		"tenants null":             "tenants:\n",
		"tenants a mapping":        "tenants:\n  a.example:\n    client_id: x\n",
		"tenants misspelt":         "tenant:\n  - tenant_id: a.example\n",
		"defaults a list":          "defaults:\n  - api\n" + minimal,
		"a tenant that is a word":  "tenants:\n  - a.example\n",
		"misspelt key":             minimal + "    tenant_nmae: x\n",
		"misspelt key in defaults": "defaults:\n  poll-interval: 5m\n" + minimal,
		"far from any key":         minimal + "    colour: blue\n",
		"key of Fluent Bit":        minimal + "    mem_buf_limit: 5M\n",
		"input-wide keys": "defaults:\n  data_dir: /x\n  max_concurrency: 3\n" + minimal +
			"    buffer_limit: 1M\n    health_interval: 1m\n    allow_threaded: on\n    key_file: /x\n" +
			"    metrics_listen: :1\n    metrics_token_file: /x\n    metrics_hosts: x\n    tenants_file: x\n",
		"tag in defaults":  "defaults:\n  tag: b\n" + minimal,
		"key twice":        minimal + "    api: graph\n    API: siem\n",
		"tenants twice":    minimal + minimal,
		"listed twice":     minimal + "  - tenant_id: A.EXAMPLE\n    client_id: " + app + "\n    client_secret: y\n",
		"value a list":     minimal + "    api: [graph, siem]\n",
		"value a mapping":  minimal + "    filter: {a: b}\n",
		"value binary":     minimal + "    tag: !!binary aGk=\n",
		"value of a type":  minimal + "    tag: !secret x\n",
		"key a list":       minimal + "    [a, b]: c\n",
		"merge key":        "x: &x\n  api: graph\n" + minimal + "    <<: *x\n",
		"alias of a value": minimal + "    state_id: &s x\n    tag: *s\n",
		"alias of a tenant": "tenants:\n  - &t\n    tenant_id: a.example\n    client_id: " + app +
			"\n    client_secret: x\n  - *t\n",
		"alias bomb": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c " +
			"[*b,*b,*b,*b,*b,*b,*b]\ntenants: *c\n",
		"deep nesting":          "tenants: " + strings.Repeat("[", 50000) + "\n",
		"variable not set":      minimal + "    tag: ${NOWHERE}\n",
		"variable empty":        minimal + "    tag: ${EMPTY}\n",
		"variable without name": minimal + "    tag: ${}\n",
		"variable in a secret": "tenants:\n  - tenant_id: a.example\n    client_id: " + app + "\n    client_secret: " +
			hidden + "${" + hidden + " }\n",
		"no credential":       "tenants:\n  - tenant_id: a.example\n    client_id: " + app + "\n",
		"nothing in a tenant": "tenants:\n  - {}\n",
		"fault in defaults, once": "defaults:\n  poll_interval: often\n" + minimal + "  - tenant_id: b.example\n" +
			"    client_id: " + app + "\n    client_secret: y\n",
		"fault of each tenant": "defaults:\n  page_size: 5000\n" + minimal +
			"  - tenant_id: b.example\n    api: siem\n    region: eu\n    client_id: " + app +
			"\n    client_secret: y\n",
		"secret file missing, once": "defaults:\n  client_id: " + app +
			"\n  client_secret_file: DIR/none\ntenants:\n  - tenant_id: a.example\n  - tenant_id: b.example\n",
		"secret pasted as file": "tenants:\n  - tenant_id: a.example\n    client_id: " + app +
			"\n    client_secret_file: " + hidden + "\n",
		"a refresh token of a tenant's own beside a home tenant": "defaults:\n  home_tenant_id: " + home + "\n" +
			minimal + "    refresh_token_file: DIR/token\n",
		"provider's hosts in a tenants file": minimal +
			"    graph_url: http://localhost\n    partner_url: http://localhost\n",
		"two credentials": minimal + "    client_secret_file: DIR/secret\n",
		"a tenant's name in faults": "tenants:\n  - tenant_id: a.example\n    tenant_name: Contoso Ltd\n" +
			"    client_id: " + app + "\n    client_secret: x\n    updates: perhaps\n",
	}
}

func TestGoldenFaultsOfATenantsFileNameTheLine(t *testing.T) {
	dir := workshop(t)
	files := brokenTenants()
	maps.Copy(files, brokenDiscoveries())

	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}

	slices.Sort(names)

	var out strings.Builder

	path := filepath.Join(dir, "tenants.yaml")
	for _, name := range names {
		write(t, path, strings.ReplaceAll(files[name], "DIR", dir))

		in, _, err := FromPlugin(Map{"tenants_file": path}, env("EMPTY", ""))
		if err == nil || in != nil {
			t.Errorf("%s: accepted", name)
			continue
		}

		fmt.Fprintf(&out, "## %s\n%s\n\n", name, strings.ReplaceAll(err.Error(), dir, "DIR"))

		for _, f := range Faults(err) {
			if f.Line == 0 && name != "empty" && name != "comments only" && name != "deep nesting" ||
				f.File != path ||
				f.Problem == "" ||
				f.Remedy == "" {
				t.Errorf("%s: incomplete: %+v", name, f)
			}
		}
	}

	if strings.Contains(out.String(), hidden) {
		t.Error("a message shows a secret")
	}

	golden.File(t, "../../testdata/config/tenants-faults.golden", out.String())
}

// threeTenants is a tenants file whose files are those of dir.
func threeTenants(dir string) string {
	const text = `
defaults:
  api: graph
  client_id: ` + app + `
  client_secret_file: DIR/secret
  poll_interval: 5m
  page_size: 100
tenants:
  - tenant_id: Contoso.OnMicrosoft.com
    tenant_name: contoso
    tag: defender.${CUSTOMER}
  - TENANT_ID: ` + contoso + `
    Tenant_Name: fabrikam
    api: siem
    region: EU
    page_size:            # nothing: back to the API's own
    poll_interval: 90
    client_certificate_file: DIR/both.pem
  - tenant_id: ` + contoso + `
    state_id: "007"
    updates: off
`

	return strings.ReplaceAll(text, "DIR", dir)
}

func TestATenantGoesBeforeDefaultsBeforeSection(t *testing.T) {
	dir := workshop(t)
	path := filepath.Join(dir, "tenants.yaml")

	write(t, path, threeTenants(dir)+"    state_id_unused: &x y\n")

	if _, _, err := FromPlugin(Map{"tenants_file": path}, env()); err == nil {
		t.Fatal("an unknown key was accepted")
	}

	write(t, path, threeTenants(dir))

	in := must(
		t,
		Map{
			"tenants_file":    path,
			"lookback":        "3d",
			"poll_interval":   "1h",
			"client_secret":   hidden,
			"max_concurrency": "2",
		},
		env("CUSTOMER", "contoso"),
	)
	if len(in.Tenants) != 3 {
		t.Fatalf("got %+v", in)
	}

	fields{"MaxConcurrency": 2, "TenantsFile": path}.check(t, in)

	for i, want := range []fields{
		{
			"TenantID":              "contoso.onmicrosoft.com",
			"TenantName":            "contoso",
			"Tag":                   "defender.contoso",
			"PollInterval":          5 * time.Minute,
			"Lookback":              72 * time.Hour,
			"PageSize":              100,
			"ClientSecretFile":      dir + "/secret",
			"ClientSecret.IsZero()": true,
		},
		{
			"API":                   alert.SIEM,
			"APIURL":                "https://wdatp-alertexporter-eu.windows.com",
			"PageSize":              0,
			"PollInterval":          90 * time.Second,
			"ClientCertificateFile": dir + "/both.pem",
			"ClientSecretFile":      "",
			"Endpoint.V1":           true,
			"Region":                "eu",
		},
		{"StateID": "007", "Updates": false, "TenantName": contoso, "Tag": ""},
	} {
		want.check(t, &in.Tenants[i])
	}

	if s := fmt.Sprintf("%+v %#v %v", in, *in, in.section); strings.Contains(s, hidden) {
		t.Error("a printed input shows a secret")
	}
}

func TestOneTenantThroughSeveralAPIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	write(
		t,
		path,
		"defaults: {tenant_id: a.example, tenant_name: A, client_id: "+app+
			", client_secret: x}\ntenants:\n- api: graph\n- api: endpoint\n- {api: graph, state_id: two}\n"+
			"- tenant_id: b.example\n",
	)

	in, warnings, err := FromPlugin(Map{"tenants_file": path}, env())
	if err != nil || len(in.Tenants) != 4 || in.Tenants[2].StateID != "two" || in.Tenants[3].TenantName != "A" {
		t.Fatalf("got %+v, %v", in, err)
	}

	if len(warnings) != 1 ||
		!strings.Contains(
			warnings[0].String(),
			"tenant_name (tenant A): names more than one tenant, a.example and b.example",
		) {
		t.Errorf("got %v", warnings)
	}
}

func TestVariablesAreExpandedOnce(t *testing.T) {
	f := &tenantsReader{builder: &builder{sources: env("A", "1", "LOOP", "${A}", "EMPTY", "", "D.x", "dot")}}
	cases := map[string]string{
		"plain":         "plain",
		"${A}":          "1",
		"x${A}y${A}z":   "x1y1z",
		"${LOOP}":       "${A}",
		"${NONE:-d}":    "d",
		"${EMPTY:-d}":   "d",
		"${A:-d}":       "1",
		"${NONE:-}":     "",
		"${NONE:-a:-b}": "a:-b",
		"${D.x}":        "dot",
		"$A":            "$A",
		"${A":           "${A",
		"a}b":           "a}b",
		"$${A}":         "$1",
	}

	for in, want := range cases {
		if got, problem, _ := f.expand(in, false); got != want || problem != "" {
			t.Errorf("%q became %q (%s), want %q", in, got, problem, want)
		}
	}
}

func TestALargeTenantsFileIsReadAndAnOversizedOneRefused(t *testing.T) {
	dir := workshop(t)
	path := filepath.Join(dir, "tenants.yaml")

	var b strings.Builder
	fmt.Fprintf(&b, "defaults:\n  client_id: %s\n  client_secret_file: %s/secret\ntenants:\n", app, dir)

	for i := range 2000 {
		fmt.Fprintf(&b, "  - tenant_id: t%d.example\n", i)
	}

	write(t, path, b.String())

	if in := must(t, Map{"tenants_file": path}, env()); len(in.Tenants) != 2000 {
		t.Errorf("read %d tenants", len(in.Tenants))
	}

	for i := range 2000 {
		fmt.Fprintf(&b, "  - unknown%d: x\n", i)
	}

	write(t, path, b.String())

	if _, _, err := FromPlugin(Map{"tenants_file": path}, env()); len(Faults(err)) != maxFaults+1 {
		t.Errorf("%d faults, want %d and one that says there are more", len(Faults(err)), maxFaults)
	}

	write(t, path, strings.Repeat("#", maxTenantsFile+1))

	if _, _, err := FromPlugin(Map{"tenants_file": path}, env()); err == nil ||
		!strings.Contains(err.Error(), "too large") {
		t.Errorf("got %v", err)
	}
}
