package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/tokens"
)

// Host is one instance's side of Fluent Bit. Get works while Open runs, the rest until
// Exit; all on Fluent Bit's threads only.
type Host interface {
	config.Getter
	// LogEnabled reports whether lines of a level (flb_log.h: 1 error … 5 trace) are
	// wanted.
	LogEnabled(level int) bool
	// Log prints a line.
	Log(level int, text string)
	// CanAppend reports whether the host offers direct append.
	CanAppend() bool
	// Append offers events under a tag (empty: the input's own) and reports whether
	// Fluent Bit kept them. It may call Process.Pause.
	Append(tag string, events []byte) bool
}

// Thread is the thread that a callback arrives on.
type Thread struct {
	ID   uint64
	Name string
}

// Threaded reports whether it is the thread of one input alone (Fluent Bit's default)
// rather than the one that moves everything, `flb-pipeline`.
func (t Thread) Threaded() bool { return strings.HasPrefix(t.Name, "flb-in-") }

// Handle names an instance to the C side.
type Handle uintptr

// Process is the registry of all instances in the process and what they share. Its
// methods are safe for concurrent use.
type Process struct {
	shared *resources
	time   timeShare

	exitTime, redeemTime time.Duration // the constants, but in tests

	warned sync.Once // of the process's environment
	tidied sync.Once // see returnMemory
	// commandLine returns that of Fluent Bit.
	commandLine func() []string

	mu        sync.RWMutex
	instances map[Handle]*Instance
	next      Handle
}

// NewProcess makes an empty registry.
func NewProcess() *Process {
	boundGarbage()

	return &Process{
		shared:      newResources(),
		instances:   make(map[Handle]*Instance),
		exitTime:    exitTime,
		redeemTime:  redeemTime,
		commandLine: commandLine,
	}
}

// Instance is one [INPUT] section.
type Instance struct {
	host   Host
	thread uint64
	lines  *logQueue
	log    *slog.Logger // writes to lines
	input  *collect.Input
	set    *tenantSet

	started   bool         // of the collect callback's thread
	behind    bool         // the last tick left something waiting; of the same thread
	appending atomic.Bool  // an append is running
	faultAt   atomic.Int64 // when a panic was last reported, nanoseconds since 1970
}

