package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/golden"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// refusals are what a customer may refuse with, in the order of the page, and who acts.
var refusals = []struct{ state, sees, acts string }{
	{"unconsented", "AADSTS90099, 700016", "provider or customer"},
	{"65001", "AADSTS65001, 650051", "provider or customer"},
	{"ended", "AADSTS50020, 50034, 50177, 90072", "provider and customer"},
	{"50178", "AADSTS50178, 50158", "customer"},
	{"53003", "AADSTS53003, 53000, 530003, 530036", "customer"},
	{"50076", "AADSTS50076, 50078, 50079, 70043", "customer or provider"},
	{"noreader", "HTTP 403", "provider and customer"},
	{"gone", "AADSTS90002, 5000224", "provider"},
}

// oneSignIn is a provider whose customers have the ids of the page.
func oneSignIn(t *testing.T, names ...string) *homeWorld {
	t.Helper()

	list := simulator.GenerateHome(len(names), 2, 1)

	list[0].ID, list[0].Apps[0].ClientID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", client
	for i, name := range names {
		c := &list[1+i]
		c.ID = fmt.Sprintf("99999999-8888-4777-8666-5555555555%02d", 51+i)
		c.Name, c.Domain, c.Apps[0].ClientID = name, name+".example", client
	}

	w := newWorld(t, func(c *simulator.Config) {
		c.Tenants, c.Home, c.Rotation = list, list[0].ID, simulator.Strict
		for i, customer := range list[1:] {
			r := simulator.Relationship{Customer: customer.ID, AutoExtend: true, End: time.Now().AddDate(1, 6, 0)}
			if customer.Name == "northwind" {
				r.AutoExtend, r.End = false, time.Now().AddDate(0, 0, 20+i)
			}

			c.Relationships = append(c.Relationships, r)
		}
	})
	w.hide = []string{
		w.APIURL(simulator.Graph), "http://127.0.0.1:7003",
		w.APIURL(simulator.Partner), "http://127.0.0.1:7006",
		w.file("home.secret", list[0].Apps[0].Secret), "/run/secrets/mssp-app",
	}

	return &homeWorld{
		world:     w,
		home:      list[0],
		app:       list[0].Apps[0],
		customers: list[1:],
	}
}

// config writes a configuration whose tenants file has this text, and returns its path.
func (w *homeWorld) config(tenants string) (path, text string) {
	w.t.Helper()
	text = fmt.Sprintf(`[SERVICE]
    storage.path %s/chunks
[INPUT]
    Name defender
    Tag defender.customers
    Threaded Off
    storage.type filesystem
    home_tenant_id %s
    client_id %s
    client_secret_file %s
    tenants_file %s
    data_dir %s
    login_url %s
    api_url %s
    graph_url %s
    partner_url %s
[OUTPUT]
    Name stdout
    Match defender.*
    Retry_Limit no_limits
`,
		filepath.Dir(w.dir), w.home.ID, w.app.ClientID, filepath.Join(filepath.Dir(w.dir), "home.secret"),
		w.file("tenants.yaml", tenants), w.dir,
		w.LoginURL(), w.APIURL(simulator.Graph), w.APIURL(simulator.Graph), w.APIURL(simulator.Partner))

	return w.file("fluent-bit.conf", text), text
}

// TestGoldenOneSignIn goes the way of a provider from the first sign-in to alerts, and
// holds what it sees against docs/one-sign-in.md.
func TestGoldenOneSignIn(t *testing.T) {
	w := oneSignIn(t, "contoso", "fabrikam", "northwind", "tailspin")
	for name, state := range map[string]string{"fabrikam": "unconsented", "tailspin": "noreader"} {
		if err := w.SetState(name, state); err != nil {
			t.Fatal(err)
		}
	}

	parts := map[string]string{}
	show := w.shower()

	acquire := w.acquireHome()
	parts["SignIn"] = show(acquire, w.expect(w.run(acquire...), 0))

	const found = "discover:\n  from: gdap\n  every: 1h\n  defaults:\n    tag: defender.{tenant_name}\n"

	conf, text := w.config(found)
	parts["Config"], parts["Tenants"] = w.block(text), w.block(found)

	for _, step := range []struct {
		part string
		code int
		args []string
	}{
		{"Discover", 0, []string{"tenants", "discover", "--config", conf}},
		{"DryRun", 0, []string{"tenants", "consent", "--all", "--dry-run", "--config", conf}},
		{"Consent", 0, []string{"tenants", "consent", "fabrikam", "--config", conf}},
		{"Check", 4, []string{"check", conf}},
	} {
		r := w.expect(w.run(step.args...), step.code)
		parts[step.part] = show(step.args, r)
	}

	parts["Permissions"], parts["Refusals"] = permissionRows(t), refusalTable(t)

	var page strings.Builder
	if err := must(template.ParseFiles("../../testdata/cli/one-sign-in.tmpl")).Execute(&page, parts); err != nil {
		t.Fatal(err)
	}

	noSecret(t, result{out: page.String()})
	golden.File(t, "../../docs/one-sign-in.md", page.String())
}

