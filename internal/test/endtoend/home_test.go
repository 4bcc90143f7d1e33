package endtoend

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// homeRig is a provider whose customers are all read with one sign-in.
type homeRig struct {
	*rig
	home      simulator.Tenant
	app       simulator.App
	customers []simulator.Tenant
	file      string // the tenants file
}

// provide simulates a provider with n customers, strictly: an old refresh token dies
// when it was replaced.
func (r *rig) provide(n, alerts int) *homeRig {
	r.t.Helper()

	list := simulator.GenerateHome(n, alerts, 5)
	r.simulate(simulator.Config{
		Tenants:       list,
		Home:          list[0].ID,
		Relationships: simulator.GenerateRelationships(list, time.Now()),
		Rotation:      simulator.Strict,
		AutoConsent:   true,
		Seed:          5,
	})
	h := &homeRig{
		rig:       r,
		home:      list[0],
		app:       list[0].Apps[0],
		customers: list[1:],
		file:      filepath.Join(r.t.TempDir(), "tenants.yaml"),
	}
	h.list(h.customers)

	return h
}

// list writes a tenants file with these tenants.
func (h *homeRig) list(tenants []simulator.Tenant) {
	h.t.Helper()

	var b strings.Builder
	b.WriteString("tenants:\n")

	for _, c := range tenants {
		fmt.Fprintf(&b, "  - tenant_id: %s\n    tenant_name: %s\n    tag: defender.%s\n", c.ID, c.Name, c.Name)
	}

	h.write(b.String())
}

// write replaces the tenants file.
func (h *homeRig) write(text string) {
	h.t.Helper()

	temp := h.file + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}

	if err := os.Rename(temp, h.file); err != nil {
		h.t.Fatal(err)
	}
}

// input is the one section that reads all customers. more adds keys.
func (h *homeRig) input(more ...string) flbhost.Instance {
	keys := append([]string{
		"home_tenant_id", h.home.ID,
		"client_id", h.app.ClientID,
		"client_secret", h.app.Secret,
		"refresh_token", h.app.RefreshTokens[0],
		"tenants_file", h.file,
		"login_url", h.sim.LoginURL(),
		"api_url", h.sim.APIURL(simulator.Graph),
		"graph_url", h.sim.APIURL(simulator.Graph),
		"partner_url", h.sim.APIURL(simulator.Partner),
		"data_dir", h.data,
		"poll_interval", fmt.Sprint(setup.Size(2, 10), "s"),
		"health_interval", "1h",
		"lookback", "2d",
	}, more...)

	return flbhost.Instance{Props: flbhost.Props(keys...), Tag: "defender.home"}
}

// health is what the last health record of a tenant says.
type health struct{ status, reason, message, remedy string }

// healths are the last health records of all tenants, by the tenant's id.
func (h *homeRig) healths() map[string]health {
	h.t.Helper()

	records, err := h.host.Records()
	if err != nil {
		h.t.Fatal(err)
	}

	last := map[string]health{}

	for _, rec := range records {
		if h.alert(rec).id != "" {
			continue
		}

		m := gjson.ParseBytes(rec.JSON())
		if m.Get("mssp.kind").String() == "health" {
			last[m.Get("mssp.tenant_id").String()] = health{
				status:  m.Get("status").String(),
				reason:  m.Get("reason").String(),
				message: m.Get("message").String(),
				remedy:  m.Get("remedy").String(),
			}
		}
	}

	return last
}

// all waits until every tenant of a list has a status and a reason.
func (h *homeRig) all(tenants []simulator.Tenant, status, reason string) time.Duration {
	h.t.Helper()

	began := time.Now()

	h.until(fmt.Sprintf("%d tenants are %s %s", len(tenants), status, reason), time.Minute, func() bool {
		now := h.healths()

		return !slices.ContainsFunc(tenants, func(c simulator.Tenant) bool {
			got := now[c.ID]
			return got.status != status || got.reason != reason
		})
	})

	return time.Since(began)
}