// Open puts an [INPUT] section together. On a fault it prints a line for each, and ok
// is false; nothing is left behind then. forked says that the process was forked after
// the plugin had been loaded.
func (p *Process) Open(h Host, t Thread, forked bool) (handle Handle, ok bool) {
	lines := newLogQueue(h)
	defer lines.flush()

	i, err := p.open(h, t, forked, lines)
	if err != nil {
		log := lines.logger()
		for _, line := range faults(err) {
			log.Error(line)
		}

		return 0, false
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	p.next++
	p.instances[p.next] = i

	return p.next, true
}

// faults returns one line for each error that was joined.
func faults(err error) []string {
	var lines []string
	for _, e := range advice.Flatten(err) {
		lines = append(lines, e.Error())
	}

	return lines
}

// open makes the instance of a section. A panic in here becomes an error.
func (p *Process) open(h Host, t Thread, forked bool, lines *logQueue) (i *Instance, err error) {
	defer func() {
		if r := recover(); r != nil {
			i, err = nil, fmt.Errorf("a fault in the plugin, please report it: %v", r)
		}
	}()

	if forked {
		return nil, errors.New("fluent-bit runs as a daemon (-d, or `daemon on`), in which a Go plugin cannot work: " +
			"run it in the foreground, under systemd for instance")
	}

	log := lines.logger()

	p.warned.Do(func() {
		for _, w := range config.EnvironmentWarnings(config.Sources{}) {
			log.Warn(w.String())
		}
	})

	cfg, warnings, err := config.FromPlugin(h, config.Sources{})
	for _, w := range warnings {
		logs.Tenant(log, w.Tenant).Warn(w.String())
	}

	if err != nil {
		return nil, err
	}

	mode, err := modeOf(t, cfg, log)
	if err != nil {
		return nil, err
	}

	p.warnOfHost(h, cfg, log)

	if err := checkTags(h, cfg); err != nil {
		return nil, err
	}

	set, err := p.shared.assemble(cfg, mode, log)
	if err != nil {
		return nil, err
	}

	log.Info(set.introduction(cfg))

	return &Instance{
		host:   h,
		thread: t.ID,
		lines:  lines,
		log:    log,
		input:  set.input,
		set:    set,
	}, nil
}

// modeOf returns how an input on a thread delivers. It is an error to run threaded
// without having asked for it.
func modeOf(t Thread, cfg *config.Input, log *slog.Logger) (delivery.Mode, error) {
	if !t.Threaded() {
		return delivery.Sure, nil
	}

	if !cfg.AllowThreaded {
		return delivery.Sure, fmt.Errorf("`threaded` is on, where Fluent Bit can lose alerts without telling anybody: "+
			"add the line `Threaded Off` to the [INPUT] section of %s (or `allow_threaded on`, to run without "+
			"the promise)", subject(cfg))
	}

	log.Warn("runs threaded, best effort: an end of Fluent Bit can lose alerts; `Threaded Off` avoids that")

	return delivery.BestEffort, nil
}

// checkTags returns an error if a tenant has a tag of its own and the host does not let
// an input choose its tags.
func checkTags(h Host, cfg *config.Input) error {
	if h.CanAppend() {
		return nil
	}

	for _, t := range cfg.Examples() {
		if t.Tag != "" {
			return fmt.Errorf("`tag` of tenant %s: this host does not let an input choose its tags "+
				"(flb_input_log_append is missing); use an [INPUT] per tag", t.TenantName)
		}
	}

	return nil
}

// subject names a section by what it polls.
func subject(cfg *config.Input) string {
	if cfg.TenantsFile != "" {
		return "tenants_file " + cfg.TenantsFile
	}

	return "tenant " + cfg.Tenants[0].TenantName
}

func (p *Process) get(h Handle) *Instance {
	p.mu.RLock()
	defer p.mu.RUnlock()

	return p.instances[h]
}

// OnThread finds the instance for a callback without context: the only one of the
// thread, 0 if there are several.
func (p *Process) OnThread(t Thread) Handle {
	p.mu.RLock()
	defer p.mu.RUnlock()

	found := Handle(0)

	for h, i := range p.instances {
		if i.thread == t.ID {
			if found != 0 {
				return 0
			}

			found = h
		}
	}

	return found
}

// affected lists the instances that a callback without context means: the one that is
// appending at this moment, on this thread, else all of the thread.
func (p *Process) affected(thread uint64) (list []*Instance) {
	p.mu.RLock()
	defer p.mu.RUnlock()

	for _, i := range p.instances {
		if i.thread != thread {
			continue
		}

		if i.appending.Load() {
			return []*Instance{i}
		}

		list = append(list, i)
	}

	return list
}

// Collect is the collect callback. It delivers what is queued, by append or, where the
// host has none, by returning it.
func (p *Process) Collect(h Handle) (events []byte) {
	i := p.get(h)
	if i == nil {
		return nil
	}
	defer i.contain()

	if !i.started {
		i.started = true
		i.input.Start()
		p.tidied.Do(returnMemory)
		i.set.begin()
	}
	defer i.lines.flush()

	if !i.host.CanAppend() {
		return i.input.Delivery.Next()
	}

	behind := i.input.Delivery.Tick(func(tag string, events []byte) bool {
		i.appending.Store(true)
		defer i.appending.Store(false)

		return i.host.Append(tag, events)
	}, p.time.each())
	p.time.note(&i.behind, behind)

	return nil
}

// Cleanup says that the host has copied what Collect returned.
func (p *Process) Cleanup(h Handle) {
	if i := p.get(h); i != nil {
		defer i.contain()

		i.input.Delivery.Copied()
	}
}

// Pause keeps the instances that are meant from delivering anything. It takes no lock
// that is held across an append.
func (p *Process) Pause(thread uint64) {
	for _, i := range p.affected(thread) {
		i.input.Delivery.Pause()
	}
}

// Resume lets all instances of the thread go on.
func (p *Process) Resume(thread uint64) {
	for _, i := range p.affected(thread) {
		i.input.Delivery.Resume()
	}
}

// exitTime is how long the end of an input may take: Fluent Bit waits for it.
// redeemTime is the most it may take while a redemption is on its way, whose answer
// holds the only good refresh token: the redemption may take tokens.GraceTime longer, and
// the token is then stored.
const (
	exitTime   = 1500 * time.Millisecond
	redeemTime = tokens.GraceTime + time.Second
)

// Exit ends the instances of a thread and commits what was delivered.
func (p *Process) Exit(thread uint64) {
	p.mu.Lock()

	var ending []*Instance

	for h, i := range p.instances {
		if i.thread == thread {
			ending = append(ending, i)

			delete(p.instances, h)
		}
	}
	p.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), p.exitTime)
	defer cancel()

	longer, cancel := context.WithTimeout(context.Background(), p.redeemTime)
	defer cancel()

	var wg sync.WaitGroup
	for _, i := range ending {
		wg.Go(func() {
			defer i.contain()

			i.set.stopping()

			err := i.input.Stop(ctx)
			if err != nil {
				i.log.Warn(fmt.Sprintf("the progress of the last seconds could not be committed; some alerts will be "+
					"repeated: %v", err))
			}

			i.set.part(err == nil)
			i.set.end(longer)
		})
		p.time.note(&i.behind, false)
	}

	wg.Wait()

	for _, i := range ending {
		i.lines.close()
	}
}

// faultEvery is how often a panic that comes again and again is reported.
const faultEvery = 15 * time.Minute

// contain keeps a panic of the plugin from ending Fluent Bit. It is deferred. One that
// comes again and again is reported once in faultEvery.
func (i *Instance) contain() {
	r := recover()
	if r == nil {
		return
	}

	now := time.Now().UnixNano()
	if last := i.faultAt.Load(); (last == 0 || now-last >= int64(faultEvery)) && i.faultAt.CompareAndSwap(last, now) {
		i.log.Error(fmt.Sprintf("a fault in the plugin, please report it: %v", r))
	}
}
