package flbhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"
)

// run is one scenario of the comparison: it drives either host and leaves the probe's
// trace behind.
type run struct {
	name      string
	instances func(dir string) []Instance
	hotReload bool
	fails     bool // an Init is told to fail
	restart   bool // ends by SIGKILL and goes on in a second process
	anyTicks  bool // how often the collect callback runs is a matter of timing
	drive     func(t *testing.T, p Process, dir string)
}

func section(dir, id string, threaded bool, more ...string) Instance {
	kv := append(
		[]string{
			"instance_id",
			id,
			"trace",
			filepath.Join(dir, "trace."+id),
			"state",
			filepath.Join(dir, "state."+id),
		},
		more...)

	return Instance{Tag: "tag." + id, Threaded: threaded, Props: Props(kv...)}
}

// limited is a section that is paused after its first append while the outputs are down.
func limited(dir, id string, threaded bool, more ...string) Instance {
	ins := section(dir, id, threaded, more...)
	ins.MemBufLimit = 10

	return ins
}

func events(n int) func(*testing.T, Process, string) {
	return func(t *testing.T, p Process, _ string) { must(t, p.WaitEvents(deadline(t), n)) }
}

// waitTrace waits until the trace of an instance has n lines that begin with prefix.
// Both hosts tick once a second, so looking ten times a second is no load.
func waitTrace(t *testing.T, dir, id, prefix string, n int) {
	t.Helper()

	what := fmt.Sprintf("%d lines %q in the trace of %s", n, prefix, id)
	waitFor(t, what, func() bool { return countTrace(dir, id, prefix) >= n })
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()

	ctx := deadline(t)
	for tick := time.NewTicker(100 * time.Millisecond); !ok(); <-tick.C {
		if ctx.Err() != nil {
			t.Fatalf("there never were %s", what)
		}
	}
}

func countTrace(dir, id, prefix string) int {
	text, err := os.ReadFile(filepath.Join(dir, "trace."+id))
	if err != nil {
		return 0
	}

	return strings.Count("\n"+string(text), "\n"+prefix)
}

var runs = []run{
	{
		name:      "one unthreaded instance",
		instances: func(dir string) []Instance { return []Instance{section(dir, "a", false, "limit", "6")} },
		drive:     events(6),
	},
	{
		name: "two unthreaded instances append, one with a tag of its own",
		instances: func(dir string) []Instance {
			return []Instance{section(dir, "a", false, "limit", "6", "mode", "append", "append_tag", "own"),
				section(dir, "b", false, "limit", "6", "mode", "append")}
		},
		drive: events(12),
	},
	{
		name: "two threaded instances",
		instances: func(dir string) []Instance {
			return []Instance{
				section(dir, "a", true, "limit", "6"),
				section(dir, "b", true, "limit", "6", "mode", "append"),
			}
		},
		drive: events(12),
	},
	{
		name: "the second Init fails",
		instances: func(dir string) []Instance {
			return []Instance{section(dir, "a", false), section(dir, "b", true, "fault", "init_fail")}
		},
		fails: true,
	},
	{
		name: "the second of three Inits fails",
		instances: func(dir string) []Instance {
			return []Instance{
				section(dir, "a", false),
				section(dir, "b", false, "fault", "init_fail"),
				section(dir, "c", false),
			}
		},
		fails: true,
	},
	{
		name: "an Init on a thread fails",
		instances: func(dir string) []Instance {
			return []Instance{
				section(dir, "a", true),
				section(dir, "b", true, "fault", "init_fail"),
				section(dir, "c", false),
			}
		},
		fails: true,
	},
	{
		name:      "a reload",
		hotReload: true,
		instances: func(dir string) []Instance {
			return []Instance{section(dir, "a", false, "limit", "6"), section(dir, "b", true, "limit", "6")}
		},
		drive: func(t *testing.T, p Process, dir string) {
			events(12)(t, p, dir)
			must(t, p.Reload(deadline(t), []Instance{section(dir, "a", false, "limit", "9")}))
			events(15)(t, p, dir)
			waitTrace(t, dir, "a", "Callback", 4)
		},
	},
	{
		name:      "a refused reload",
		hotReload: true,
		instances: func(dir string) []Instance { return []Instance{section(dir, "a", false, "limit", "6")} },
		drive: func(t *testing.T, p Process, dir string) {
			events(6)(t, p, dir)

			if err := p.ReloadRefused(deadline(t)); !errors.Is(err, ErrReloadRefused) {
				t.Fatal(err)
			}
		},
	},
	{
		name: "a limit pauses inside the append and a delivery resumes",
		instances: func(dir string) []Instance {
			return []Instance{limited(dir, "a", false, "limit", "6", "mode", "append")}
		},
		drive: func(t *testing.T, p Process, dir string) {
			p.Outputs(false)
			waitTrace(t, dir, "a", "Pause", 1)
			p.Outputs(true)
			waitTrace(t, dir, "a", "Pause", 2)
			events(6)(t, p, dir)
			waitTrace(t, dir, "a", "Resume", 2)
		},
	},
	{
		name: "a limit stops the collector of the instance that was initialised last",
		instances: func(dir string) []Instance {
			return []Instance{
				limited(dir, "a", true, "limit", "3", "trace_ticks", "99"),
				section(dir, "b", true, "limit", "0", "trace_ticks", "99"),
			}
		},
		drive: func(t *testing.T, p Process, dir string) {
			p.Outputs(false)
			waitTrace(t, dir, "a", "Pause", 1)
			before := countTrace(dir, "b", "Callback")
			waitTrace(t, dir, "a", "Callback", 6)

			if more := countTrace(dir, "b", "Callback") - before; more > 1 {
				t.Errorf("b was called %d times", more)
			}

			p.Outputs(true)
			waitTrace(t, dir, "a", "Resume", 1)
			waitTrace(t, dir, "b", "Callback", before+3)
		},
		anyTicks: true,
	},
	{
		name: "many appends into a small ring",
		instances: func(dir string) []Instance {
			ins := section(dir, "a", true, "mode", "append", "appends", "50", "count", "1", "limit", "50")
			ins.RingCapacity = 2

			return []Instance{ins}
		},
		drive:    events(50),
		anyTicks: true,
	},
	{
		name:      "SIGKILL and a restart",
		instances: func(dir string) []Instance { return []Instance{section(dir, "a", false, "limit", "12")} },
		restart:   true,
		drive: func(t *testing.T, _ Process, dir string) {
			waitTrace(t, dir, "a", "Callback", 2)
		},
	},
}

