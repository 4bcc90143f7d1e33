package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/golden"
	"fluent-bit-defender/internal/testbed/simulator"
)

// signedIn is a provider with customers who has signed in at home.
func signedIn(t *testing.T, customers int, change ...func(*simulator.Config)) *homeWorld {
	t.Helper()
	w := newHomeWorld(t, customers, change...)
	w.expect(w.run(w.acquireHome()...), 0)

	return w
}

// provided are the arguments of a command, with the provider's settings as flags.
func (w *homeWorld) provided(args ...string) []string {
	return append(args,
		"--home-tenant-id", w.home.ID,
		"--client-id", w.app.ClientID,
		"--client-secret-file", w.file("home.secret", w.app.Secret),
		"--login-url", w.LoginURL(),
		"--api-url", w.APIURL(simulator.Graph),
		"--graph-url", w.APIURL(simulator.Graph),
		"--partner-url", w.APIURL(simulator.Partner),
	)
}

// state puts a customer into a state.
func (w *homeWorld) state(customer int, state string) {
	w.t.Helper()

	if err := w.SetState(w.customers[customer].ID, state); err != nil {
		w.t.Fatal(err)
	}
}

func TestGoldenDiscover(t *testing.T) {
	w := signedIn(t, 10)
	w.state(1, "noreader")
	w.state(2, "ended")
	w.state(3, "90099")
	w.state(4, "53003")

	day := regexp.MustCompile(`\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?`)
	folds := regexp.MustCompile(`\n    (\S)`) // lines that were broken
	ids := regexp.MustCompile(`(trace|correlation) id [0-9a-f-]+|[0-9a-f]{8}-[0-9a-f-]{27}`)
	clean := func(s string) string {
		if !strings.HasPrefix(s, "[") {
			s = folds.ReplaceAllString(s, " $1")
		}

		s = ids.ReplaceAllString(day.ReplaceAllString(s, "DATE"), "ID")

		return strings.NewReplacer(w.dir, "DIR", w.LoginURL(), "LOGIN").Replace(s)
	}

	var out strings.Builder

	for _, c := range []struct {
		args string
		code int
	}{{"", 0}, {"--csv", 0}, {"--probe", 4}, {"--probe --json", 4}} {
		r := w.expect(w.run(w.provided(append([]string{"tenants", "discover"}, strings.Fields(c.args)...)...)...),
			c.code)
		noSecret(t, r)
		out.WriteString("## tenants discover " + c.args + "\n" + clean(r.out) + "\n")
	}

	golden.File(t, "../../testdata/cli/discover.golden", out.String())
}

func TestDiscoverTriesEachAPIOfTheConfiguration(t *testing.T) {
	w := signedIn(t, 2)
	w.state(0, "65001")
	r := w.expect(w.run("tenants", "discover", "--probe", "--json", "--config", w.conf()), 4)

	list := parse[[]map[string]any](t, r.out)
	if len(list) != 2 || list[0]["consent"] != "missing" || list[0]["reason"] != "consent_missing" ||
		list[0]["api"] != "graph refused, endpoint refused" || list[0]["remedy"] == "" ||
		list[1]["consent"] != "ok" || list[1]["api"] != "graph ok, endpoint ok" || list[1]["reason"] != "" {
		t.Errorf("%v", list)
	}

	end, err := time.Parse(time.RFC3339, list[0]["relationship_end"].(string))
	if err != nil || end.Before(time.Now()) || list[0]["auto_extend"] != true {
		t.Errorf("%v, %v", list[0], err)
	}
}

func TestNoConsentIsAskedForWhereItIsThere(t *testing.T) {
	w := signedIn(t, 2)
	w.state(1, "90099")

	for _, c := range w.customers[:2] {
		w.SetRelationships(c.ID, func(r *simulator.Relationship) {
			r.Roles = []string{simulator.RoleSecurityReader}
		})
	}

	const byLink = "consent by the admin consent link: the relationship has no role for tenants consent"

	list := parse[[]map[string]any](t,
		w.expect(w.run(w.provided("tenants", "discover", "--json")...), 0).out)
	if len(list) != 2 || list[0]["remedy"] != byLink || list[1]["remedy"] != byLink {
		t.Errorf("without a try: %v", list)
	}

	list = parse[[]map[string]any](t,
		w.expect(w.run(w.provided("tenants", "discover", "--probe", "--json")...), 4).out)
	if len(list) != 2 || list[0]["consent"] != "ok" || list[0]["remedy"] != "" ||
		list[1]["consent"] != "missing" || list[1]["remedy"] == "" {
		t.Errorf("after a try: %v", list)
	}
}

