package flbhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fnsOf lists the callbacks of one instance in order, repeats of the collect callback
// and of Cleanup left out.
func fnsOf(h *Host, instance int) []string {
	var out []string

	for _, c := range h.Calls() {
		if c.Instance == instance && c.Fn != "Callback" && c.Fn != "Cleanup" {
			out = append(out, c.Fn)
		}
	}

	return out
}

func TestCallbacksComeInCoresOrderOnCoresThreads(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)

	h := Run(t, Config{Plugin: probe(t), Tick: quick, Instances: []Instance{{}, {Threaded: true}, {Threaded: true}}})
	for i := range 3 {
		must(t, h.WaitCalls(ctx, "Callback", i, 1))
	}

	_, err := h.Stop(ctx)
	must(t, err)

	want := []string{"Init", "PreRun", "Pause", "Pause", "PreExit", "Exit"}
	tids := map[int]bool{}

	for i, thread := range []string{"flb-pipeline", "flb-in-probe.1-", "flb-in-probe.2-"} {
		if got := fnsOf(h, i); !slices.Equal(got, want) {
			t.Errorf("instance %d: %v", i, got)
		}

		for _, c := range h.Calls() {
			if c.Instance == i && c.Thread != thread {
				t.Errorf("%s of instance %d ran on %s", c.Fn, i, c.Thread)
			}

			if c.Instance == i {
				tids[c.TID] = true
			}
		}
	}

	if len(tids) != 3 {
		t.Errorf("%d threads", len(tids))
	}

	var (
		exits []int
		all   []string
	)
	for _, c := range h.Calls() {
		all = append(all, c.Fn)
		if c.Fn == "Exit" {
			exits = append(exits, c.Instance)
		}
	}

	if !slices.Equal(exits, []int{2, 1, 0}) {
		t.Errorf("exits %v", exits)
	}

	if !slices.Equal(all[:2], []string{"PreRegister", "Register"}) || all[len(all)-1] != "Unregister" {
		t.Errorf("calls %v", all)
	}
}

func TestThePauseFaultStopsTheLastInstance(t *testing.T) {
	for _, fix := range []bool{false, true} {
		t.Run(fmt.Sprintf("fixed=%v", fix), func(t *testing.T) {
			t.Parallel()
			ctx := deadline(t)

			h := Run(t, Config{
				Plugin:    probe(t),
				Tick:      quick,
				FixPause:  fix,
				Instances: []Instance{{Threaded: true}, {Threaded: true}},
			})
			for i := range 2 {
				must(t, h.WaitCalls(ctx, "Callback", i, 1))
			}

			h.Limit(0)
			must(t, h.WaitCalls(ctx, "Pause", 0, 1))

			called, silent := 0, 1
			if fix {
				called, silent = 1, 0
			}

			count := func(i int) (n int) {
				for _, c := range h.Calls() {
					if c.Fn == "Callback" && c.Instance == i {
						n++
					}
				}

				return n
			}
			before := count(silent)
			must(t, h.WaitCalls(ctx, "Callback", called, count(called)+5))

			if n := count(silent) - before; n > 1 {
				t.Errorf("instance %d was called %d times", silent, n)
			}

			h.Resume(0)
			must(t, h.WaitCalls(ctx, "Callback", silent, count(silent)+3))
			_, err := h.Stop(ctx)
			must(t, err)
		})
	}
}

func TestALimitPausesInsideTheAppendAndDeliveryResumes(t *testing.T) {
	t.Parallel()
	ctx, dir := deadline(t), t.TempDir()
	h := Run(t, Config{
		Plugin:     probe(t),
		StorageDir: dir,
		Tick:       quick,
		Instances: []Instance{
			{Props: Props("mode", "append", "appends", "3", "count", "1", "limit", "6"), MemBufLimit: 1}},
	})
	h.Outputs(false)
	must(t, h.WaitCalls(ctx, "Pause", 0, 1))
	h.Outputs(true)
	must(t, h.WaitEvents(ctx, 6))
	must(t, h.WaitCalls(ctx, "Resume", 0, 1))
	_, err := h.Stop(ctx)
	must(t, err)

	got := ids(t, dir)
	if len(got) != 6 || got[5] != "p-5" {
		t.Errorf("records %v", got)
	}

	if s := h.Stats(); s.Appends != 6 {
		t.Errorf("stats %+v", s)
	}
}

func TestAFullDiskRefusesUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	ctx, dir := deadline(t), t.TempDir()
	h := Run(t, Config{
		Plugin:     probe(t),
		StorageDir: dir,
		Tick:       quick,
		Instances:  []Instance{{Props: Props("mode", "append", "limit", "12")}},
	})
	must(t, h.WaitEvents(ctx, 3))
	h.DiskFull(true)
	must(t, h.wait(ctx, "a refusal", func() bool {
		return slices.ContainsFunc(h.appends, func(a Append) bool { return !a.Accepted })
	}))
	must(t, h.wait(ctx, "core's lines about an empty chunk file", func() bool {
		return slices.ContainsFunc(
			h.logs,
			func(l LogLine) bool { return l.Core && strings.Contains(l.Text, "no available chunk") },
		)
	}))

	empty := 0
	files, err := filepath.Glob(filepath.Join(dir, "*.chunk"))
	must(t, err)

	for _, name := range files {
		info, err := os.Stat(name)
		must(t, err)

		if info.Size() == 0 {
			empty++
		}
	}

	if empty == 0 {
		t.Errorf("none of the %d chunk files is empty", len(files))
	}

	h.DiskFull(false)
	must(t, h.WaitEvents(ctx, 12))
	_, err = h.Stop(ctx)
	must(t, err)

	if got := ids(t, dir); len(got) != 12 || got[11] != "p-11" {
		t.Errorf("records %v", got)
	}
}

func TestAThreadedInstanceLosesItsRingToSIGKILL(t *testing.T) {
	t.Parallel()
	ctx, dir := deadline(t), t.TempDir()
	cfg := Config{
		Plugin:        probe(t),
		StorageDir:    dir,
		Tick:          time.Second,
		CallbackLimit: -1,
		Instances: []Instance{
			{Threaded: true, Props: Props("state", filepath.Join(t.TempDir(), "state"), "limit", "9")}},
	}
	h := Run(t, cfg)
	h.KillAt("after_cleanup", 2)
	h.Stall(time.Minute) // the engine drains no ring; the input's own thread goes on
	e, err := h.Wait(ctx)
	must(t, err)

	if e.Signal != syscall.SIGKILL {
		t.Fatalf("exit %+v", e)
	}

	cfg.Tick = quick
	h = Run(t, cfg)
	must(t, h.WaitEvents(ctx, 3))
	_, err = h.Stop(ctx)
	must(t, err)
	// 0 to 5 were cleaned up, so the probe took them for delivered; they were in the
	// ring.
	if got := strings.Join(ids(t, dir), " "); got != "p-6 p-7 p-8" {
		t.Errorf("records %s", got)
	}
}

func TestASmallRingIsDrainedInTime(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	// A full ring is tried again for a whole tick: long enough for a crowded machine to
	// come round to the engine.
	h := Run(t, Config{Plugin: probe(t), Tick: 2 * time.Second, Instances: []Instance{
		{
			Threaded:     true,
			RingCapacity: 2,
			Props:        Props("mode", "append", "appends", "200", "count", "1", "limit", "200"),
		},
	}})
	must(t, h.WaitEvents(ctx, 200))
	_, err := h.Stop(ctx)
	must(t, err)

	if s := h.Stats(); s.LostToFullRing+s.LostAtExit != 0 || s.Events != 200 {
		t.Errorf("stats %+v", s)
	}
}

