package instance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/testbed/testcert"
)

// atWork returns the tenant set of a running input with one tenant.
func atWork(t *testing.T) (*tenantSet, *logQueue, config.Tenant) {
	t.Helper()
	sim, customers := simulated(t, 1, 1)
	h := &fakeHost{keys: section(sim, customers[0], filepath.Join(t.TempDir(), "state"))}

	cfg, _, err := config.FromPlugin(h, config.Sources{})
	if err != nil {
		t.Fatal(err)
	}

	lines := newLogQueue(h)

	c, err := newResources().assemble(cfg, delivery.Sure, lines.logger())
	if err != nil {
		t.Fatal(err)
	}

	c.input.Start()
	t.Cleanup(func() {
		c.input.Stop(context.Background())
		c.end(context.Background())
	})

	return c, lines, cfg.Tenants[0]
}

// counts returns how many units share the limiter of each application.
func (s *resources) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()

	m := make(map[string]int)
	for k, g := range s.limiters {
		m[string(k.clientID)] = g.units
	}

	return m
}

func TestAUnitIsCountedAtTheLimiterItShares(t *testing.T) {
	c, _, tenant := atWork(t)
	other := tenant
	other.ClientID = "another-application"
	replaceTenants(c, other)

	if m := c.shared.counts(); m[string(tenant.ClientID)] != 0 || m[string(other.ClientID)] != 1 {
		t.Errorf("after a change of client_id: %v", m)
	}

	c.release()

	if m := c.shared.counts(); m[string(tenant.ClientID)] != 0 || m[string(other.ClientID)] != 0 {
		t.Errorf("after the end: %v", m)
	}
}

func TestATenantThatCannotStartYetIsTriedAgainAndReportedOnce(t *testing.T) {
	c, lines, tenant := atWork(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	second := tenant
	second.StateID, second.CAFile = "second", ca
	replaceTenants(c, tenant, second)

	for range 3 {
		c.tryPending()
	}

	if n := len(c.input.Statuses()); n != 1 {
		t.Fatalf("%d tenants run without the file that one needs", n)
	}

	text, _ := testcert.New(t, time.Hour)
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}

	c.tryPending()

	if n := len(c.input.Statuses()); n != 2 {
		t.Errorf("%d tenants run; want 2", n)
	}

	lines.flush()

	log := lines.host.(*fakeHost).log()
	if n := strings.Count(log, "ca_file"); n != 1 {
		t.Errorf("reported %d times:\n%s", n, log)
	}
}

func TestATenantThatCouldNotStartGivesItsUnitBack(t *testing.T) {
	c, _, tenant := atWork(t)
	second := tenant
	second.StateID, second.CAFile = "second", "/does/not/exist"
	replaceTenants(c, tenant, second)
	replaceTenants(c, tenant)

	if _, err := c.shared.claim([]config.Tenant{second}); err != nil {
		t.Errorf("another input cannot have it: %v", err)
	}
}

func TestSettingsThatCannotBeUsedYetLeaveTheOldOnesInForce(t *testing.T) {
	c, _, tenant := atWork(t)
	broken := tenant
	broken.CAFile = "/does/not/exist"
	replaceTenants(c, broken)

	for key, s := range c.input.Statuses() {
		if key == tenant.Unit() && s.State == "stopped" {
			t.Error("the tenant was stopped although its new settings cannot be used")
		}
	}

	replaceTenants(c, tenant)

	if len(c.pending) != 0 || !c.entries[tenant.Unit()].tenant.Equal(tenant) {
		t.Error("taking the change back is no change")
	}
}

// tryPending is the part of upkeep that starts pending tenants.
func (c *tenantSet) tryPending() {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.startPending()
}

func TestAFaultThatLastsIsReportedNowAndThen(t *testing.T) {
	h := &fakeHost{}
	lines := newLogQueue(h)
	i := &Instance{lines: lines, log: lines.logger()}
	fail := func() {
		defer i.contain()

		panic("again")
	}
	count := func() int {
		lines.flush()
		return strings.Count(h.log(), "a fault in the plugin")
	}

	fail()
	fail()

	if n := count(); n != 1 {
		t.Errorf("two faults at once: %d lines", n)
	}

	i.faultAt.Store(time.Now().Add(-faultEvery).UnixNano())
	fail()
	fail()

	if n := count(); n != 2 {
		t.Errorf("a quarter of an hour later: %d lines", n)
	}
}

// replaceTenants gives a running input other tenants, as a new tenants file does.
func replaceTenants(s *tenantSet, next ...config.Tenant) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.replace(next, "tenants_file has changed")
}