// chain fails the test when the input asked the sign-in service too often, for a token
// that has no place there, or again with one that it had declared dead. What the command
// line asked at home meanwhile does not count.
func (h *homeRig) chain(rotations int, commands ...string) {
	h.t.Helper()

	ledger, stats := h.sim.TokenRequests(), h.sim.Requests()
	if len(commands) > 0 {
		ledger = slices.DeleteFunc(ledger, func(r simulator.TokenRequest) bool { return r.Home })
	}

	if n := ledger.MostWithin(time.Second); n > 5 {
		h.t.Errorf("%d token requests within a second", n)
	}

	if n := len(ledger.Redeemed(true)); n > rotations {
		h.t.Errorf("%d redemptions at home, want at most %d", n, rotations)
	}
	// Five may be on their way when home says that the token is dead.
	if stats.Misplaced > 0 || stats.DeadAgain > 5 {
		h.t.Errorf("%d tokens of a customer were used elsewhere, %d dead ones again", stats.Misplaced, stats.DeadAgain)
	}
}

// grow adds an alert to each tenant.
func (h *homeRig) grow(tenants []simulator.Tenant) {
	for _, c := range tenants {
		h.sim.Add(c.ID, simulator.Alert{Title: "new", Created: time.Now()})
	}
}

func TestOneSignInReadsEveryCustomer(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		h := r.provide(setup.Size(25, 300), setup.Size(10, 50))

		key := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(key, []byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"), 0o600); err != nil {
			t.Fatal(err)
		}

		began := time.Now()

		h.mustStart(h.input("key_file", key))
		h.complete(3*time.Minute, h.customers, "graph")

		took := time.Since(began)

		h.stop()

		first := h.sim.TokenRequests()
		for _, c := range h.customers {
			if n := len(first.Of(c.ID)); n != 1 {
				t.Errorf("%s: %d token requests", c.Name, n)
			}
		}

		h.mustStart(h.input("key_file", key))
		h.grow(h.customers)
		h.complete(3*time.Minute, h.customers, "graph")
		h.stop()

		all := h.sim.TokenRequests()
		if n := len(all) - len(first); n > 1 {
			t.Errorf("%d token requests after a restart", n)
		}

		h.chain(1)
		arrived, repeated := h.accounts(h.customers, "graph")
		noSecrets(t, h.rig)
		t.Logf("%d customers, %d alerts in %v, repeated %d; %d token requests, at most %d within a second, %d at home",
			len(h.customers), arrived, took.Round(time.Second), repeated, len(all), all.MostWithin(time.Second),
			len(all.Redeemed(true)))
	})
}

func TestWhatCustomersRefuseIsNamedAndStopsNoOther(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		h := r.provide(setup.Size(20, 300), setup.Size(5, 20))
		h.mustStart(h.input())
		h.complete(3*time.Minute, h.customers, "graph")

		want := map[string]string{}
		states := []string{"90099", "65001", "ended", "53003", "50076", "5000224", "forbidden"}
		reasons := []string{"consent_missing", "consent_missing", "gdap_ended", "conditional_access", "mfa_required",
			"tenant_gone", "role_missing"}

		bad, good := h.customers[:len(states)], h.customers[len(states):]
		for i, c := range bad {
			if err := h.sim.SetState(c.ID, states[i]); err != nil {
				t.Fatal(err)
			}

			h.sim.EndAccessTokens(c.ID)
			want[c.ID] = reasons[i]
		}

		began := time.Now()

		h.grow(h.customers)

		named := func() bool {
			now := h.healths()
			for id, reason := range want {
				if got := now[id]; got.status != "failing" || got.reason != reason || got.remedy == "" {
					return false
				}
			}

			return true
		}
		setup.Until(t, "all seven are named", time.Minute, named, func() string {
			return fmt.Sprint(want, "\n", h.healths(), "\n", h.logText())
		})

		took := time.Since(began)

		h.complete(time.Minute, good, "graph")

		for _, c := range bad {
			if err := h.sim.SetState(c.ID, "ok"); err != nil {
				t.Fatal(err)
			}
		}

		if setup.Long() { // the pauses after a refusal are half a minute
			h.complete(3*time.Minute, bad, "graph")
		}

		h.stop()
		h.chain(1)
		h.accounts(h.customers, "graph")

		for id, got := range h.healths() {
			if got.status != "ok" && want[id] == "" {
				t.Errorf("%s is %v", id, got)
			}
		}

		t.Logf("%d customers; all seven named after %v", len(h.customers), took.Round(time.Millisecond))
	})
}