func TestAFullRingRefusesOrLoses(t *testing.T) {
	for _, mode := range []string{"append", "return"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			ctx := deadline(t)
			h := Run(t, Config{
				Plugin:    probe(t),
				Tick:      quick,
				Instances: []Instance{{Threaded: true, RingCapacity: 2, Props: Props("mode", mode)}},
			})
			h.Stall(time.Second) // ten tries, a tenth of a tick apart, are over long before

			must(t, h.wait(ctx, "a full ring", func() bool {
				refused := slices.ContainsFunc(h.appends, func(a Append) bool { return !a.Accepted && a.Direct })
				return mode == "append" && refused || mode == "return" && h.lost[lostToFullRing] > 0
			}))

			_, err := h.Stop(ctx)
			must(t, err)

			// What is in the ring when the process ends is lost in both modes.
			if s := h.Stats(); (s.LostToFullRing > 0) != (mode == "return") {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestReloadRegistersTheNewBeforeTheOldExits(t *testing.T) {
	t.Parallel()
	ctx, dir := deadline(t), t.TempDir()
	h := Run(t, Config{
		Plugin:     probe(t),
		StorageDir: dir,
		Tick:       quick,
		HotReload:  true,
		Instances:  []Instance{{Props: Props("instance_id", "a", "limit", "3")}},
	})
	must(t, h.WaitEvents(ctx, 3))
	must(t, h.Reload(ctx, []Instance{{Props: Props("instance_id", "b", "limit", "3")}}))
	must(t, h.WaitEvents(ctx, 6))
	_, err := h.Stop(ctx)
	must(t, err)

	var got []string

	for _, c := range h.Calls() {
		switch c.Fn {
		case "Callback", "Cleanup":
		default:
			got = append(got, fmt.Sprintf("%s%d", c.Fn, c.Arg))
		}
	}

	want := strings.Fields(
		"PreRegister0 Register0 Init0 PreRun1 PreRegister1 Register0 Pause0 Pause0 PreExit1 Exit0 Unregister0 " +
			"Init0 PreRun1 Pause0 Pause0 PreExit0 Exit0 Unregister0",
	)
	if !slices.Equal(got, want) {
		t.Errorf("calls\n%v\nwant\n%v", got, want)
	}

	if got := strings.Join(ids(t, dir), " "); got != "a-0 a-1 a-2 b-0 b-1 b-2" {
		t.Errorf("records %s", got)
	}
}

func TestARefusedReloadLeavesTheOldRunning(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)

	h := Run(t, Config{
		Plugin:    probe(t),
		Tick:      quick,
		HotReload: true,
		Instances: []Instance{{Props: Props("limit", "6")}},
	})
	if err := h.ReloadRefused(ctx); !errors.Is(err, ErrReloadRefused) {
		t.Fatal(err)
	}

	must(t, h.WaitEvents(ctx, 6))
	_, err := h.Stop(ctx)
	must(t, err)

	for _, c := range h.Calls() {
		if c.Fn == "PreExit" && c.Arg != 1 {
			t.Error("core's fault: PreExit says reload from now on")
		}
	}
}

func TestReloadIsRefusedWithoutHotReload(t *testing.T) {
	t.Parallel()

	h := Run(t, Config{Plugin: probe(t), Tick: quick, Instances: []Instance{{}}})
	if err := h.Reload(deadline(t), []Instance{{}}); !errors.Is(err, ErrReloadRefused) {
		t.Fatal(err)
	}
}

func TestAReloadWhoseInitFailsEndsTheProcess(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	h := Run(t, Config{
		Plugin:    probe(t),
		Tick:      quick,
		HotReload: true,
		Instances: []Instance{{}},
	})

	var failed *InitError
	if err := h.Reload(ctx, []Instance{{Props: Props("fault", "init_fail")}}); !errors.As(err, &failed) ||
		failed.Instance != 0 {
		t.Fatal(err)
	}

	if e, err := h.Wait(ctx); err != nil || e.Code != 255 {
		t.Fatalf("exit %+v, %v", e, err)
	}
}

func TestStopWaitsForUndeliveredChunksAtMostForGrace(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	h := Run(t, Config{
		Plugin:       probe(t),
		Tick:         quick,
		GraceSeconds: 10,
		Instances:    []Instance{{}},
	})
	h.Outputs(false)
	must(t, h.Sync(ctx))
	must(t, h.WaitEvents(ctx, 9))
	e, err := h.Stop(ctx)
	must(t, err)

	if e.Took < 8*quick {
		t.Errorf("stopped after %v", e.Took)
	}
}

func TestWithoutDirectAppendTheSymbolIsMissing(t *testing.T) {
	t.Parallel()

	h := Run(t, Config{
		Plugin:         probe(t),
		Tick:           quick,
		NoDirectAppend: true,
		Instances:      []Instance{{Props: Props("mode", "append")}},
	})
	if _, err := h.WaitLog(deadline(t), "no direct append"); err != nil {
		t.Fatal(err)
	}
}

func TestACleanupThatDoesNotFreeIsCounted(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	h := Run(t, Config{
		Plugin:    probe(t),
		Tick:      quick,
		Instances: []Instance{{Props: Props("fault", "no_free", "limit", "3")}},
	})
	must(t, h.WaitCalls(ctx, "Cleanup", 0, 1))

	if s := h.Stats(); s.Unfreed != 1 || s.Cleanups != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestARefusedRegistrationIsAStartError(t *testing.T) {
	t.Parallel()

	_, err := Start(deadline(t), Config{
		Plugin:     probe(t),
		StorageDir: t.TempDir(),
		Env:        []string{"PROBE_REFUSE_REGISTER=1"},
		Instances:  []Instance{{}},
	})
	if !errors.Is(err, ErrEnded) {
		t.Fatal(err)
	}
}

func TestATickIsASecondAndAligned(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	h := Run(t, Config{Plugin: probe(t), Instances: []Instance{{}, {Threaded: true}}})
	must(t, h.WaitCalls(ctx, "Callback", 1, 1))

	start := time.Now()

	must(t, h.WaitCalls(ctx, "Callback", 0, 2))
	must(t, h.WaitCalls(ctx, "Callback", 1, 2))

	if took := time.Since(start); took < 700*time.Millisecond { // how much longer is up to the machine
		t.Errorf("a tick took %v", took)
	}
}

func TestADaemonForksAfterLoading(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	h := Run(t, Config{
		Plugin:    probe(t),
		Tick:      quick,
		Daemon:    true,
		Instances: []Instance{{}},
	})
	must(t, h.WaitEvents(ctx, 3))

	for _, c := range h.Calls() {
		if c.Fn == "Init" && c.TID == h.PID() {
			t.Error("Init ran in the process that loaded the plugin")
		}
	}
}
