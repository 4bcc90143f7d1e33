// Command bench measures the plugin and prints one table: the transcoder against what
// else could be done with the same bytes (a, b, c), the whole plugin in a real Fluent
// Bit against Fluent Bit's own tail and json parser (d), idle tenants (e), large alerts
// (f) and a thousand tenants of which some are sick (g). `make bench` runs it;
// docs/performance.md has the results of a run.
//
// Processes are measured from outside: processor time and peak memory (VmHWM) as the
// kernel counts them. Simulated services run in a process of their own. Those that are
// compared take turns; a figure is the median of its rounds.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fluent-bit-defender/internal/testbed/flbhost"
)

func main() {
	plugin := flag.String("plugin", "build/in_defender.so", "the plugin to measure")
	beside := flag.String("beside", "", "a plugin of another version, which (d) measures in turn with ours")
	parts := flag.String("parts", "abcdefg", "which parts of the table to measure")
	rounds := flag.Int("rounds", 3, "rounds of which the median is taken")
	idleFor := flag.Duration("idle", time.Minute, "how long idle tenants are watched")
	only := flag.String("only", "", "of (d), measure the rows whose name ends so, and those to compare with")
	every := flag.Duration("every", 30*time.Second, "how often an idle tenant is polled")
	counts := flag.String("tenants", "1,100,1000,10000", "numbers of idle tenants")
	keys := flag.String("keys", "", "more keys for the input of (e) and (g): key=value, and commas between them")
	verbose := flag.Bool("v", false, "show the log of each Fluent Bit")
	spec := flag.String("serve", "", "for itself: serve a simulated world")

	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	b := &bench{
		ctx:     ctx,
		rounds:  max(1, *rounds),
		idleFor: *idleFor,
		every:   *every,
		verbose: *verbose,
		only:    *only,
		keys:    *keys,
		t:       &table{},
	}

	err := error(nil)
	if *spec != "" {
		err = serve(*spec)
	} else {
		err = b.run(*plugin, *beside, *parts, *counts)
	}

	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(plugin, beside, parts, counts string) (err error) {
	for n := range strings.SplitSeq(counts, ",") {
		count, err := strconv.Atoi(n)
		if err != nil || count < 1 {
			return fmt.Errorf("-tenants: %q is not a number of tenants", n)
		}

		b.idleCounts = append(b.idleCounts, count)
	}

	if b.plugin, err = filepath.Abs(plugin); err != nil {
		return err
	}

	if beside != "" {
		if b.beside, err = filepath.Abs(beside); err != nil {
			return err
		}
	}

	if b.dir, err = os.MkdirTemp("", "defender-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)

	b.fluentBit, _ = flbhost.Find() // without one it is empty
	for _, p := range []struct {
		letters string
		measure func() error
	}{{"abc", b.transcoder}, {"d", b.way}, {"e", b.idle}, {"f", b.large}, {"g", b.crowd}} {
		if !strings.ContainsAny(parts, p.letters) {
			continue
		}

		if e := p.measure(); e != nil {
			err = errors.Join(err, fmt.Errorf("(%s) %w", p.letters, e)) // the other parts are worth having
		}

		if ctxErr := b.ctx.Err(); ctxErr != nil {
			return ctxErr
		}
	}

	fmt.Println(b.machine())

	return errors.Join(err, b.t.print(os.Stdout))
}

// program names the program in which the plugin is measured.
func (b *bench) program() string {
	if b.fluentBit == "" {
		return "conformance host (no fluent-bit found)"
	}

	return "Fluent Bit"
}

// progress tells the person who waits what has been measured.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "  "+format+"\n", args...)
}

// machine describes the machine on which the figures were measured.
func (b *bench) machine() string {
	model := "unknown processor"

	text, _ := os.ReadFile("/proc/cpuinfo") // without it the line says less
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}

	line := fmt.Sprintf("%d cores, %s, %s", runtime.NumCPU(), model, runtime.Version())

	if b.fluentBit != "" {
		out, _ := exec.CommandContext(b.ctx, b.fluentBit, "--version").Output() // likewise
		version, _, _ := bytes.Cut(out, []byte("\n"))
		line += ", " + string(version)
	}

	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		line += "; load at the end " + strings.Join(strings.Fields(string(load))[:3], " ")
	}

	return line + "\n"
}
