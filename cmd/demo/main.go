// Command demo runs the main job on simulated tenants: two customers, their sign-in
// service and their SIEM API on loopback ports, and the plugin in fluent-bit, or in the
// conformance host where none is installed. It prints the records and ends by itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

func main() {
	plugin := flag.String("plugin", "build/in_defender.so", "the plugin to run")

	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	if err := run(ctx, *plugin); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// How many alerts each tenant has at the start, and how many come while the plugin polls.
const (
	early = 12
	later = 3
)

func run(ctx context.Context, plugin string) error {
	customers := simulator.Generate(2, early, 1)

	sim, err := simulator.New(simulator.Config{Tenants: customers})
	if err != nil {
		return err
	}

	if err := sim.Start("127.0.0.1:0"); err != nil {
		return err
	}
	defer sim.Close()

	dir, err := os.MkdirTemp("", "defender-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	fmt.Printf("Two customers, %s and %s, on simulated servers: sign-in %s, SIEM API %s\n",
		customers[0].Name, customers[1].Name, sim.LoginURL(), sim.APIURL("siem"))

	host, err := launch(ctx, flbhost.Config{
		Plugin:     plugin,
		Instances:  inputs(sim, customers, filepath.Join(dir, "state")),
		StorageDir: filepath.Join(dir, "storage"),
	})
	if err != nil {
		return err
	}
	defer host.Kill()

	show := &screen{host: host}
	if err := show.rounds(ctx, sim, customers); err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()

	if _, err := host.Stop(ctx); err != nil {
		return err
	}

	if err := show.records(); err != nil {
		return err
	}

	return summary(sim, customers, show.count)
}

// inputs returns an [INPUT] section for each customer.
func inputs(sim *simulator.Simulator, customers []simulator.Tenant, dataDir string) (list []flbhost.Instance) {
	for _, c := range customers {
		app := c.Apps[0]
		props := flbhost.Props(
			"tenant_id", c.ID,
			"tenant_name", c.Name,
			"client_id", app.ClientID,
			"client_secret", app.Secret,
			"refresh_token", app.RefreshTokens[0],
			"api", "siem",
			"login_url", sim.LoginURL(),
			"api_url", sim.APIURL("siem"),
			"poll_interval", "2s",
			"data_dir", dataDir,
		)
		list = append(list, flbhost.Instance{Tag: "defender." + c.Name, Props: props})
	}

	return list
}

// launch starts the plugin in a real Fluent Bit, or in the conformance host if there is
// none.
func launch(ctx context.Context, cfg flbhost.Config) (flbhost.Process, error) {
	if program, err := flbhost.Find(); err == nil {
		fmt.Printf("The plugin runs in %s.\n\n", program)
		return started(flbhost.StartReal(ctx, program, cfg))
	}

	fmt.Print("There is no fluent-bit on the PATH: the plugin runs in the project's conformance host,\n",
		"which drives it in the same way.\n\n")

	return started(flbhost.Start(ctx, cfg))
}

func started[H flbhost.Process](h H, err error) (flbhost.Process, error) { return h, err }

// screen prints the records of a host.
type screen struct {
	host  flbhost.Process
	count int // records that were printed
}

// rounds prints the new records four times. After the second time new alerts come.
func (s *screen) rounds(ctx context.Context, sim *simulator.Simulator, customers []simulator.Tenant) error {
	for round := range 4 {
		select {
		case <-time.After(2500 * time.Millisecond):
		case <-ctx.Done():
			return errors.New("interrupted")
		}

		if err := s.records(); err != nil {
			return err
		}

		if round != 1 {
			continue
		}

		fmt.Println("-- new detections come in both tenants --")

		for _, c := range customers {
			now := time.Now()
			sim.Generate(c.ID, later, simulator.GenerateOptions{Name: "later", Since: now, Until: now.Add(time.Second)})
		}
	}

	return nil
}

// records prints the records that are new.
func (s *screen) records() error {
	records, err := s.host.Records()
	if err != nil {
		return err
	}

	for _, r := range records[min(s.count, len(records)):] {
		text := r.JSON()
		if s.count++; s.count == 1 {
			fmt.Printf("The first record, whole:\n%s: %s\n\nAll records, one a line:\n", r.Tag, text)
		}

		fmt.Printf("%-22s %s  %-13s %.60s\n", r.Tag, r.Time.Time().Format("2006-01-02 15:04:05"),
			gjson.GetBytes(text, "Severity"), oneLine(gjson.GetBytes(text, "AlertTitle").String()))
	}

	return nil
}

// oneLine replaces control characters, which a terminal would obey. Titles are foreign
// text that may be hostile.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || r == 0x2028 || r == 0x2029 {
			return '·'
		}

		return r
	}, s)
}

// summary compares what the API served with what was emitted.
func summary(sim *simulator.Simulator, customers []simulator.Tenant, emitted int) error {
	stats := sim.Requests()

	served := 0
	for _, c := range customers {
		served += len(sim.Ledger(c.ID, "siem").Served)
	}

	fmt.Printf("\nDetections served by the API: %d (in %d rows over %d polls)\n",
		served, stats.Rows["siem"], stats.Count["siem"])
	fmt.Printf("Records emitted:              %d\n", emitted)
	fmt.Printf("Repeats suppressed:           %d\n", stats.Rows["siem"]-int64(emitted))

	if served != emitted {
		return fmt.Errorf("%d detections were served and %d emitted: please report this", served, emitted)
	}

	return nil
}
