package instance

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/tokens"
)

// Host is one instance's side of Fluent Bit. Get works while Open runs, the rest until
// Exit; all on Fluent Bit's threads only.
type Host interface {
	config.Getter
	// LogEnabled tells whether lines of a level (flb_log.h: 1 error … 5 trace) are
	// wanted.
	LogEnabled(level int) bool
	// Log prints a line.
	Log(level int, text string)
	// CanAppend tells whether the host offers direct append.
	CanAppend() bool
	// Append hands over events under a tag (empty: the input's own) and tells whether
	// they were kept. It may call Process.Pause.
	Append(tag string, events []byte) bool
}

// Thread is the thread that a callback arrives on.
type Thread struct {
	ID   uint64
	Name string
}

// Threaded tells whether it is the thread of one input alone (Fluent Bit's default)
// rather than the one that moves everything, `flb-pipeline`.
func (t Thread) Threaded() bool { return strings.HasPrefix(t.Name, "flb-in-") }

// Handle names an instance towards C.
type Handle uintptr

// Process is the registry of all instances in the process and what they share. Its
// methods are safe for concurrent use.
type Process struct {
	shared *shared
	time   timeShare

	exitTime, redeemTime time.Duration

	warned sync.Once // of the process's environment
	// commandLine returns that of Fluent Bit.
	commandLine func() []string

	mu        sync.RWMutex
	instances map[Handle]*Instance
	next      Handle
}

// NewProcess makes an empty registry.
func NewProcess() *Process {
	return &Process{
		shared:      newShared(),
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
	log    *logger
	input  *collect.Input
	crew   *crew

	started   bool
	behind    bool // the last tick left something waiting; of the collect callback's thread
	appending atomic.Bool
	faultAt   atomic.Int64 // when a panic was last reported, nanoseconds since 1970
}

// Open puts an [INPUT] section together. On a fault it prints a line for each, and ok
// is false; nothing is left behind then. forked says that the process was forked after
// the plugin had been loaded.
func (p *Process) Open(h Host, t Thread, forked bool) (handle Handle, ok bool) {
	log := newLogger(h)
	defer log.flush()

	i, err := p.open(h, t, forked, log)
	if err != nil {
		for _, line := range faults(err) {
			log.log(collect.Error, "", line)
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

func (p *Process) open(h Host, t Thread, forked bool, log *logger) (i *Instance, err error) {
	defer func() {
		if r := recover(); r != nil {
			i, err = nil, fmt.Errorf("a fault in the plugin, please report it: %v", r)
		}
	}()

	if forked {
		return nil, fmt.Errorf(
			"fluent-bit runs as a daemon (-d, or `daemon on`), in which a Go plugin cannot work: run it in the foreground, under systemd for instance",
		)
	}

	p.warned.Do(func() {
		for _, w := range config.EnvironmentWarnings(config.Sources{}) {
			log.log(collect.Warn, "", w.String())
		}
	})

	cfg, warnings, err := config.FromPlugin(h, config.Sources{})
	for _, w := range warnings {
		log.log(collect.Warn, w.Tenant, w.String())
	}

	if err != nil {
		return nil, err
	}

	mode := delivery.Sure

	if t.Threaded() {
		if !cfg.AllowThreaded {
			return nil, fmt.Errorf(
				"`threaded` is on, where Fluent Bit can lose alerts without telling anybody: add the line `Threaded Off` to the [INPUT] section of %s (or `allow_threaded on`, to run without the promise)",
				subject(cfg),
			)
		}

		mode = delivery.BestEffort

		log.log(
			collect.Warn,
			"",
			"runs threaded, best effort: an end of Fluent Bit can lose alerts; `Threaded Off` avoids that",
		)
	}

	p.warnOfHost(h, cfg, log)

	if !h.CanAppend() {
		for _, tenant := range cfg.Tenants {
			if tenant.Tag != "" {
				return nil, fmt.Errorf(
					"`tag` of tenant %s: this host does not let an input choose its tags (flb_input_log_append is missing); use an [INPUT] per tag",
					tenant.TenantName,
				)
			}
		}
	}

	i = &Instance{host: h, thread: t.ID, log: log}

	i.crew, err = p.shared.assemble(cfg, mode, log)
	if err != nil {
		return nil, err
	}

	i.input = i.crew.input

	return i, nil
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

// Collect is the collect callback: it hands over what is queued, by append or, where
// the host has none, by returning it.
func (p *Process) Collect(h Handle) (events []byte) {
	i := p.get(h)
	if i == nil {
		return nil
	}
	defer i.contain()

	if !i.started {
		i.started = true
		i.input.Start()
	}
	defer i.log.flush()

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

// Pause keeps the instances that it means from handing anything over. It takes no lock
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
// holds the only good refresh token: that lives tokens.GraceTime longer, and is then
// written down.
const (
	exitTime   = 1500 * time.Millisecond
	redeemTime = tokens.GraceTime + time.Second
)

// Exit ends the instances of a thread and writes down what was taken in.
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

			if err := i.input.Stop(ctx); err != nil {
				i.log.log(
					collect.Warn,
					"",
					fmt.Sprintf(
						"the last seconds' progress could not be written down; some alerts will be repeated: %v",
						err,
					),
				)
			}

			i.crew.end(longer)
		})
		p.time.note(&i.behind, false)
	}

	wg.Wait()

	for _, i := range ending {
		i.log.close()
	}
}

// faultEvery is how often a panic that comes again and again is reported.
const faultEvery = 15 * time.Minute

// contain keeps a panic of ours from ending Fluent Bit; one that lasts is reported now
// and then.
func (i *Instance) contain() {
	r := recover()
	if r == nil {
		return
	}

	now := time.Now().UnixNano()
	if last := i.faultAt.Load(); (last == 0 || now-last >= int64(faultEvery)) && i.faultAt.CompareAndSwap(last, now) {
		i.log.log(collect.Error, "", fmt.Sprintf("a fault in the plugin, please report it: %v", r))
	}
}