// permissionRows returns a row for the delegated permission of each API that has one.
func permissionRows(t *testing.T) string {
	t.Helper()

	var b strings.Builder

	for _, api := range alert.APIs() {
		facts, err := api.Descriptor()
		if err != nil {
			t.Fatal(err)
		}

		p, more := facts.Permission, ", if you use it"
		if api == alert.DefaultAPI() {
			more = ""
		}

		if p.Delegated != "" {
			fmt.Fprintf(&b, "| %s | `%s` | `api %s`%s |\n", p.Service, p.Delegated, api, more)
		}
	}

	return b.String()
}

// refusalTable runs the plugin on customers of which each refuses for another reason, and
// returns what `status` says of them as a table.
func refusalTable(t *testing.T) string {
	t.Helper()

	var names []string
	for i := range refusals {
		names = append(names, fmt.Sprintf("customer%d", i))
	}

	w := oneSignIn(t, names...)

	var tenants strings.Builder
	tenants.WriteString("tenants:\n")

	for i, c := range w.customers {
		if err := w.SetState(c.ID, refusals[i].state); err != nil {
			t.Fatal(err)
		}

		fmt.Fprintf(&tenants, "  - tenant_id: %s\n    tenant_name: %s\n", c.ID, c.Name)
	}

	w.config(tenants.String())

	host, err := flbhost.Start(t.Context(), flbhost.Config{
		Plugin:     setup.Plugin(t),
		StorageDir: t.TempDir(),
		Tick:       100 * time.Millisecond,
		Instances: []flbhost.Instance{{Tag: "defender.customers", Props: flbhost.Props(
			"home_tenant_id", w.home.ID,
			"client_id", w.app.ClientID,
			"client_secret", w.app.Secret,
			"refresh_token", w.app.RefreshTokens[0],
			"tenants_file", filepath.Join(filepath.Dir(w.dir), "tenants.yaml"),
			"data_dir", w.dir,
			"login_url", w.LoginURL(),
			"api_url", w.APIURL(simulator.Graph),
			"graph_url", w.APIURL(simulator.Graph),
			"partner_url", w.APIURL(simulator.Partner),
		)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Kill()

	type row struct{ Tenant, Reason, Message, Remedy string }

	rows := map[string]row{}

	setup.Until(t, "a reason for each", 0, func() bool {
		var list []row
		if err := json.Unmarshal([]byte(w.run("status", "--json").out), &list); err != nil {
			return false
		}

		for _, r := range list {
			if r.Reason != "" {
				rows[r.Tenant] = r
			}
		}

		return len(rows) == len(names)
	}, nil)

	var b strings.Builder
	b.WriteString("| reason | you see | it says | who acts: what to do |\n| --- | --- | --- | --- |\n")

	codes := regexp.MustCompile(` \([^()]*HTTP \d+[^()]*\)$`)

	for i, c := range w.customers {
		r := rows[c.Name]
		plain := strings.NewReplacer("|", "\\|", c.ID, "*customer*", w.home.ID, "*home*", w.app.ClientID, "*client*",
			"\n", " ")
		text := fmt.Sprintf("| `%s` | %s | %s | **%s**: %s |", r.Reason, refusals[i].sees,
			plain.Replace(codes.ReplaceAllString(r.Message, "")), refusals[i].acts, plain.Replace(r.Remedy))
		b.WriteString(strings.Trim(w.block(text), "`\n") + "\n")
	}

	return strings.TrimSpace(b.String())
}

// TestCommandsOfThePageParse reads every command of the page that it does not run.
func TestCommandsOfThePageParse(t *testing.T) {
	w := newWorld(t)
	text := strings.ReplaceAll(string(must(os.ReadFile("../../docs/one-sign-in.md"))), "\\\n", " ")
	command := regexp.MustCompile(`(?m)^ *(?:\$ )?defenderctl (.*?)(?: [&>|].*)?$`)

	found := 0
	for _, m := range command.FindAllStringSubmatch(text, -1) {
		found++

		args := strings.Fields(m[1])
		if r := w.run(append(args, "--help")...); r.code != 0 || !strings.Contains(r.out, "defenderctl "+args[0]) {
			t.Errorf("defenderctl %s: exit code %d: %s", m[1], r.code, r.err)
		}
	}

	if found < 6 {
		t.Errorf("only %d commands were found", found)
	}
}
