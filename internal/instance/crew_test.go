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
)

// atWork gives the crew of a running input with one tenant.
func atWork(t *testing.T) (*crew, *fakeHost, config.Tenant) {
	t.Helper()
	sim, customers := simulated(t, 1, 1)
	h := &fakeHost{keys: section(sim, customers[0], filepath.Join(t.TempDir(), "state"))}
	cfg, _, err := config.FromPlugin(h, config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newShared().assemble(cfg, delivery.Sure, newLogger(h))
	if err != nil {
		t.Fatal(err)
	}
	c.input.Start()
	t.Cleanup(func() {
		c.input.Stop(context.Background())
		c.end(context.Background())
	})
	return c, h, cfg.Tenants[0]
}

// feeds counts, at each application's gate, who shares it.
func (s *shared) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := make(map[string]int)
	for k, g := range s.gates {
		m[k.clientID] = g.feeds
	}
	return m
}

func TestAFeedIsCountedAtTheGateThatItShares(t *testing.T) {
	c, _, tenant := atWork(t)
	other := tenant
	other.ClientID = "another-application"
	c.follow([]config.Tenant{other})
	if m := c.shared.counts(); m[tenant.ClientID] != 0 || m[other.ClientID] != 1 {
		t.Errorf("after a change of client_id: %v", m)
	}
	c.release()
	if m := c.shared.counts(); m[tenant.ClientID] != 0 || m[other.ClientID] != 0 {
		t.Errorf("after the end: %v", m)
	}
}

func TestATenantThatCannotStartYetIsTriedAgainAndReportedOnce(t *testing.T) {
	c, h, tenant := atWork(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	second := tenant
	second.StateID, second.CAFile = "second", ca
	c.follow([]config.Tenant{tenant, second})
	for range 3 {
		c.upkeepWanted()
	}
	if n := len(c.input.Statuses()); n != 1 {
		t.Fatalf("%d tenants run without the file that one needs", n)
	}
	text, _ := makeCertificate(t, time.Hour)
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c.upkeepWanted()
	if n := len(c.input.Statuses()); n != 2 {
		t.Errorf("%d tenants run; want 2", n)
	}
	c.log.flush()
	if n := strings.Count(h.log(), "ca_file"); n != 1 {
		t.Errorf("reported %d times:\n%s", n, h.log())
	}
}

func TestATenantThatCouldNotStartGivesItsFeedBack(t *testing.T) {
	c, _, tenant := atWork(t)
	second := tenant
	second.StateID, second.CAFile = "second", "/does/not/exist"
	c.follow([]config.Tenant{tenant, second})
	c.follow([]config.Tenant{tenant})
	if _, err := c.shared.claim([]config.Tenant{second}); err != nil {
		t.Errorf("another input cannot have it: %v", err)
	}
}

func TestSettingsThatCannotBeUsedYetLeaveTheOldOnesInForce(t *testing.T) {
	c, _, tenant := atWork(t)
	broken := tenant
	broken.CAFile = "/does/not/exist"
	c.follow([]config.Tenant{broken})
	for key, s := range c.input.Statuses() {
		if key == Feed(tenant) && s.State == "stopped" {
			t.Error("the tenant was stopped although its new settings cannot be used")
		}
	}
	c.follow([]config.Tenant{tenant})
	if len(c.wanted) != 0 || !c.members[Feed(tenant)].tenant.Equal(tenant) {
		t.Error("taking the change back is no change")
	}
}

// upkeepWanted is the part of upkeep that starts who is wanted.
func (c *crew) upkeepWanted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.startWanted()
}

func TestAFaultThatLastsIsReportedNowAndThen(t *testing.T) {
	h := &fakeHost{}
	i := &Instance{log: newLogger(h)}
	fail := func() {
		defer i.contain()
		panic("again")
	}
	count := func() int {
		i.log.flush()
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
