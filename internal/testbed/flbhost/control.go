package flbhost

import (
	"context"
	"strconv"
	"syscall"
	"time"
)

// Limit pauses an instance as a limit that was reached does: FLBPluginInputPause, and
// from then on appends are refused until Resume. In an unthreaded instance the pause
// happens between two ticks.
func (h *Host) Limit(instance int) { h.send("limit", strconv.Itoa(instance)) }

// Pause is Limit: in Fluent Bit a running input is paused by a limit and by nothing else.
func (h *Host) Pause(instance int) { h.Limit(instance) }

// Resume ends the pause that Limit began.
func (h *Host) Resume(instance int) { h.send("resume", strconv.Itoa(instance)) }

// Outputs sets whether chunks can be delivered. While they cannot, MemBufLimit fills up
// and Stop waits for GraceSeconds.
func (h *Host) Outputs(up bool) { h.send("outputs", bit(up)) }

// DiskFull makes every append fail until it is called with false. As in Fluent Bit each
// of them leaves lines in the log, and an empty chunk file where no chunk is open.
func (h *Host) DiskFull(full bool) { h.send("disk_full", bit(full)) }

// Stall stops the engine thread for d, as a slow output or filter does.
func (h *Host) Stall(d time.Duration) { h.send("stall", strconv.FormatInt(d.Milliseconds(), 10)) }

// KillAt makes the process die by SIGKILL when it comes to a point for the n-th time.
// Points: "callback" (the plugin has returned, nothing is appended), "append" (the
// bytes are in the chunk, the plugin does not know yet), "before_cleanup",
// "after_cleanup", "pause" (Pause has returned). Wait sees the end.
func (h *Host) KillAt(point string, n int) { h.send("kill_at", point, strconv.Itoa(n)) }

// Sync waits until the host's main thread has read all commands before it. Limit, Resume,
// Outputs and Stall are then with the engine thread, which reads one of them a round.
func (h *Host) Sync(ctx context.Context) error {
	h.mu.Lock()
	before := h.marks["pong"]
	h.mu.Unlock()
	h.send("ping")

	return h.wait(ctx, "an answer", func() bool { return h.marks["pong"] > before })
}

// Reload does a hot reload (SIGHUP) with new sections. It returns when the new
// instances run. It fails with ErrReloadRefused when HotReload is off and with
// *InitError when a new instance does not start, which ends the process, as in Fluent
// Bit.
func (h *Host) Reload(ctx context.Context, instances []Instance) error {
	return h.reload(ctx, instances, false)
}

// ReloadRefused is a reload whose configuration Fluent Bit refuses: the plugin is
// registered and unregistered once more while its instances keep running. It returns
// ErrReloadRefused when all went as it should.
func (h *Host) ReloadRefused(ctx context.Context) error { return h.reload(ctx, h.cfg.Instances, true) }

func (h *Host) reload(ctx context.Context, instances []Instance, refuse bool) error {
	lines, err := instanceLines(instances, h.lookup)
	if err != nil {
		return err
	}

	for _, l := range lines {
		h.send(l...)
	}

	if refuse {
		h.send("refuse_reload")
	}

	if err := h.Sync(ctx); err != nil {
		return err
	}

	h.mu.Lock()
	before, refused := h.marks["reloaded"], h.marks["reload_refused"]
	h.mu.Unlock()

	if err := h.Signal(syscall.SIGHUP); err != nil {
		return err
	}

	return h.waitMark(ctx, "reloaded", before, refused)
}

// Records returns the events in the chunk files of this host's StorageDir, see Records.
func (h *Host) Records() ([]Record, error) { return Records(h.cfg.StorageDir) }
