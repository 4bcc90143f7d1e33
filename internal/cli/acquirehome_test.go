package cli_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// homeWorld is a provider with customers, and an empty data directory.
type homeWorld struct {
	*world
	home simulator.Tenant
	app  simulator.App
	// customers are without the provider's own tenant.
	customers []simulator.Tenant
}

func newHomeWorld(t *testing.T, customers int, change ...func(*simulator.Config)) *homeWorld {
	t.Helper()

	list := simulator.GenerateHome(customers, 2, 1)
	w := newWorld(t, append([]func(*simulator.Config){func(c *simulator.Config) {
		list[0].Apps[0].RedirectURIs = []string{"http://localhost", redirect}
		c.Tenants = list
		c.Home = list[0].ID
		c.Rotation = simulator.Strict
		c.Relationships = simulator.GenerateRelationships(list, time.Now())
	}}, change...)...)

	return &homeWorld{
		world:     w,
		home:      list[0],
		app:       list[0].Apps[0],
		customers: list[1:],
	}
}

// acquireHome are the arguments for a sign-in at home.
func (w *homeWorld) acquireHome(more ...string) []string {
	return append([]string{
		"tokens", "acquire",
		"--home-tenant-id", w.home.ID,
		"--client-id", w.app.ClientID,
		"--client-secret-file", w.file("home.secret", w.app.Secret),
		"--login-url", w.LoginURL(),
		"--graph-url", w.APIURL(simulator.Graph),
		"--partner-url", w.APIURL(simulator.Partner),
	}, more...)
}

// conf writes a configuration for all customers, and returns its path.
func (w *homeWorld) conf() string {
	w.t.Helper()

	var tenants strings.Builder

	tenants.WriteString("tenants:\n")

	for _, c := range w.customers {
		for _, api := range []string{simulator.Graph, simulator.Endpoint} {
			fmt.Fprintf(&tenants, "  - tenant_id: %s\n    tenant_name: %s\n    api: %s\n    api_url: %s\n",
				c.ID, c.Name, api, w.APIURL(api))
		}
	}

	return w.file("fluent-bit.conf",
		fmt.Sprintf("[SERVICE]\n    storage.path %s\n[INPUT]\n    Name defender\n    Threaded Off\n"+
			"    storage.type filesystem\n    client_id %s\n    client_secret_file %s\n    home_tenant_id %s\n"+
			"    login_url %s\n    graph_url %s\n    partner_url %s\n    tenants_file %s\n    data_dir %s\n[OUTPUT]\n"+
			"    Name stdout\n    Match *\n",
			filepath.Dir(w.dir), w.app.ClientID, w.file("home.secret", w.app.Secret), w.home.ID, w.LoginURL(),
			w.APIURL(simulator.Graph), w.APIURL(simulator.Partner), w.file("tenants.yaml", tenants.String()), w.dir))
}

func TestOneSignInAtHomeReachesEveryCustomer(t *testing.T) {
	for name, signIn := range map[string]func(w *homeWorld) result{
		"by the browser": func(w *homeWorld) result {
			return w.run(w.acquireHome("--tenant-name", "provider")...)
		},
		"by a pasted address": func(w *homeWorld) result { return w.pasteHome("--tenant-name", "provider") },
		"by a code of devices": func(w *homeWorld) result {
			return w.run(w.acquireHome("--tenant-name", "provider", "--device-code")...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHomeWorld(t, 12)

			r := w.expect(signIn(w), 0)
			contains(t, r.out, "provider: signed in as soc@provider.example", "stored in "+w.dir, "multi-factor yes",
				"discovery possible: 12 customers", "consent possible")
			contains(t, r.err, "a user of your own tenant "+w.home.ID)
			noSecret(t, r)

			list := parse[[]map[string]any](t, w.expect(w.run("tokens", "list", "--json"), 0).out)
			if len(list) != 1 || list[0]["tenant_id"] != w.home.ID || list[0]["home"] != true ||
				list[0]["state"] != "ok" {
				t.Errorf("listed: %v", list)
			}

			contains(t, w.expect(w.run("tokens", "list"), 0).out, "provider (home)")

			r = w.expect(w.run("tokens", "refresh", w.customers[3].ID, "--config", w.conf(), "--api", "endpoint"), 0)
			contains(t, r.out, "in tenant "+w.customers[3].ID, "the stored one stays")
		})
	}
}

// pasteHome signs in at home by --paste.
func (w *homeWorld) pasteHome(more ...string) result {
	w.t.Helper()

	args := w.acquireHome(append([]string{"--paste", "--redirect-uri", redirect}, more...)...)

	return w.pasteFor(func(u *url.URL) string { return u.String() }, args)
}

func TestASignInAtHomeSaysWhatItIsNotGoodFor(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*simulator.Config)
		says   []string
		fields map[string]any
	}{
		"no second factor": {
			func(c *simulator.Config) { c.Tenants[0].NoMFA = true },
			[]string{"warning: the sign-in had no multi-factor authentication",
				"consent not possible by Partner Center"},
			map[string]any{"mfa": "no", "consent": "refused"},
		},
		"no permission for relationships": {
			func(c *simulator.Config) { c.Tenants[0].Apps[0].Scopes = simulator.SecurityPermissions() },
			[]string{"discovery not possible", "DelegatedAdminRelationship.Read.All"},
			map[string]any{"mfa": "yes", "discovery": "refused"},
		},
		"no role to consent": {
			func(c *simulator.Config) {
				for i := range c.Relationships[:3] {
					c.Relationships[i].Roles = []string{simulator.RoleSecurityReader}
				}
			},
			[]string{"lack the role Cloud Application Administrator"},
			map[string]any{"discovery": "ok", "consent": "ok"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHomeWorld(t, 3, c.change)

			r := w.expect(w.run(w.acquireHome()...), 0)
			contains(t, r.out+r.err, c.says...)

			r = w.expect(w.run(w.acquireHome("--json")...), 0)
			got := parse[struct{ Home map[string]any }](t, r.out).Home

			for key, want := range c.fields {
				if got[key] != want {
					t.Errorf("%s is %v, want %v", key, got[key], want)
				}
			}

			noSecret(t, r)
		})
	}
}

