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

// Alerts there are from the beginning, and alerts that turn up while the plugin polls.
const (
	early = 12
	later = 3
)

func run(ctx context.Context, plugin string) error {
	sim, err := simulator.New(simulator.Config{Tenants: simulator.Generate(2, early, 1)})
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

	customers := simulator.Generate(2, early, 1)

	var inputs []flbhost.Instance
	for _, c := range customers {
		inputs = append(inputs, flbhost.Instance{Tag: "defender." + c.Name, Props: flbhost.Props(
			"tenant_id",
			c.ID,
			"tenant_name",
			c.Name,
			"client_id",
			c.Apps[0].ClientID,
			"client_secret",
			c.Apps[0].Secret,
			"refresh_token",
			c.Apps[0].RefreshTokens[0],
			"api",
			"siem",
			"login_url",
			sim.LoginURL(),
			"api_url",
			sim.APIURL("siem"),
			"poll_interval",
			"2s",
			"data_dir",
			filepath.Join(dir, "state"),
		)})
	}

	fmt.Printf("Two customers, %s and %s, on simulated servers: sign-in %s, SIEM API %s\n",
		customers[0].Name, customers[1].Name, sim.LoginURL(), sim.APIURL("siem"))

	host, err := launch(
		ctx,
		flbhost.Config{Plugin: plugin, Instances: inputs, StorageDir: filepath.Join(dir, "storage")},
	)
	if err != nil {
		return err
	}
	defer host.Kill()

	show := &screen{host: host}

	for round := range 4 {
		time.Sleep(2500 * time.Millisecond)

		if err := show.records(); err != nil {
			return err
		}

		if ctx.Err() != nil {
			return errors.New("interrupted")
		}

		if round == 1 {
			fmt.Println("-- new detections turn up in both tenants --")

			for _, c := range customers {
				sim.Generate(
					c.ID,
					later,
					simulator.GenerateOptions{Name: "later", Since: time.Now(), Until: time.Now().Add(time.Second)},
				)
			}
		}
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

// launch prefers a real Fluent Bit.
func launch(ctx context.Context, cfg flbhost.Config) (flbhost.Process, error) {
	if program, err := flbhost.Find(); err == nil {
		fmt.Printf("The plugin runs in %s.\n\n", program)
		return started(flbhost.StartReal(ctx, program, cfg))
	}

	fmt.Print(
		"There is no fluent-bit on the PATH: the plugin runs in the project's conformance host, which drives it in the same way.\n\n",
	)

	return started(flbhost.Start(ctx, cfg))
}

func started[H flbhost.Process](h H, err error) (flbhost.Process, error) { return h, err }

// screen prints the records that are new.
type screen struct {
	host  flbhost.Process
	count int
}

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

// oneLine takes out what a terminal would obey: titles are foreign text, some of it
// hostile by intent.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || r == 0x2028 || r == 0x2029 {
			return '·'
		}

		return r
	}, s)
}

func summary(sim *simulator.Simulator, customers []simulator.Tenant, emitted int) error {
	stats := sim.Requests()

	served := 0
	for _, c := range customers {
		served += len(sim.Ledger(c.ID, "siem").Served)
	}

	fmt.Printf(
		"\nDetections served by the API: %d (in %d rows over %d polls)\nRecords emitted:              %d\nRepeats suppressed:           %d\n",
		served,
		stats.Rows["siem"],
		stats.Count["siem"],
		emitted,
		stats.Rows["siem"]-int64(emitted),
	)

	if served != emitted {
		return fmt.Errorf("%d detections were served and %d emitted: please report this", served, emitted)
	}

	return nil
}
