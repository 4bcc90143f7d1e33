package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// idle measures what tenants cost that have no new alerts.
func (b *bench) idle() error {
	b.t.head(
		"(e) idle tenants, polled every "+b.every.String()+", "+b.program(),
		"polls/s",
		"one core",
		"per poll",
		"memory",
		"peak",
	)

	for _, n := range b.idleCounts {
		if err := b.idleTenants(n); err != nil {
			return fmt.Errorf("%d tenants: %w", n, err)
		}
	}

	return nil
}

// idleTenants measures n tenants in one input and adds a row to the table.
func (b *bench) idleTenants(n int) error {
	s, err := startServer(world{Tenants: n, API: simulator.Endpoint})
	if err != nil {
		return err
	}
	defer s.close()

	input, err := b.manyTenants(s, b.every)
	if err != nil {
		return err
	}

	h, err := b.launch(b.plugin, input)
	if err != nil {
		return err
	}
	defer h.stop()

	// In the first round the plugin signs in to every tenant.
	if err := b.pause(b.every + 8*time.Second); err != nil {
		return err
	}

	before, err := used(h.pid)
	if err != nil {
		return err
	}

	if err := b.pause(b.idleFor); err != nil {
		return err
	}

	after, err := used(h.pid)
	if err != nil {
		return err
	}

	cpu := after.cpu - before.cpu
	polls := float64(n) * b.idleFor.Seconds() / b.every.Seconds()

	b.t.row(
		fmt.Sprintf("%d", n),
		fmt.Sprintf("%.2f", polls/b.idleFor.Seconds()),
		fmt.Sprintf("%.2f %%", 100*cpu.Seconds()/b.idleFor.Seconds()),
		fmt.Sprintf("%.0f µs", cpu.Seconds()*1e6/polls),
		mb(after.rss),
		mb(after.peak),
	)
	b.progress("%d idle tenants: %v in %v, %s", n, cpu, b.idleFor, mb(after.rss))

	return nil
}

// manyTenants writes a tenants_file for all tenants of a simulator and returns the
// section of an input that polls each of them once an interval.
func (b *bench) manyTenants(s *server, interval time.Duration) (section, error) {
	b.states++
	state := filepath.Join(b.dir, fmt.Sprintf("state%d", b.states))
	file := state + ".yaml"

	var w strings.Builder
	w.WriteString("tenants:\n")

	for _, c := range s.Tenants {
		fmt.Fprintf(&w, "  - {tenant_id: %q, tenant_name: %q, client_secret: %q}\n", c.ID, c.Name, c.Secret)
	}

	if err := os.WriteFile(file, []byte(w.String()), 0o600); err != nil {
		return nil, err
	}

	x := s.Ways[ordinary]

	input := section{
		"name", "defender",
		"tag", "defender",
		"tenants_file", file,
		"client_id", s.Tenants[0].ClientID,
		"api", simulator.Endpoint,
		"login_url", x.LoginURL,
		"api_url", x.APIURL,
		"ca_file", x.CA,
		"poll_interval", interval.String(),
		"data_dir", state,
	}

	if b.keys != "" {
		for pair := range strings.SplitSeq(b.keys, ",") {
			key, value, _ := strings.Cut(pair, "=")
			input = append(input, key, value)
		}
	}

	return input, nil
}
