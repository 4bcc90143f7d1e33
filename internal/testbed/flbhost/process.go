package flbhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// ErrEnded is returned by what waits for a process that has ended.
var ErrEnded = errors.New("the process has ended")

// Exit says how a process ended.
type Exit struct {
	Code   int            // exit code, -1 when a signal ended it
	Signal syscall.Signal // 0 when it ended by itself
	Took   time.Duration  // from the call of Stop or Kill; 0 in Wait
}

// process is the child process behind a Host or a Real.
type process struct {
	*journal
	cmd   *exec.Cmd
	ended chan struct{}
}

func newProcess() *process { return &process{journal: newJournal(), ended: make(chan struct{})} }

// launch starts the process and reads its output, line by line, until its end. The
// process does not outlive this one, however it ends: a test that panics or runs out of
// time cleans nothing up.
func (p *process) launch(stdout, stderr func([]byte)) error {
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	outPipe, err := p.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("flbhost: %w", err)
	}

	errPipe, err := p.cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("flbhost: %w", err)
	}

	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("flbhost: %w", err)
	}

	var readers sync.WaitGroup
	readers.Go(func() { readLines(outPipe, stdout) })

	readers.Go(func() { readLines(errPipe, stderr) })
	go func() {
		readers.Wait()
		_ = p.cmd.Wait() // the state says how it ended
		p.update(func() { p.done = true })
		close(p.ended)
	}()

	return nil
}

func readLines(r io.Reader, f func([]byte)) {
	in := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := in.ReadBytes('\n')
		if n := len(line); n > 0 && line[n-1] == '\n' {
			f(line[:n-1])
		} else if n > 0 {
			f(line)
		}

		if err != nil {
			return
		}
	}
}

// Signal sends a signal to the process.
func (p *process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("flbhost: signal %v: %w", s, err)
	}

	return nil
}

// Stop ends the process by SIGTERM and waits for it: Pause twice, the time of grace,
// PreExit and Exit in reverse order, Unregister. When ctx is done first it kills the
// process and returns the context's error.
func (p *process) Stop(ctx context.Context) (Exit, error) {
	start := time.Now()
	// A process that has ended already is no error: Wait says how.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	e, err := p.Wait(ctx)
	e.Took = time.Since(start)

	if err != nil {
		_, _ = p.Kill()
	}

	return e, err
}

// Kill ends the process by SIGKILL and waits for it.
func (p *process) Kill() (Exit, error) {
	start := time.Now()
	_ = p.cmd.Process.Kill() // see Stop
	e, err := p.Wait(context.Background())
	e.Took = time.Since(start)

	return e, err
}

// Wait waits for the end of the process, by itself, by KillAt or by a crash.
func (p *process) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-p.ended:
		return exitOf(p.cmd.ProcessState), nil
	case <-ctx.Done():
		return Exit{}, fmt.Errorf("flbhost: waiting for the end of the process: %w", ctx.Err())
	}
}

// PID returns the process id.
func (p *process) PID() int { return p.cmd.Process.Pid }

func exitOf(s *os.ProcessState) Exit {
	e := Exit{Code: s.ExitCode()}
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal()
	}

	return e
}