// acquire signs in at home with the command line, beside the running input.
func (h *homeRig) acquire() {
	h.t.Helper()

	ctx, cancel := context.WithTimeout(h.t.Context(), setup.LongWait)
	defer cancel()

	cmd := exec.CommandContext(ctx, setup.CLI(h.t), "tokens", "acquire", "--device-code",
		"--home-tenant-id", h.home.ID,
		"--client-id", h.app.ClientID,
		"--login-url", h.sim.LoginURL(),
		"--graph-url", h.sim.APIURL(simulator.Graph),
		"--partner-url", h.sim.APIURL(simulator.Partner),
		"--data-dir", h.data)

	cmd.Env = append(os.Environ(), "DEFENDER_CLIENT_SECRET="+h.app.Secret)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("tokens acquire: %v\n%s", err, out)
	}
}

func TestANewSignInAtHomeBringsAllCustomersBack(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		h := r.provide(setup.Size(8, 300), 3)
		h.mustStart(h.input())
		h.complete(3*time.Minute, h.customers, "graph")

		h.sim.RevokeRefreshTokens(h.home.ID, 50173)

		for _, c := range append(h.customers, h.home) {
			h.sim.EndAccessTokens(c.ID)
		}

		named := h.all(h.customers, "failing", "chain_dead")

		var lines []string

		for _, l := range h.host.Logs() {
			if !l.Core && l.Level <= flbhost.LevelWarn && strings.Contains(l.Text, "50173") {
				lines = append(lines, l.Text)
			}
		}

		if len(lines) != 1 {
			t.Errorf("%d lines about the chain's death:\n%s", len(lines), strings.Join(lines, "\n"))
		}

		h.acquire()
		h.grow(h.customers)
		back := h.all(h.customers, "ok", "")
		// Five a second make a minute of 300 customers.
		if back > time.Minute+5*time.Second {
			t.Errorf("the last customer was back after %v", back)
		}

		h.complete(time.Minute, h.customers, "graph")
		h.stop()
		h.chain(0, "tokens acquire")
		h.accounts(h.customers, "graph")
		noSecrets(t, h.rig)
		t.Logf("%d customers: named after %v, back after %v", len(h.customers), named.Round(time.Second),
			back.Round(time.Second))
	})
}

func TestSIGKILLAroundTheHomeRotationNeverLosesTheChain(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		rng := rand.New(rand.NewPCG(3, 4))
		h := r.provide(3, 5)
		// A tenant that is home needs a token of home at every start.
		h.list(append(slices.Clone(h.customers), h.home))

		if err := h.sim.SetFaults("latency:api=login;tenant=" + h.home.ID + ";by=300ms"); err != nil {
			t.Fatal(err)
		}

		kills := setup.Size(3, 20)
		for range kills {
			before := len(h.sim.TokenRequests().Of(h.home.ID))
			h.mustStart(h.input())
			h.until("a redemption at home", time.Minute, func() bool {
				return len(h.sim.TokenRequests().Of(h.home.ID)) > before
			})
			time.Sleep(time.Duration(rng.Int64N(int64(600 * time.Millisecond))))

			if _, err := h.host.Kill(); err != nil {
				t.Fatal(err)
			}
		}

		h.mustStart(h.input())
		h.grow(h.customers)
		h.complete(time.Minute, append(slices.Clone(h.customers), h.home), "graph")
		h.stop()
		h.accounts(h.customers, "graph")

		if n := h.sim.Requests().DeadAgain; n > 0 {
			t.Errorf("%d dead tokens were used again", n)
		}

		for id, got := range h.healths() {
			if got.status == "failing" {
				t.Errorf("%s is %v", id, got)
			}
		}

		t.Logf("%d kills; answers at home %d, refused %v", kills, len(h.sim.TokenRequests().Redeemed(true)),
			slices.Collect(maps.Keys(h.sim.Requests().Refused)))
	})
}

