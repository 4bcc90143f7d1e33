package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/testbed/simulator"
)

// The whole way: this many alerts, about 230 MB.
const wayAlerts = 100_000

// contender is one of the inputs that are compared: its name, its configuration, and what
// it used in each round.
type contender struct {
	name   string
	plugin string
	input  func() section
	feed   func(context.Context) error // sends it the alerts; nil for one that gets them itself
	rows   int
	bytes  int64
	once   bool // one round is enough: a run takes minutes, and only its memory matters
	cpu    []time.Duration
	peak   []int64
	took   []time.Duration
}

// way measures the whole plugin against Fluent Bit's own tail and json parser, on the
// same alerts.
func (b *bench) way() error {
	lines := filepath.Join(b.dir, "endpoint.jsonl")

	endpoint, err := startServer(world{
		Tenants: 1,
		Alerts:  wayAlerts,
		API:     simulator.Endpoint,
		Dump:    lines,
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

	list := []*contender{
		b.ours(ordinary, endpoint, simulator.Endpoint),
		b.ours("TLS, gzip, HTTP/1.1", endpoint, simulator.Endpoint),
		b.ours("TLS", endpoint, simulator.Endpoint),
		b.ours("gzip", endpoint, simulator.Endpoint),
		b.ours(plain, endpoint, simulator.Endpoint),
		b.ours(plain, endpoint, simulator.Endpoint, "page_size", "1000"),
		b.ours(ordinary, siem, simulator.SIEM),
		b.ours(plain, siem, simulator.SIEM),
	}
	few := list[5]
	few.name += ", pages of 1,000"
	few.once = true

	list = b.withOtherVersion(slices.DeleteFunc(list, func(c *contender) bool {
		return !strings.HasSuffix(c.name, b.only)
	}))

	var bare, tail *contender
	if b.fluentBit != "" {
		if bare, tail, err = b.theirs(endpoint, lines); err != nil {
			return err
		}

		posted, err := b.posted(endpoint, lines)
		if err != nil {
			return err
		}

		list = append([]*contender{bare, tail, posted}, list...)
	}

	if err := b.takeTurns(list); err != nil {
		return err
	}

	b.wayTable(list, bare, tail)

	return nil
}

// withOtherVersion puts the same contender with the plugin of another version behind each
// one, if there is such a plugin.
func (b *bench) withOtherVersion(list []*contender) []*contender {
	if b.beside == "" {
		return list
	}

	var all []*contender

	for _, c := range list {
		other := *c
		other.name = "the other " + c.name
		other.plugin = b.beside
		all = append(all, c, &other)
	}

	return all
}

// ours returns the contender that is the plugin: it reads all alerts of a simulator in
// one of its ways, with more keys in its section.
func (b *bench) ours(by string, s *server, api string, more ...string) *contender {
	return &contender{
		name:   fmt.Sprintf("plugin, %s, %s", api, by),
		plugin: b.plugin,
		input:  b.tenant(s, by, api, more...),
		rows:   s.Rows,
		bytes:  s.Bytes,
	}
}

// theirs returns what the plugin is compared with, on the alerts of the file lines: an
// input that only appends finished events, and Fluent Bit's tail with its json parser.
func (b *bench) theirs(s *server, lines string) (bare, tail *contender, err error) {
	so, err := b.bare()
	if err != nil {
		return nil, nil, err
	}

	events := filepath.Join(b.dir, "endpoint.events")
	if err := encodeAll(lines, events); err != nil {
		return nil, nil, err
	}

	bare = &contender{
		name:   "bare C input, finished events",
		plugin: so,
		rows:   s.Rows,
		bytes:  s.Bytes,
		input: func() section {
			return section{"name", "bare", "events", events}
		},
	}
	tail = &contender{
		name:  "Fluent Bit's tail + json parser",
		rows:  s.Rows,
		bytes: s.Bytes,
		input: func() section {
			return section{
				"name", "tail",
				"path", lines,
				"read_from_head", "on",
				"parser", "whole",
				"buffer_max_size", "1M",
			}
		},
	}

	return bare, tail, nil
}

// takeTurns measures each contender once a round.
func (b *bench) takeTurns(list []*contender) error {
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

	return nil
}

// wayTable prints the medians. bare and tail are nil where there is no Fluent Bit.
func (b *bench) wayTable(list []*contender, bare, tail *contender) {
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
			// The rows of siem are not those of the file: only figures per byte compare.
			perByte := float64(median(tail.cpu)) / float64(tail.bytes)
			of = fmt.Sprintf("%.2f", float64(cpu)/float64(c.bytes)/perByte)
			above = mb(peak - median(bare.peak))
		}

		b.t.row(c.name, strconv.Itoa(c.rows), mb(c.bytes), seconds(cpu), of, mb(peak), above, seconds(median(c.took)))
	}
}

