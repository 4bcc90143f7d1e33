package flbhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"fluent-bit-defender/internal/config/envvar"
)

// ErrReloadRefused is returned by Reload when the new configuration was not taken and
// the old one stays in force.
var ErrReloadRefused = errors.New("reload refused")

// InitError is returned by Start and Reload when FLBPluginInit of an instance failed.
type InitError struct {
	Instance int       // index in Config.Instances
	Logs     []LogLine // everything logged until then
}

// Error names the instance and the plugin's last error line.
func (e *InitError) Error() string {
	last := "no log line"

	for _, l := range e.Logs {
		if l.Level == LevelError && !l.Core {
			last = l.Text
		}
	}

	return fmt.Sprintf("flbhost: Init of instance %d failed: %s", e.Instance, last)
}

// Host is a running conformance host. All methods may be called from several goroutines.
type Host struct {
	*process
	cfg     Config
	lookup  envvar.Lookup
	writeMu sync.Mutex
	stdin   io.WriteCloser
}

// Start compiles the host if needed, starts it and waits until all instances are
// initialised and running, or ctx is done. When an Init fails it returns an *InitError
// and the Host: its logs can be read, and Wait sees it end. The process dies with ctx
// only during Start; end it with Stop or Kill.
func Start(ctx context.Context, cfg Config) (*Host, error) {
	config, err := cfg.configLine()
	if err != nil {
		return nil, err
	}

	env, lookup := cfg.environment()

	lines, err := instanceLines(cfg.Instances, lookup)
	if err != nil {
		return nil, err
	}

	program, err := Build(ctx, cfg.BuildDir, BuildOptions{NoDirectAppend: cfg.NoDirectAppend})
	if err != nil {
		return nil, err
	}

	h := &Host{process: newProcess(), cfg: cfg, lookup: lookup}
	h.cmd = exec.Command(program)

	h.cmd.Env = env
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("flbhost: %w", err)
	}

	if err := h.launch(h.event, h.stderrLine); err != nil {
		return nil, err
	}

	h.send(config...)

	for _, l := range lines {
		h.send(l...)
	}

	h.send("start")

	if err := h.waitMark(ctx, "started", 0, 0); err != nil {
		var failed *InitError
		if !errors.As(err, &failed) {
			_, _ = h.Kill()
		}

		return h, err
	}

	return h, nil
}

func (h *Host) stderrLine(line []byte) {
	h.update(func() { h.logs = append(h.logs, LogLine{Level: LevelStderr, Text: string(line), Direct: true}) })
}

// event is one line of the host's output, the union of all kinds.
type event struct {
	Event, Text, Fn, Thread, Tag, Where                                string
	Ins, Level, Core, Worker, Bytes, Events, Direct, Ret, Arg, TID, NS int64
}

func (h *Host) event(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		h.update(func() { h.violations = append(h.violations, "the host wrote "+strconv.Quote(string(line))) })
		return
	}

	h.update(func() {
		switch e.Event {
		case "log":
			h.logs = append(h.logs, LogLine{
				Level:  Level(e.Level),
				Text:   e.Text,
				Core:   e.Core == 1,
				Direct: e.Core == 0 && e.Worker == 0,
			})
		case "call":
			h.calls = append(h.calls, Call{
				Fn:       e.Fn,
				Instance: int(e.Ins),
				Thread:   e.Thread,
				TID:      int(e.TID),
				Arg:      int(e.Arg),
				Ret:      int(e.Ret),
				Took:     time.Duration(e.NS),
			})
		case "append":
			h.appends = append(h.appends, Append{
				Instance: int(e.Ins),
				Tag:      e.Tag,
				Bytes:    int(e.Bytes),
				Events:   int(e.Events),
				Direct:   e.Direct == 1,
				Accepted: e.Ret == 0,
			})
		case "violation":
			h.violations = append(h.violations, e.Text)
		case "lost":
			h.lost[e.Where] += int(e.Bytes)
		case "init_failed":
			h.failed = int(e.Ins)
		default:
			h.marks[e.Event]++
		}
	})
}

// waitMark waits for the next mark that says the instances run, or for the news that
// they do not.
func (h *Host) waitMark(ctx context.Context, mark string, before, refused int) error {
	err := h.wait(ctx, mark, func() bool {
		return h.marks[mark] > before || h.marks["reload_refused"] > refused || h.failed >= 0
	})
	if err != nil {
		return err
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	switch {
	case h.failed >= 0:
		return &InitError{Instance: h.failed, Logs: append([]LogLine(nil), h.logs...)}
	case h.marks[mark] > before:
		return nil
	}

	return fmt.Errorf("flbhost: %w", ErrReloadRefused)
}

func (h *Host) send(words ...string) {
	line, err := json.Marshal(words)
	if err != nil {
		panic("flbhost: strings that JSON cannot say") // not possible
	}

	h.writeMu.Lock()
	defer h.writeMu.Unlock()
	// A process that is gone is seen by whoever waits for it.
	_, _ = h.stdin.Write(append(line, '\n'))
}