// discovering writes a tenants file that names no tenant. Each call writes another
// comment, since a changed file makes the input ask for the customers at once.
func (h *homeRig) discovering() {
	h.write(fmt.Sprintf("# %v\ndiscover:\n  from: gdap\n  every: 1m\n  defaults:\n    tag: defender.{tenant_name}\n",
		time.Now()))
}

// lists waits until the provider's customers were asked for again. In the long form
// that is when `every` says so.
func (h *homeRig) lists() {
	h.t.Helper()

	before := h.sim.Requests().Count["discovery"]
	if !setup.Long() {
		h.discovering()
	}

	h.until("a list of the customers", 2*time.Minute, func() bool {
		return h.sim.Requests().Count["discovery"] > before
	})
}

// lines counts the lines of the log with a text.
func (h *homeRig) lines(text string) (n int) {
	for _, l := range h.host.Logs() {
		if !l.Core && strings.Contains(l.Text, text) {
			n++
		}
	}

	return n
}

func TestTheInputFollowsTheProvidersCustomers(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		h := r.provide(setup.Size(6, 50), 5)
		h.discovering()
		h.mustStart(h.input())
		h.complete(3*time.Minute, h.customers, "graph")

		changed := h.lines("the list of customers has changed")

		faults := []string{
			"vanish:api=discovery", "cut:api=discovery;at=0.5", "500:api=discovery", "junk:api=discovery;kind=json",
		}
		for _, faults := range faults[:setup.Size(0, 4)] { // the tests of instance have them every day
			if err := h.sim.SetFaults(faults); err != nil {
				t.Fatal(err)
			}

			h.lists()
		}

		if err := h.sim.SetFaults(""); err != nil {
			t.Fatal(err)
		}

		h.grow(h.customers)
		h.complete(time.Minute, h.customers, "graph")

		if n := h.lines("the list of customers has changed"); n != changed {
			t.Errorf("a list that failed changed the tenants: %d", n-changed)
		}

		app := simulator.App{ClientID: h.app.ClientID, Scopes: simulator.SecurityPermissions(), Roles: []string{}}

		added := simulator.Tenant{
			ID:        "77777777-0000-4000-8000-000000000001",
			Name:      "adventure",
			Apps:      []simulator.App{app},
			Generated: 5,
		}
		if err := h.sim.AddCustomer(added); err != nil {
			t.Fatal(err)
		}

		h.lists()
		h.complete(2*time.Minute, []simulator.Tenant{added}, "graph")

		ended := h.customers[:1]
		began := time.Now()

		h.sim.EndRelationships(ended[0].ID)
		h.all(ended, "failing", "gdap_ended")

		named := time.Since(began)

		if setup.Long() {
			h.lists()
		}

		h.grow(h.customers[1:])
		h.complete(time.Minute, h.customers[1:], "graph")
		h.stop()
		h.accounts(append(slices.Clone(h.customers), added), "graph")
		noSecrets(t, h.rig)
		t.Logf("%d customers, one added, one ended and named after %v", len(h.customers), named.Round(time.Millisecond))
	})
}
