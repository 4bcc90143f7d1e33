package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"fluent-bit-defender/internal/testbed/flbhost"
)

// section is the [INPUT] section of a measured process: keys and values in turn.
type section []string

// host is a process under measurement: a real Fluent Bit with one input and the output
// null, or the conformance host.
type host struct {
	pid   int
	count func() (int, error) // events that have gone all the way
	stop  func()
}

// bench is one run of this program.
type bench struct {
	ctx        context.Context
	plugin     string
	beside     string // a plugin of another version; empty if there is none
	fluentBit  string // path of a Fluent Bit; empty if there is none
	dir        string // everything temporary
	rounds     int
	idleFor    time.Duration
	every      time.Duration // how often an idle tenant is polled
	idleCounts []int
	only       string // end of the names of the contenders to measure; empty for all
	keys       string // more keys for the input of many tenants: key=value, and commas between them
	verbose    bool
	t          *table
	hosts      int
	states     int
}

// launch starts the input in a Fluent Bit, or the plugin in the conformance host if
// there is none.
func (b *bench) launch(plugin string, input section) (*host, error) {
	b.hosts++

	dir := filepath.Join(b.dir, fmt.Sprintf("host%d", b.hosts))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}

	if b.fluentBit == "" {
		return b.conformance(plugin, input, dir)
	}

	address, err := freeAddress()
	if err != nil {
		return nil, err
	}

	_, port, _ := net.SplitHostPort(address)

	config := filepath.Join(dir, "fluent-bit.yaml")
	if err := os.WriteFile(config, []byte(configuration(plugin, input, dir, port)), 0o600); err != nil {
		return nil, err
	}

	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}

	cmd := exec.Command(b.fluentBit, "-c", config)
	cmd.Stdout, cmd.Stderr = log, log

	err = cmd.Start()
	if e := log.Close(); err == nil {
		err = e
	}

	if err != nil {
		return nil, err
	}

	return &host{pid: cmd.Process.Pid, count: func() (int, error) { return through(port) }, stop: func() {
		_ = cmd.Process.Kill() // everything has been measured
		_ = cmd.Wait()

		if b.verbose {
			text, _ := os.ReadFile(log.Name())
			fmt.Fprintf(os.Stderr, "%s\n", text)
		}

		_ = os.RemoveAll(dir)
	}}, nil
}

// configuration is Fluent Bit's, in YAML, whose strings can be written as in JSON.
func configuration(plugin string, input section, dir, port string) string {
	var w strings.Builder

	quote := func(s string) string {
		text, _ := json.Marshal(s) // a string always has a JSON form
		return string(text)
	}

	w.WriteString("service:\n  flush: 1\n  grace: 1\n  log_level: info\n")
	fmt.Fprintf(&w, "  http_server: on\n  http_listen: 127.0.0.1\n  http_port: %s\n", port)
	fmt.Fprintf(&w, "  storage.path: %s\n", quote(filepath.Join(dir, "storage")))

	if plugin != "" {
		fmt.Fprintf(&w, "plugins:\n  - %s\n", quote(plugin))
	}

	w.WriteString("parsers:\n  - name: whole\n    format: json\npipeline:\n  inputs:\n")

	indent := "    - "
	for i := 0; i+1 < len(input); i += 2 {
		fmt.Fprintf(&w, "%s%s: %s\n", indent, input[i], quote(input[i+1]))
		indent = "      "
	}

	w.WriteString("      threaded: \"off\"\n      storage.type: filesystem\n")
	w.WriteString("  outputs:\n    - name: \"null\"\n      match: \"*\"\n")

	return w.String()
}

// through asks Fluent Bit's own HTTP server how many records an output has processed.
func through(port string) (int, error) {
	res, err := http.Get("http://127.0.0.1:" + port + "/api/v1/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()

	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}

	var m struct {
		Output map[string]struct {
			Records int `json:"proc_records"`
		}
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&m); err != nil {
		return 0, err
	}

	n := 0
	for _, o := range m.Output {
		n += o.Records
	}

	return n, nil
}

func (b *bench) conformance(plugin string, input section, dir string) (*host, error) {
	var keys []string

	for i := 0; i+1 < len(input); i += 2 {
		if input[i] != "name" && input[i] != "tag" {
			keys = append(keys, input[i], input[i+1])
		}
	}

	h, err := flbhost.Start(b.ctx, flbhost.Config{
		Plugin:     plugin,
		Instances:  []flbhost.Instance{{Tag: "defender", Props: flbhost.Props(keys...)}},
		StorageDir: filepath.Join(dir, "storage"),
	})
	if err != nil {
		return nil, err
	}

	return &host{pid: h.PID(), count: func() (int, error) { return h.Stats().Events, nil }, stop: func() {
		_, _ = h.Kill() // everything has been measured
		_ = os.RemoveAll(dir)
	}}, nil
}

// aftermath is how long a process is measured after its last record: it frees chunks and
// writes its checkpoint in that time.
const aftermath = 2 * time.Second

// finish waits until n events have reached the output. It returns what the process has
// used and how long that took.
func (b *bench) finish(h *host, n int, most time.Duration) (usage, time.Duration, error) {
	start := time.Now()

	var last error

	for time.Since(start) < most {
		have, err := h.count()
		if err == nil && have >= n {
			took := time.Since(start)

			if err := b.pause(aftermath); err != nil {
				return usage{}, 0, err
			}

			u, err := used(h.pid)

			return u, took, err
		}

		last = errors.Join(err, fmt.Errorf("%d of %d events arrived", have, n))
		if err := b.pause(250 * time.Millisecond); err != nil {
			return usage{}, 0, err
		}
	}

	return usage{}, 0, fmt.Errorf("after %v: %w", most, last)
}

func (b *bench) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

//go:embed bare/bare.c
var bareSource embed.FS

// bare compiles an input that only appends records.
func (b *bench) bare() (string, error) {
	text, err := bareSource.ReadFile("bare/bare.c")
	if err != nil {
		return "", err
	}

	source, so := filepath.Join(b.dir, "bare.c"), filepath.Join(b.dir, "in_bare.so")
	if err := os.WriteFile(source, text, 0o600); err != nil {
		return "", err
	}

	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}

	if out, err := exec.CommandContext(b.ctx, cc, "-O2", "-Wall", "-shared", "-fPIC", "-o", so, source).
		CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling the bare input: %w\n%s", err, out)
	}

	return so, nil
}
