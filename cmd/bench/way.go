package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/testbed/simulator"
)

// The whole way: this many alerts, about 230 MB.
const wayAlerts = 100_000

// contender is one of those that are compared: what it is called, how it is configured,
// and what it used in each round.
type contender struct {
	name   string
	plugin string
	input  func() section
	rows   int
	bytes  int64
	once   bool // a run that takes minutes: one is enough for its memory
	cpu    []time.Duration
	peak   []int64
	took   []time.Duration
}

// way measures the whole plugin against Fluent Bit's own tail and json parser, on the
// same alerts.
func (b *bench) way() error {
	endpoint, err := startServer(world{
		Tenants: 1,
		Alerts:  wayAlerts,
		API:     simulator.Endpoint,
		Dump:    filepath.Join(b.dir, "endpoint.jsonl"),
	})
	if err != nil {
		return err
	}
	defer endpoint.close()

	siem, err := startServer(world{Tenants: 1, Alerts: wayAlerts * 3 / 4, API: simulator.SIEM})
	if err != nil {
		return err
	}
	defer siem.close()

	zipped, err := startServer(world{
		Tenants: 1,
		Alerts:  wayAlerts,
		API:     simulator.Endpoint,
		Gzip:    true,
	})
	if err != nil {
		return err
	}
	defer zipped.close()

	list := []*contender{
		{
			name:   "plugin, endpoint, pages of 10,000",
			plugin: b.plugin,
			input:  b.tenant(endpoint, simulator.Endpoint),
			rows:   endpoint.Rows,
			bytes:  endpoint.Bytes,
		},
		{
			name:   "plugin, endpoint, pages of 1,000",
			plugin: b.plugin,
			input:  b.tenant(endpoint, simulator.Endpoint, "page_size", "1000"),
			rows:   endpoint.Rows,
			bytes:  endpoint.Bytes,
			once:   true,
		},
		{
			name:   "plugin, endpoint, pages of 10,000, gzip",
			plugin: b.plugin,
			input:  b.tenant(zipped, simulator.Endpoint),
			rows:   zipped.Rows,
			bytes:  zipped.Bytes,
		},
		{
			name:   "plugin, siem, one body",
			plugin: b.plugin,
			input:  b.tenant(siem, simulator.SIEM),
			rows:   siem.Rows,
			bytes:  siem.Bytes,
		},
	}

	var tail, bare *contender
	if b.fluentBit != "" {
		so, err := b.bare()
		if err != nil {
			return err
		}

		lines, events := filepath.Join(b.dir, "endpoint.jsonl"), filepath.Join(b.dir, "endpoint.events")
		if err := encodeAll(lines, events); err != nil {
			return err
		}

		tail = &contender{
			name:  "Fluent Bit's tail + json parser",
			rows:  endpoint.Rows,
			bytes: endpoint.Bytes,
			input: func() section {
				return section{
					"name",
					"tail",
					"path",
					lines,
					"read_from_head",
					"on",
					"parser",
					"whole",
					"buffer_max_size",
					"1M",
				}
			},
		}
		bare = &contender{
			name:   "bare C input, finished events",
			plugin: so,
			rows:   endpoint.Rows,
			bytes:  endpoint.Bytes,
			input: func() section {
				return section{"name", "bare", "events", events}
			},
		}
		list = append([]*contender{bare, tail}, list...)
	}

	for round := range b.rounds {
		for _, c := range list {
			if c.once && round > 0 {
				continue
			}

			if err := b.compete(c); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}

	b.t.head(
		"(d) the whole way, "+b.program(),
		"events",
		"JSON",
		"CPU",
		"of the C path, per byte",
		"peak",
		"above the bare input",
		"time",
	)

	for _, c := range list {
		cpu, peak := median(c.cpu), median(c.peak)
		of, above := "-", "-"

		if tail != nil {
			perByte := float64(
				median(tail.cpu),
			) / float64(
				tail.bytes,
			) // the rows of siem are others than those in the file
			of = fmt.Sprintf("%.2f", float64(cpu)/float64(c.bytes)/perByte)
			above = mb(peak - median(bare.peak))
		}

		b.t.row(c.name, strconv.Itoa(c.rows), mb(c.bytes), seconds(cpu), of, mb(peak), above, seconds(median(c.took)))
	}

	return nil
}

func (b *bench) compete(c *contender) error {
	h, err := b.launch(c.plugin, c.input())
	if err != nil {
		return err
	}
	defer h.stop()

	u, took, err := b.finish(h, c.rows, 5*time.Minute)
	if err != nil {
		return err
	}

	c.cpu, c.peak, c.took = append(c.cpu, u.cpu), append(c.peak, u.peak), append(c.took, took)
	b.progress("%s: %v, peak %s, %v", c.name, u.cpu, mb(u.peak), took.Round(100*time.Millisecond))

	return nil
}

// tenant is the plugin's section for the only tenant of a simulator; each call of the
// function begins anew, with a data_dir of its own.
func (b *bench) tenant(s *server, api string, more ...string) func() section {
	return func() section {
		b.states++
		c := s.Tenants[0]

		keys := section{
			"name",
			"defender",
			"tag",
			"defender",
			"tenant_id",
			c.ID,
			"tenant_name",
			c.Name,
			"client_id",
			c.ClientID,
			"client_secret",
			c.Secret,
			"api",
			api,
			"login_url",
			s.LoginURL,
			"api_url",
			s.APIURL,
			"lookback",
			"2d",
			"data_dir",
			filepath.Join(b.dir, fmt.Sprintf("state%d", b.states)),
		}
		if api == simulator.SIEM {
			keys = append(keys, "refresh_token", c.Refresh)
		}

		return append(keys, more...)
	}
}

// encodeAll turns a file of alerts, one a line, into the batches of events that bare.c
// appends.
func encodeAll(lines, events string) error {
	in, err := os.Open(lines)
	if err != nil {
		return err
	}
	defer in.Close()

	out, err := os.Create(events)
	if err != nil {
		return err
	}
	defer out.Close()

	w := bufio.NewWriterSize(out, 1<<20)
	e := record.NewEncoder(
		record.Options{TenantID: "99999999-8888-7777-6666-555555555555", Tenant: "contoso", API: simulator.Endpoint},
	)

	var batch []byte

	flush := func() error {
		if err := binary.Write(w, binary.LittleEndian, uint32(len(batch))); err != nil {
			return err
		}

		_, err := w.Write(batch)
		batch = batch[:0]

		return err
	}
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 64<<20)

	for scan.Scan() {
		if batch, err = e.Alert(
			batch,
			17_000_000_000_000_000,
			record.MakeID("", "", scan.Bytes(), nil),
			scan.Bytes(),
		); err != nil {
			return err
		}

		if len(batch) > 1_000_000 {
			if err := flush(); err != nil {
				return err
			}
		}
	}

	if err := scan.Err(); err != nil {
		return err
	}

	if err := flush(); err != nil {
		return err
	}

	return w.Flush()
}
