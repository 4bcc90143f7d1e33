package flbhost

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const quick = 40 * time.Millisecond

func probe(t *testing.T) string {
	t.Helper()

	so, err := BuildProbe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}

	return so
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)

	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
}

// ids lists the "id" of each record; repeats are kept.
func ids(t *testing.T, dir string) []string {
	t.Helper()

	records, err := Records(dir)
	must(t, err)

	var out []string

	for _, r := range records {
		_, rest, _ := strings.Cut(string(r.JSON()), `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		out = append(out, id)
	}

	return out
}

func TestAppendedEventsReachTheChunks(t *testing.T) {
	for _, threaded := range []bool{false, true} {
		for _, mode := range []string{"return", "append"} {
			for _, noCtx := range []bool{false, true} {
				t.Run(fmt.Sprintf("threaded=%v/%s/noctx=%v", threaded, mode, noCtx), func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					h := Run(t, Config{
						Plugin:     probe(t),
						StorageDir: dir,
						Tick:       quick,
						NoCtx:      noCtx,
						Instances: []Instance{
							{Props: Props("mode", mode, "limit", "10"), Tag: "t.one", Threaded: threaded}},
					})
					ctx := deadline(t)
					must(t, h.WaitEvents(ctx, 10))
					e, err := h.Stop(ctx)
					must(t, err)

					if e.Code != 0 || e.Signal != 0 {
						t.Fatalf("exit %+v", e)
					}

					got := ids(t, dir)
					if len(got) != 10 || got[0] != "p-0" || got[9] != "p-9" {
						t.Fatalf("records %v", got)
					}

					s := h.Stats()
					if s.Events != 10 || s.Unfreed != 0 ||
						s.LostToFullRing+s.LostAtExit != 0 || s.Returned != s.Cleanups {
						t.Fatalf("stats %+v", s)
					}
				})
			}
		}
	}
}

func TestMisbehaviourIsSeen(t *testing.T) {
	for fault, want := range map[string]string{
		"block":             "the callback took",
		"minus_one":         "core leaks and drops",
		"empty_buffer":      "with length 0",
		"bad_msgpack":       "are no event",
		"keep_ins":          "no live instance",
		"keep_context":      "touched i_ins or context",
		"overwrite_context": "overwrote core's part",
		"foreign_append":    "outside the collect callback of its own instance",
		"ignore_pause":      "between Pause and Resume",
		"api_after_exit":    "called after FLBPluginExit",
		"slow_exit":         "PreExit and Exit took",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()

			ctx, mode := deadline(t), "return"
			if fault == "foreign_append" {
				mode = "append"
			}

			h, err := Start(ctx, Config{
				Plugin:     probe(t),
				StorageDir: t.TempDir(),
				Tick:       quick,
				ExitLimit:  100 * time.Millisecond,
				Instances:  []Instance{{Props: Props("fault", fault, "mode", mode)}, {}},
			})
			must(t, err)

			switch fault {
			case "keep_context":
				_, err = h.Wait(ctx)
			case "ignore_pause":
				h.Limit(0) // stops the second instance: the first is still called
				must(t, h.WaitCalls(ctx, "Pause", 0, 1))
				err = h.wait(ctx, "a violation", func() bool { return len(h.violations) > 0 })
			default:
				err = h.WaitCalls(ctx, "Callback", 0, 1)
			}

			must(t, err)
			_, err = h.Stop(ctx)
			must(t, err)

			if got := strings.Join(h.Violations(), "\n"); !strings.Contains(got, want) {
				t.Fatalf("violations %q, want one with %q\n%v", got, want, h.Logs())
			}
		})
	}
}

func TestAFailedInitIsReportedAndEndsTheProcess(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	h, err := Start(ctx, Config{
		Plugin:     probe(t),
		StorageDir: t.TempDir(),
		Tick:       quick,
		Instances: []Instance{
			{
				Props: Props("instance_id", "a"),
			},
			{Props: Props("instance_id", "b", "fault", "init_fail"), Threaded: true},
		},
	})

	var failed *InitError
	if !errors.As(err, &failed) || failed.Instance != 1 || !strings.Contains(err.Error(), "told to fail") {
		t.Fatalf("error %v", err)
	}

	e, err := h.Wait(ctx)
	must(t, err)

	if e.Code != 255 {
		t.Fatalf("exit %+v", e)
	}
	// The unthreaded one is taken down, the failed one and those on threads are not
	// (seen on v5.1.1).
	if got := fnsOf(h, 0); !slices.Equal(got, []string{"Init", "Pause", "PreExit", "Exit"}) {
		t.Errorf("calls %v", got)
	}

	if got := fnsOf(h, 1); !slices.Equal(got, []string{"Init"}) {
		t.Errorf("calls %v", got)
	}
}

func TestKillAtEachPointLosesNothingUnthreaded(t *testing.T) {
	for _, mode := range []string{"return", "append"} {
		for _, point := range []string{"callback", "append", "before_cleanup", "after_cleanup"} {
			if mode == "append" && strings.HasSuffix(point, "cleanup") {
				continue // nothing is returned, so nothing is cleaned up
			}

			t.Run(mode+"/"+point, func(t *testing.T) {
				t.Parallel()
				dir, ctx := t.TempDir(), deadline(t)
				// The probe writes its state file in the callback, which a busy disk
				// can make slow.
				cfg := Config{
					Plugin:        probe(t),
					StorageDir:    dir,
					Tick:          quick,
					CallbackLimit: -1,
					Instances: []Instance{
						{Props: Props("mode", mode, "limit", "30", "state", filepath.Join(t.TempDir(), "state"))}},
				}
				for range 3 {
					h := Run(t, cfg)
					h.KillAt(point, 2)
					e, err := h.Wait(ctx)
					must(t, err)

					if e.Signal != syscall.SIGKILL {
						t.Fatalf("exit %+v", e)
					}
				}

				h := Run(t, cfg)
				must(t, h.WaitCalls(ctx, "Callback", 0, 12))
				_, err := h.Stop(ctx)
				must(t, err)

				seen := map[string]bool{}
				for _, id := range ids(t, dir) {
					seen[id] = true
				}

				for i := range 30 {
					if !seen[fmt.Sprintf("p-%d", i)] {
						t.Errorf("p-%d is lost", i)
					}
				}
			})
		}
	}
}