// TestAcquireTakesItsSettingsFromTheConfiguration: by the name of a tenant, of which
// several APIs have one sign-in, or for all that need one.
func TestAcquireTakesItsSettingsFromTheConfiguration(t *testing.T) {
	w := newHomeWorld(t, 3)
	conf := w.conf()

	r := w.expect(w.run("tokens", "acquire", w.customers[1].Name, "--config", conf), 0)
	contains(t, r.out, w.home.ID+": signed in", "discovery possible: 3 customers")

	r = w.expect(w.run("tokens", "acquire", "--all", "--config", conf), 0)
	contains(t, r.err, "no tenant needs a sign-in")

	w.RevokeRefreshTokens(w.home.ID, 50173)

	// The end of the sign-in is said once, however many customers it is for.
	r = w.expect(w.run("tokens", "refresh", w.customers[1].ID, "--config", conf, "--api", "graph"), 3)
	if n := strings.Count(r.err, "sign-in has ended"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, r.err)
	}

	r = w.expect(w.run("check", conf), 3)
	contains(t, r.out, "graph and 5 more: the provider's sign-in has ended")

	// Once for the customers, once for the provider's own tenant.
	if n := strings.Count(r.out+r.err, "sign-in has ended"); n != 2 {
		t.Errorf("it is said %d times:\n%s%s", n, r.out, r.err)
	}

	r = w.expect(w.run("tokens", "acquire", "--all", "--config", conf, "--json"), 0)
	contains(t, r.err, "(1 of 1) "+w.home.ID)

	if list := parse[[]map[string]any](t, r.out); len(list) != 1 || list[0]["stored"] != true {
		t.Errorf("printed %v", list)
	}

	w.expect(w.run("tokens", "refresh", w.customers[1].ID, "--config", conf, "--api", "graph"), 0)
}

func TestAcquireAllSignsInOneAfterTheOther(t *testing.T) {
	w := newWorld(t)
	section := func(tenant, grant string) string {
		return fmt.Sprintf("[INPUT]\n    Name defender\n    Threaded Off\n    storage.type filesystem\n"+
			"    tenant_id %s\n    client_id %s\n    client_secret_file %s\n    grant %s\n    login_url %s\n"+
			"    api_url %s\n    data_dir %s\n",
			tenant, client, w.secretFile(), grant, w.LoginURL(), w.APIURL(simulator.Graph), w.dir)
	}
	conf := w.file("two.conf", "[SERVICE]\n    storage.path "+filepath.Dir(w.dir)+"\n"+
		section(contoso, "refresh_token")+section(fabrikam, "refresh_token"))

	r := w.expect(w.run("tokens", "acquire", "--all", "--config", conf), 0)
	contains(t, r.err, "(1 of 2) "+contoso, "(2 of 2) "+fabrikam)
	contains(t, r.out, contoso+": signed in as soc@contoso.example", fabrikam+": signed in as")

	contains(t, w.expect(w.run("tokens", "acquire", "--all", "--config", conf), 0).err, "no tenant needs a sign-in")

	w.RevokeRefreshTokens(fabrikam, 700082)
	w.expect(w.run("tokens", "refresh", fabrikam, "--config", conf), 3)

	// A sign-in that fails keeps no other tenant from its turn.
	w.SetTenant(fabrikam, func(t *simulator.Tenant) { t.AADSTS = 53003 })
	w.expect(w.run("tokens", "remove", contoso, "--yes"), 0)
	r = w.expect(w.run("tokens", "acquire", "--all", "--config", conf), 4)
	contains(t, r.err, "(2 of 2)", "AADSTS53003")
	contains(t, r.out, contoso+": signed in")
}

func TestHomeFlagsThatDoNotFitAreRefused(t *testing.T) {
	w := newHomeWorld(t, 1)
	conf := w.conf()

	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"home and a tenant": {w.acquireHome("--tenant-id", contoso), "do not go together"},
		"home and a region": {w.acquireHome("--region", "eu"), "do not go together"},
		"home that is no GUID": {
			[]string{"tokens", "acquire", "--home-tenant-id", "x.example", "--client-id", client},
			"is not a GUID",
		},
		"home none": {[]string{"tokens", "acquire", "--home-tenant-id", "none", "--client-id", client},
			"--tenant-id"},
		"a name and --all":      {[]string{"tokens", "acquire", "x", "--all", "--config", conf}, "not both"},
		"an unknown name":       {[]string{"tokens", "acquire", "nobody", "--config", conf}, "there is no tenant"},
		"a configuration alone": {[]string{"tokens", "acquire", "--config", conf}, "needs the NAME"},
		"two names":             {[]string{"tokens", "acquire", "a", "b", "--config", conf}, "one too many"},
		"a name and a tenant's id": {
			[]string{"tokens", "acquire", "a", "--tenant-id", contoso, "--config", conf},
			"does not go with",
		},
	} {
		t.Run(name, func(t *testing.T) {
			contains(t, w.expect(w.run(c.args...), 2).err, c.says)
		})
	}
}
