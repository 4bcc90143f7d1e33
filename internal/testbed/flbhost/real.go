package flbhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// ErrNoFluentBit is returned by Find when this machine has no Fluent Bit.
var ErrNoFluentBit = errors.New("no fluent-bit: set FLUENT_BIT or install it")

// Find returns the path of this machine's Fluent Bit: $FLUENT_BIT, else fluent-bit on
// the PATH.
func Find() (string, error) {
	name := os.Getenv("FLUENT_BIT")
	if name == "" {
		name = "fluent-bit"
	}

	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("flbhost: %w", errors.Join(ErrNoFluentBit, err))
	}

	return path, nil
}

// Process is what Host and Real have in common: one run of the plugin in its host.
type Process interface {
	Logs() []LogLine
	WaitLog(ctx context.Context, substring string) (LogLine, error)
	WaitEvents(ctx context.Context, n int) error
	Outputs(up bool)
	Reload(ctx context.Context, instances []Instance) error
	ReloadRefused(ctx context.Context) error
	Signal(s os.Signal) error
	Stop(ctx context.Context) (Exit, error)
	Kill() (Exit, error)
	Wait(ctx context.Context) (Exit, error)
	Records() ([]Record, error)
	PID() int
}

var (
	_ Process = (*Host)(nil)
	_ Process = (*Real)(nil)
)

// Real is a running Fluent Bit with the plugin. Its outputs deliver to a receiver in
// this process, once a second; Appends are the chunks that came there, and Records
// reads them. Chunks are files under StorageDir, so another Real on the same StorageDir
// delivers what a killed one left behind.
type Real struct {
	*process
	cfg      Config
	receiver *receiver
}

// StartReal writes a configuration for the Fluent Bit at path program, starts it, and
// waits until it runs. When an Init fails it returns an *InitError (with Instance -1:
// the log names it) and the Real, whose end Wait sees.
func StartReal(ctx context.Context, program string, cfg Config) (*Real, error) {
	if cfg.StorageDir == "" {
		return nil, fmt.Errorf("flbhost: StorageDir: %w", os.ErrInvalid)
	}

	r := &Real{process: newProcess(), cfg: cfg}

	var err error

	r.receiver, err = newReceiver(r.received(), func(tag string, events, bytes int) {
		r.update(func() {
			r.appends = append(r.appends, Append{
				Instance: -1,
				Tag:      tag,
				Events:   events,
				Bytes:    bytes,
				Accepted: true,
			})
		})
	})
	if err != nil {
		return nil, err
	}

	if err := r.configure(cfg.Instances); err != nil {
		r.receiver.close()
		return nil, err
	}

	r.cmd = exec.Command(program, "-c", r.configFile())

	r.cmd.Env, _ = cfg.environment()

	if err := r.launch(nil, r.logLine); err != nil {
		r.receiver.close()
		return nil, err
	}
	go func() {
		<-r.ended
		r.receiver.close()
	}()

	if err := r.waitStarted(ctx, 0); err != nil {
		return r, err
	}

	return r, nil
}

func (r *Real) received() string { return filepath.Join(r.cfg.StorageDir, "received") }
func (r *Real) configFile() string {
	name := "fluent-bit.yaml"
	if r.cfg.Classic {
		name = "fluent-bit.conf"
	}

	return filepath.Join(r.cfg.StorageDir, name)
}

// Log lines of core by which its state is known.
const (
	startedLine    = "stream processor started"
	initFailedLine = "failed to initialize"
	reloadDeadLine = "Reloading is halted"
)

// waitStarted waits until Fluent Bit said more than before times that it runs.
func (r *Real) waitStarted(ctx context.Context, before int) error {
	failed, refused := false, false

	err := r.wait(ctx, "the start", func() bool {
		n := 0

		for _, l := range r.logs {
			switch {
			case strings.Contains(l.Text, startedLine):
				n++
			case strings.Contains(l.Text, initFailedLine):
				failed = true
			case strings.Contains(l.Text, reloadDeadLine):
				refused = true
			}
		}

		return n > before || failed || refused
	})
	switch {
	case err == nil && failed:
		return &InitError{Instance: -1, Logs: r.Logs()}
	case err == nil && refused:
		return fmt.Errorf("flbhost: %w", ErrReloadRefused)
	}

	return err
}

var logPattern = regexp.MustCompile(`^\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d[.\d]*\] \[ *(\w+)\] (.*)$`)

func (r *Real) logLine(line []byte) {
	l := LogLine{Level: LevelStderr, Text: string(line)}
	if m := logPattern.FindStringSubmatch(l.Text); m != nil {
		if level, ok := levelNames[m[1]]; ok {
			l = LogLine{Level: level, Text: m[2]}
		}
	}

	r.update(func() { r.logs = append(r.logs, l) })
}

// Outputs says whether the receiver takes in what is delivered to it; Fluent Bit tries
// again after a second or two.
func (r *Real) Outputs(up bool) { r.receiver.refuse.Store(!up) }

// Reload writes a configuration with new sections, sends SIGHUP and waits until the new
// instances run.
func (r *Real) Reload(ctx context.Context, instances []Instance) error {
	if err := r.configure(instances); err != nil {
		return err
	}

	return r.reload(ctx)
}

// ReloadRefused asks for a reload with a configuration that is not valid, which leaves
// the instances running. It returns ErrReloadRefused when all went as it should.
func (r *Real) ReloadRefused(ctx context.Context) error {
	// The bad section stands first: v5.1.1 crashes when it throws away a configuration
	// in which it has already read an unthreaded Go input (flb_input_pause_all for an
	// instance that was never initialised).
	broken := append([]Instance{{name: "no_such_input"}}, r.cfg.Instances...)
	if err := r.configure(broken); err != nil {
		return err
	}

	err := r.reload(ctx)

	return errors.Join(err, r.configure(r.cfg.Instances))
}

func (r *Real) reload(ctx context.Context) error {
	before := 0

	for _, l := range r.Logs() {
		if strings.Contains(l.Text, startedLine) {
			before++
		}
	}

	if err := r.Signal(syscall.SIGHUP); err != nil {
		return err
	}

	return r.waitStarted(ctx, before)
}

// Records returns the events delivered so far, by this Real and earlier ones on the
// same StorageDir.
func (r *Real) Records() ([]Record, error) { return Records(r.received()) }
