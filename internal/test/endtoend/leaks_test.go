package endtoend

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// gauge reads one number off the plugin's metrics.
func gauge(t *testing.T, address, name string) float64 {
	t.Helper()

	res, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	total := 0.0

	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), " "); ok && (key == name || strings.HasPrefix(key, name+"{")) {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}

			total += n
		}
	}

	return total
}

// fileFor writes a tenants file.
func (r *rig) fileFor(customers []simulator.Tenant, api string) string {
	var b strings.Builder
	fmt.Fprintf(
		&b,
		"defaults: {api: %s, login_url: %q, api_url: %q, poll_interval: 1s, lookback: 2d, http_timeout: 2s}\n"+
			"tenants:\n",
		api,
		r.sim.LoginURL(),
		r.sim.APIURL(api),
	)

	for _, c := range customers {
		fmt.Fprintf(&b,
			"  - {tenant_id: %q, tenant_name: %q, client_id: %q, client_secret: %q, refresh_token: %q, tag: %q}\n",
			c.ID, c.Name, c.Apps[0].ClientID, c.Apps[0].Secret, c.Apps[0].RefreshTokens[0],
			"defender."+c.Name)
	}

	path := filepath.Join(r.t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		r.t.Fatal(err)
	}

	return path
}

func TestGoroutinesDescriptorsAndMemoryDoNotGrow(t *testing.T) {
	t.Parallel()
	so := setup.Plugin(t)
	r := newRig(t, func(cfg flbhost.Config) (flbhost.Process, error) {
		cfg.Plugin = so
		cfg.LogLevel = "info"

		return flbhost.Start(t.Context(), cfg)
	})
	customers := tenants(50, 5)
	r.simulate(simulator.Config{Tenants: customers, Faults: "cut:p=0.05,503:p=0.02;wait=1s,reset:p=0.02"})

	address := setup.FreeAddress(t)
	r.mustStart(flbhost.Instance{
		Tag: "defender",
		Props: flbhost.Props(
			"tenants_file",
			r.fileFor(customers, "siem"),
			"data_dir",
			r.data,
			"metrics_listen",
			address,
		),
	})

	polls := func() float64 { return gauge(t, address, "defender_poll_duration_seconds_count") }
	target := float64(setup.Size(600, 10_000))

	r.until("a fifth of the polls", 5*time.Minute, func() bool { return polls() > target/5 })

	names := []string{
		"go_goroutines",
		"process_open_fds",
		"go_memstats_heap_inuse_bytes",
		"process_resident_memory_bytes",
	}

	var early []float64
	for _, n := range names {
		early = append(early, gauge(t, address, n))
	}

	r.until("the rest", 20*time.Minute, func() bool { return polls() > target })

	for i, n := range names {
		late := gauge(t, address, n)
		t.Logf("%s: %.0f after %.0f polls, %.0f after %.0f", n, early[i], target/5, late, target)

		if late > 1.5*early[i]+10 {
			t.Errorf("%s grows", n)
		}
	}

	r.stop()
}