func TestDiscoverWritesATenantsFileOnce(t *testing.T) {
	w := signedIn(t, 4)
	path := filepath.Join(filepath.Dir(w.dir), "new.yaml")
	discover := w.provided("tenants", "discover", "--write", path)

	r := w.expect(w.run(discover...), 0)
	contains(t, r.err, "4 tenants added")

	first, err := os.ReadFile(path)
	if err != nil || strings.Count(string(first), "tenant_id: ") != 4 ||
		strings.Count(string(first), "tenant_name: ") != 4 {
		t.Fatalf("%s, %v", first, err)
	}

	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	w.expect(w.run(discover...), 0)

	if second, err := os.ReadFile(path); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the second time became\n%s\n%v", second, err)
	}

	// An ended relationship is remarked, a new one added, and a tenant of its own left.
	commented := "# ours\ndefaults: {api: graph} # all\n" +
		string(first) + "  # the last one\n  - tenant_id: " + contoso +
		" # not ours\n    home_tenant_id: none\n\n# end\n"
	if err := os.WriteFile(path, []byte(commented), 0o640); err != nil {
		t.Fatal(err)
	}

	w.state(1, "ended")

	added, err := w.AddGenerated("newcomer", 1)
	if err != nil {
		t.Fatal(err)
	}

	contains(t, w.expect(w.run(discover...), 0).err, "1 tenants added, 1 marked")

	third, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	contains(t, string(third), "# ours", "# the last one", "# not ours home_tenant_id: none",
		"# defenderctl: no relationship in force leads to this customer", "- tenant_id: "+w.customers[1].ID,
		"- tenant_id: "+added, "tenant_name: newcomer")

	if strings.Count(string(third), "# defenderctl:") != 1 {
		t.Errorf("remarks:\n%s", third)
	}

	w.expect(w.run(discover...), 0)

	if fourth, err := os.ReadFile(path); err != nil || !bytes.Equal(third, fourth) {
		t.Errorf("the second time became\n%s\n%v", fourth, err)
	}
}

func TestABadListWritesNothing(t *testing.T) {
	w := signedIn(t, 1)
	path := w.file("tenants.yaml", "tenants:\n  - tenant_id: "+w.customers[0].ID+"\n")
	before, _ := os.ReadFile(path)

	w.state(0, "ended")
	r := w.run(w.provided("tenants", "discover", "--write", path)...)
	contains(t, w.expect(r, 1).err, "not changed")

	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("became\n%s\n%v", after, err)
	}

	broken := w.file("broken.yaml", "tenants: {a: b}\n")
	w.state(0, "ok")
	contains(t, w.expect(w.run(w.provided("tenants", "discover", "--write", broken)...), 1).err, "broken.yaml")
}

func TestDiscoverSaysWhatIsMissing(t *testing.T) {
	w := newHomeWorld(t, 1)
	contains(t, w.expect(w.run("tenants", "discover"), 2).err, "--config FILE, or --home-tenant-id")
	contains(t, w.expect(w.run("tenants", "discover", "--home-tenant-id", w.home.ID), 2).err, "there is no tenant")
	contains(t, w.expect(w.run(w.provided("tenants", "discover")...), 3).err, "tokens acquire")
	conf := w.file("plain.yaml", "tenants:\n  - tenant_id: a.example\n    client_id: "+client+
		"\n    client_secret: x\n")
	contains(t, w.expect(w.run("tenants", "discover", "--config", conf), 2).err, "home_tenant_id")
}

func TestConsentMakesANewCustomerReadable(t *testing.T) {
	w := signedIn(t, 2)

	added, err := w.AddGenerated("newcomer", 1)
	if err != nil {
		t.Fatal(err)
	}

	before := parse[[]map[string]any](t,
		w.expect(w.run(w.provided("tenants", "discover", "--probe", "--json")...), 4).out)
	if len(before) != 3 || before[1]["tenant_id"] != added || before[1]["consent"] != "missing" {
		t.Fatalf("%v", before)
	}

	r := w.expect(w.run(w.provided("tenants", "consent", "newcomer", "--dry-run")...), 0)
	contains(t, r.out, "would consent", "Microsoft Graph SecurityAlert.Read.All")
	r = w.expect(w.run(w.provided("tenants", "consent", "newcomer")...), 0)
	contains(t, r.out, "consented")
	contains(t, w.expect(w.run(w.provided("tenants", "consent", added)...), 0).out, "there before")
	w.expect(w.run(w.provided("tenants", "discover", "--probe")...), 0)
	noSecret(t, r)
}

func TestConsentForTheAPIsOfTheConfiguration(t *testing.T) {
	w := signedIn(t, 2)
	r := w.expect(w.run("tenants", "consent", "--all", "--dry-run", "--json", "--config", w.conf()), 0)

	list := parse[[]map[string]any](t, r.out)
	if len(list) != 2 || len(list[0]["permissions"].([]any)) != 2 || list[0]["result"] != "would consent" {
		t.Errorf("%v", list)
	}
}

