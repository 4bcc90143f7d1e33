package instance

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/tokens"
)

// Host is Fluent Bit as one instance sees it. Get may be called while Open runs, the
// other methods until Exit; all of them on Fluent Bit's threads only.
type Host interface {
	config.Getter
	// LogEnabled reports whether Fluent Bit prints lines of a level (flb_log.h: 1 error
	// … 5 trace).
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

	exitTime, redeemTime time.Duration // the constants of these names; shorter in tests

	warned sync.Once // warns of the environment of the process
	tidied sync.Once // calls returnMemory
	// commandLine returns the command line of Fluent Bit.
	commandLine func() []string

	mu        sync.RWMutex
	instances map[Handle]*Instance
	next      Handle
}

// NewProcess makes an empty registry.
func NewProcess() *Process {
	limitGarbage()

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

	started   bool         // used on the thread of the collect callback only
	behind    bool         // the last tick left something waiting; used on that thread too
	appending atomic.Bool  // an append is running
	faultAt   atomic.Int64 // when a panic was last reported, nanoseconds since 1970
}

func (p *Process) get(h Handle) *Instance {
	p.mu.RLock()
	defer p.mu.RUnlock()

	return p.instances[h]
}

// OnThread returns the instance that a callback without context means: the only one of
// the thread, or 0 if there are several.
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

// affected returns the instances that Pause or Resume, which have no context, mean: the
// one that is appending on this thread at this moment, or else all of the thread.
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

// Cleanup is called when the host has copied what Collect returned.
func (p *Process) Cleanup(h Handle) {
	if i := p.get(h); i != nil {
		defer i.contain()

		i.input.Delivery.Copied()
	}
}

// Pause stops the delivery of the instances that are meant. It takes no lock that is
// held across an append.
func (p *Process) Pause(thread uint64) {
	for _, i := range p.affected(thread) {
		i.input.Delivery.Pause()
	}
}

// Resume lets the instances that are meant deliver again.
func (p *Process) Resume(thread uint64) {
	for _, i := range p.affected(thread) {
		i.input.Delivery.Resume()
	}
}

// exitTime is how long the end of an input may take: Fluent Bit waits for it.
// redeemTime is the most it may take while a redemption is under way, whose answer
// holds the only good refresh token: the redemption may take tokens.GraceTime longer,
// and then the token is stored.
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

			i.set.leaveNode(err == nil)
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

// contain is deferred: it keeps a panic of the plugin from ending Fluent Bit. A panic
// that comes again and again is reported once in faultEvery.
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
