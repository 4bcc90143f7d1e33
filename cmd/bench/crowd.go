package main

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

const (
	// crowdInterval is how often a tenant of a crowd is polled.
	crowdInterval = 15 * time.Second
	// crowdTrickle is how often each tenant gets a new alert.
	crowdTrickle = time.Minute
	crowdAlerts  = 20 // of each tenant at the start
	// ofEachKind is how many of a thousand tenants hang, drip and fail.
	ofEachKind = 10
)

// failures are the ways in which tenants of a crowd fail.
var failures = []string{
	"403", "500", "503:after=seconds;wait=20s", "429:wait=10s", "cut", "reset", "junk", "refuse",
	"login503:api=login", "aadsts=700082:api=login",
}

// crowd measures many tenants with alerts, some of which are sick.
func (b *bench) crowd() error {
	b.t.head(
		fmt.Sprintf("(g) %d alerts each, polled every %v, %s", crowdAlerts, crowdInterval, b.program()),
		"alerts",
		"not read",
		"p50",
		"p99",
		"max",
		"polls late by (p99)",
		"one core",
		"peak",
	)

	for _, sick := range []bool{false, true} {
		if err := b.crowdOf(1000, sick); err != nil {
			return err
		}
	}

	return nil
}

// crowdOf measures n tenants and adds a row to the table.
func (b *bench) crowdOf(n int, sick bool) error {
	w := world{
		Tenants: n,
		Alerts:  crowdAlerts,
		API:     simulator.Endpoint,
		Trickle: crowdTrickle,
	}
	name := fmt.Sprintf("%d tenants", n)

	if sick {
		w.Faults, w.Sick = sickness(n)
		name += fmt.Sprintf(", %d fail, %d hang, %d drip", ofEachKind, ofEachKind, ofEachKind)
	}

	s, err := startServer(w)
	if err != nil {
		return err
	}
	defer s.close()

	input, err := b.manyTenants(s, crowdInterval)
	if err != nil {
		return err
	}

	address, err := freeAddress()
	if err != nil {
		return err
	}

	h, err := b.launch(b.plugin, append(input, "metrics_listen", address))
	if err != nil {
		return err
	}
	defer h.stop()

	if err := b.pause(b.idleFor * 2); err != nil {
		return err
	}

	u, err := used(h.pid)
	if err != nil {
		return err
	}

	late, err := startDelay(address)
	if err != nil {
		return err
	}

	r, err := s.report()
	if err != nil {
		return err
	}

	b.crowdRow(name, r, u, late)

	return nil
}

// crowdRow adds a row to the table.
func (b *bench) crowdRow(name string, r report, u usage, late string) {
	b.t.row(
		name,
		strconv.Itoa(r.Alerts),
		strconv.Itoa(r.Missing),
		seconds(r.P50),
		seconds(r.P99),
		seconds(r.Max),
		late,
		fmt.Sprintf("%.1f %%", 100*u.cpu.Seconds()/(2*b.idleFor).Seconds()),
		mb(u.peak),
	)
	b.progress("%s: %d of %d alerts not read, p99 %v, polls late by %s", name, r.Missing, r.Alerts, r.P99, late)
}

// freeAddress returns an address of this machine on which nobody listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}

	return l.Addr().String(), l.Close()
}

// sickness returns the faults of some of n tenants, and which tenants these are.
func sickness(n int) (faults string, sick []string) {
	var list []string

	kinds := slices.Concat(
		failures,
		slices.Repeat([]string{"stall:kind=head"}, ofEachKind),
		slices.Repeat([]string{"drip:rate=10"}, ofEachKind),
	)
	tenants := simulator.Generate(n, 0, seed)

	for i, kind := range kinds {
		id := tenants[i*n/len(kinds)].ID
		sick = append(sick, id)

		separator := ":"
		if strings.Contains(kind, ":") {
			separator = ";"
		}

		list = append(list, kind+separator+"tenant="+id)
	}

	return strings.Join(list, ","), sick
}

// startDelay reads from the metrics how late 99 of 100 polls began at most.
func startDelay(address string) (string, error) {
	res, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()

	type bucket struct {
		bound string
		count float64
	}

	var list []bucket

	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), `defender_poll_start_delay_seconds_bucket{le="`)
		if !ok {
			continue
		}

		bound, count, _ := strings.Cut(rest, `"} `)

		n, err := strconv.ParseFloat(count, 64)
		if err != nil {
			return "", err
		}

		list = append(list, bucket{bound, n})
	}

	if len(list) == 0 {
		return "", fmt.Errorf("no start delays at %s", address)
	}

	i, _ := slices.BinarySearchFunc(list, 0.99*list[len(list)-1].count, func(b bucket, least float64) int {
		return cmp.Compare(b.count, least)
	})

	return "≤ " + list[i].bound + " s", nil
}

// report is what a simulator reports when it ends.
type report struct {
	Alerts, Missing int // of healthy tenants
	P50, P99, Max   time.Duration
}

// reportOn looks up when the alerts of healthy tenants were read whole for the first
// time. What was updated in the last two intervals need not have been read.
func reportOn(sim *simulator.Simulator, w world, began time.Time) report {
	var (
		r      report
		delays []time.Duration
	)

	now := time.Now()

	for _, id := range sim.TenantIDs() {
		if slices.Contains(w.Sick, id) {
			continue
		}

		ledger := sim.Ledger(id, w.API)
		for _, key := range ledger.Latest {
			updated := time.Unix(0, ledger.Updated[key]*100)
			if updated.Before(began) {
				updated = began
			}

			first, ok := ledger.First[key]
			switch {
			case ok:
				delays = append(delays, max(0, first.Sub(updated)))
			case now.Sub(updated) > 2*crowdInterval:
				r.Missing++
			default:
				continue
			}

			r.Alerts++
		}
	}

	if len(delays) == 0 {
		return r
	}

	slices.Sort(delays)
	r.P50 = delays[len(delays)/2]
	r.P99 = delays[len(delays)*99/100]
	r.Max = delays[len(delays)-1]

	return r
}
