package examples

import (
	"fmt"
	"strings"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// hostile are the texts that a CEF line cannot hold as they are.
var hostile = []string{
	`Pipe | and \| pipe||`,
	`back\slash \ at the end\`,
	`a=b == c=d \=`,
	"CR LF\r\nLF\nCR\rend",
	"tab\tand\tmore\t",
	"emoji 😀👩‍👩‍👧 日本語 é",
	"",
	strings.Repeat("0123456789", 500),
	strings.Repeat("é", 5000),
	strings.Repeat("😀", 1250),
	strings.Repeat(`\`, 5000),
	strings.Repeat("=|", 2500),
	strings.Repeat("a", 511) + "é",
	strings.Repeat("a", 509) + "  b",
	"   spaces around   ",
	"\x00\x01\x7f\u0085control",
	"CEF:0|in|a|title|1|x|9|msg=y",
	"<13>Jan  1 00:00:00 host x",
	"cs1=x cs1Label=y shost=evil",
	"\ufeffa mark",
	"\u2028separators\u2029",
	`C:\Users\=x|y\new\r`,
	" ",
	"\n",
	`\n is not a break`,
}

// hostileAlert is the n-th alert: its texts are taken from the list so that each meets
// each place.
func hostileAlert(n int, at time.Time) simulator.Alert {
	pick := func(place int) string { return hostile[(n+place*(1+n/len(hostile)))%len(hostile)] }
	a := simulator.SampleAlert(5, n, at)
	a.Title, a.Description = hostile[n%len(hostile)], pick(1)
	a.Category, a.MachineGroup = strings.ReplaceAll(pick(2), "\x00", ""), ""
	a.IncidentID = int64(1000 + n)

	a.Techniques = []string{"T1059", pick(3)}
	for i := range a.Evidence {
		e := &a.Evidence[i]

		e.FilePath, e.CommandLine, e.AccountName = pick(4), pick(5), pick(6)
		if e.Type == "Ip" && n%2 == 0 {
			e.IPAddress = "2001:DB8::1"
		}

		if e.Type == "Url" {
			e.URL = "https://evil.example/" + pick(7)
		}
	}

	for i := range a.Detections {
		d := &a.Detections[i]
		d.CommandLine, d.FilePath, d.UserName = pick(5), pick(4), pick(6)
		d.URL, d.IPAddress = pick(7), []string{"", "192.0.2.7", "fe80::1%eth0", "no address"}[n%4]
	}

	a.Detections = a.Detections[:1] // one record each at the SIEM API
	if n%5 == 0 {
		a.Evidence = append(a.Evidence, simulator.Evidence{Type: "Device", Created: at})
	}

	return a
}

// oneOfEach is a tenant for each API.
func oneOfEach() (tenants []simulator.Tenant, units []unit) {
	for i, api := range simulator.APIs() {
		f := unit{fmt.Sprintf("20000000-0000-0000-0000-00000000000%d", i), "Customer | = \\ " + api, api}
		tenants, units = append(tenants, customer(f.tenantID, api, 0)), append(units, f)
	}

	return tenants, units
}

// addHostile adds so many hostile alerts to each tenant, updated at times of their own
// within the last 24 hours.
func addHostile(sim *simulator.Simulator, units []unit, each int) {
	now := time.Now()

	for _, f := range units {
		for n := range each {
			sim.Add(f.tenantID, hostileAlert(n, now.Add(-time.Duration(n+1)*time.Minute).Truncate(100)))
		}
	}
}