// TestTheHostBehavesAsFluentBit runs each scenario on both and compares the callbacks
// of each instance, with their threads and arguments, and the records.
func TestTheHostBehavesAsFluentBit(t *testing.T) {
	program, err := Find()
	if err != nil {
		t.Skip(err) // the comparison needs the very thing that it compares with
	}

	host := func(ctx context.Context, cfg Config) (Process, error) { h, err := Start(ctx, cfg); return h, err }
	fluentBit := func(ctx context.Context, cfg Config) (Process, error) {
		r, err := StartReal(ctx, program, cfg)
		return r, err
	}

	for _, r := range runs {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			gotDir, wantDir := t.TempDir(), t.TempDir()

			got, want := r.on(t, host, gotDir), r.on(t, fluentBit, wantDir)
			for _, id := range []string{"a", "b", "c"} {
				g, w := r.trace(gotDir, id), r.trace(wantDir, id)
				if g != w {
					t.Errorf("callbacks of %s: host\n%s\nFluent Bit\n%s", id, g, w)
				}
			}

			for tag, text := range want {
				if got[tag] != text {
					t.Errorf("records of %s: host\n%s\nFluent Bit\n%s", tag, got[tag], text)
				}
			}

			if len(got) != len(want) {
				t.Errorf("host has %d tags, Fluent Bit %d", len(got), len(want))
			}
		})
	}
}

func (r *run) trace(dir, id string) string {
	text, err := os.ReadFile(filepath.Join(dir, "trace."+id))
	if err != nil {
		return ""
	}

	var out []string

	for _, l := range strings.Split(string(text), "\n") {
		if !r.anyTicks || !strings.HasPrefix(l, "Callback") {
			out = append(out, l)
		}
	}

	return strings.Join(out, "\n")
}

// on runs the scenario on one of the two and returns the records by tag. The order of
// chunks with different tags is not promised.
func (r *run) on(t *testing.T, start func(context.Context, Config) (Process, error), dir string) map[string]string {
	t.Helper()
	ctx := deadline(t)
	cfg := Config{
		Plugin:     probe(t),
		Name:       "probe",
		HotReload:  r.hotReload,
		StorageDir: filepath.Join(dir, "s"),
		Instances:  r.instances(dir),
	}
	must(t, os.MkdirAll(cfg.StorageDir, 0o755))
	p, err := start(ctx, cfg)

	var failed *InitError
	if r.fails && errors.As(err, &failed) {
		e, err := p.Wait(ctx)
		if err != nil || e.Code != 255 {
			t.Errorf("exit %+v, %v", e, err)
		}

		return nil
	}

	must(t, err)

	defer func() {
		_, _ = p.Kill()
		if t.Failed() {
			for _, l := range p.Logs() {
				t.Logf("[%5s] %s", l.Level, l.Text)
			}
		}
	}()

	r.drive(t, p, dir)

	if r.restart {
		if e, _ := p.Kill(); e.Signal != syscall.SIGKILL {
			t.Errorf("exit %+v", e)
		}

		p, err = start(ctx, cfg)
		must(t, err)
		waitTrace(t, dir, "a", "Callback", 4)
		waitState(t, dir, "a", "12")
	}

	e, err := p.Stop(ctx)
	if err != nil || e.Code != 0 || e.Signal != 0 {
		t.Errorf("exit %+v, %v", e, err)
	}

	return byTag(t, p, r.restart)
}

func waitState(t *testing.T, dir, id, want string) {
	t.Helper()
	waitFor(t, want+" events in the state of "+id, func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "state."+id))
		return err == nil && string(text) == want
	})
}

// byTag returns the records of each tag, sorted: a chunk that a kill left behind is
// delivered after newer ones. A chunk that was on its way at that moment is delivered
// twice, so repeats do not count after a kill.
func byTag(t *testing.T, p Process, killed bool) map[string]string {
	t.Helper()

	records, err := p.Records()
	must(t, err)

	lines := map[string][]string{}

	for _, r := range records {
		if d := time.Since(r.Time.Time()); d < -time.Minute || d > time.Hour {
			t.Errorf("time %v", r.Time)
		}

		lines[r.Tag] = append(lines[r.Tag], string(r.JSON()))
	}

	out := map[string]string{}

	for tag, l := range lines {
		sort.Strings(l)

		if killed {
			l = slices.Compact(l)
		}

		out[tag] = strings.Join(l, "\n")
	}

	return out
}