func TestWithoutARoleConsentIsALink(t *testing.T) {
	w := signedIn(t, 2)
	w.SetRelationships(w.customers[0].ID, func(r *simulator.Relationship) {
		r.Roles = []string{simulator.RoleSecurityReader}
	})
	r := w.expect(w.run(w.provided("tenants", "consent", "--all")...), 4)
	contains(t, r.out, "/"+w.customers[0].ID+"/adminconsent?client_id="+w.app.ClientID, "link",
		"Application Administrator")
}

func TestConsentAsksForASecondFactorOnce(t *testing.T) {
	w := signedIn(t, 3, func(c *simulator.Config) { c.Tenants[0].NoMFA = true })

	r := w.expect(w.run(w.provided("tenants", "consent", "--all", "--json")...), 3)
	for _, row := range parse[[]map[string]any](t, r.out) {
		if row["reason"] != "mfa_required" || row["link"] != nil {
			t.Errorf("%v", row)
		}
	}
}

func TestConsentNeedsNames(t *testing.T) {
	w := signedIn(t, 2)
	contains(t, w.expect(w.run(w.provided("tenants", "consent")...), 2).err, "--all")
	contains(t, w.expect(w.run(w.provided("tenants", "consent", "nobody")...), 2).err, w.customers[0].Name)
	contains(t, w.expect(w.run("tenants", "disocver"), 2).err, "did you mean discover?")
}

// discoverConf writes a configuration that discovers its tenants, and returns its path.
func (w *homeWorld) discoverConf(more string) string {
	w.t.Helper()

	conf, err := os.ReadFile(w.conf())
	if err != nil {
		w.t.Fatal(err)
	}

	w.file("tenants.yaml", "discover:\n  every: 1h\n  defaults: {api_url: \""+w.APIURL(simulator.Graph)+"\"}\n"+more)

	return w.file("fluent-bit.conf", string(conf))
}

func TestCheckNamesWhatIsWrongWithRelationships(t *testing.T) {
	w := signedIn(t, 3)
	w.SetRelationships(w.customers[0].ID, func(r *simulator.Relationship) {
		r.AutoExtend, r.End = false, time.Now().AddDate(0, 0, 59)
	})
	w.state(1, "noreader")
	w.SetTenant(w.customers[2].ID, func(t *simulator.Tenant) { t.Cloud = "gcchigh" })

	for name, conf := range map[string]string{"discovered": w.discoverConf(""), "listed": w.conf()} {
		r := w.run("check", conf, "--json")
		if r.code != 4 {
			t.Fatalf("%s: exit code %d\n%s%s", name, r.code, r.out, r.err)
		}

		got := parse[struct {
			Tenants []struct {
				TenantID string `json:"tenant_id"`
				Warning  string
				End      string `json:"relationship_end"`
				Code     int    `json:"exit_code"`
			}
			Homes []struct {
				MFA    string
				Listed int
				Code   int `json:"exit_code"`
			}
		}](t, r.out)
		if len(got.Homes) != 1 || got.Homes[0].MFA != "yes" || got.Homes[0].Listed != 3 || got.Homes[0].Code != 0 {
			t.Errorf("%s: %+v", name, got.Homes)
		}

		all := map[string]string{}
		for _, v := range got.Tenants {
			all[v.TenantID] += v.Warning
		}

		for i, want := range []string{"is not extended by itself", "Security Reader", "set cloud gcchigh"} {
			if !strings.Contains(all[w.customers[i].ID], want) {
				t.Errorf("%s: %q does not say %q", name, all[w.customers[i].ID], want)
			}
		}
	}

	contains(t, w.run("check", w.discoverConf("  exclude: [\"*\"]\n")).out, "HOME TENANT", "yes")
}

func TestCheckWarnsOfASignInWithoutMFA(t *testing.T) {
	w := signedIn(t, 1, func(c *simulator.Config) { c.Tenants[0].NoMFA = true })

	r := w.run("check", w.discoverConf(""))
	if r.code == 0 {
		t.Error("exit code 0")
	}

	contains(t, r.out, "no multi-factor authentication", "tokens acquire --home-tenant-id")
}

func TestCheckSaysWhyNobodyIsDiscovered(t *testing.T) {
	w := signedIn(t, 1)
	w.state(0, "ended")
	contains(t, w.expect(w.run("check", w.discoverConf("")), 1).out, "no relationship in force")
}

func TestTheCloudOfATenantWithoutHomeIsCheckedToo(t *testing.T) {
	w := newWorld(t)
	w.SetTenant(contoso, func(t *simulator.Tenant) { t.Cloud = "gcc" })
	conf := w.file("tenants.yaml", "tenants:\n  - tenant_id: "+contoso+"\n    client_id: "+client+
		"\n    client_secret: "+appSecret+
		"\n    grant: client_credentials\n    login_url: "+w.LoginURL()+"\n    api_url: "+w.APIURL("graph")+"\n")
	contains(t, w.expect(w.run("check", conf), 1).out, "the tenant is in the cloud gcc, and `cloud` is commercial")
}