// compete measures one contender once.
func (b *bench) compete(c *contender) error {
	h, err := b.launch(c.plugin, c.input())
	if err != nil {
		return err
	}
	defer h.stop()

	ctx, cancel := context.WithCancel(b.ctx)
	fed := make(chan error, 1)

	go func() {
		if c.feed == nil {
			fed <- nil
		} else {
			fed <- c.feed(ctx)
		}
	}()

	u, took, err := b.finish(h, c.rows, 5*time.Minute)

	cancel()

	if err := errors.Join(err, <-fed); err != nil {
		return err
	}

	c.cpu, c.peak, c.took = append(c.cpu, u.cpu), append(c.peak, u.peak), append(c.took, took)
	b.progress("%s: %v, peak %s, %v", c.name, u.cpu, mb(u.peak), took.Round(100*time.Millisecond))

	return nil
}

// tenant returns a function that makes the plugin's section for the only tenant of a
// simulator, reached in one of its ways. Each call of it starts from nothing, with a
// data_dir of its own.
func (b *bench) tenant(s *server, by, api string, more ...string) func() section {
	return func() section {
		b.states++
		c, x := s.Tenants[0], s.Ways[by]

		keys := section{
			"name", "defender",
			"tag", "defender",
			"tenant_id", c.ID,
			"tenant_name", c.Name,
			"client_id", c.ClientID,
			"client_secret", c.Secret,
			"api", api,
			"login_url", x.LoginURL,
			"api_url", x.APIURL,
			"lookback", "2d",
			"data_dir", filepath.Join(b.dir, fmt.Sprintf("state%d", b.states)),
		}
		if api == simulator.SIEM {
			keys = append(keys, "refresh_token", c.Refresh)
		}

		if x.CA != "" {
			keys = append(keys, "ca_file", x.CA)
		}

		return append(keys, more...)
	}
}

// encodeAll turns a file of alerts, one a line, into the batches of events that bare.c
// appends: each is its length in four bytes, then the events.
func encodeAll(lines, events string) (err error) {
	in, err := os.Open(lines)
	if err != nil {
		return err
	}
	defer in.Close()

	out, err := os.Create(events)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()

	w := bufio.NewWriterSize(out, 1<<20)

	encoder, err := record.NewEncoder(record.Options{
		TenantID: "99999999-8888-7777-6666-555555555555",
		Tenant:   "contoso",
		API:      alert.Endpoint,
	})
	if err != nil {
		return err
	}

	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 64<<20)

	var batch []byte

	for scan.Scan() {
		version := alert.Version{Time: 17_000_000_000_000_000, ID: alert.MakeID("", "", scan.Bytes(), nil)}
		if batch, err = encoder.Alert(batch, version, scan.Bytes()); err != nil {
			return err
		}

		if len(batch) > 1_000_000 {
			if err := writeBatch(w, batch); err != nil {
				return err
			}

			batch = batch[:0]
		}
	}

	if err := scan.Err(); err != nil {
		return err
	}

	if err := writeBatch(w, batch); err != nil {
		return err
	}

	return w.Flush()
}

func writeBatch(w io.Writer, batch []byte) error {
	if err := binary.Write(w, binary.LittleEndian, uint32(len(batch))); err != nil {
		return err
	}

	_, err := w.Write(batch)

	return err
}
