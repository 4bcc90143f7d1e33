package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// Level is a log level of Fluent Bit.
type Level int

// Fluent Bit's log levels (flb_log.h).
const (
	Error Level = 1 + iota
	Warn
	Info
	Debug
	Trace
)

// Store keeps what must survive the process. store.Store is one.
type Store interface {
	// Load gives the checkpoint of a feed and what was emitted since; ok is false for a
	// feed never seen.
	Load(ctx context.Context, key store.FeedKey) (cp store.Checkpoint, seen []store.Seen, ok bool, err error)
	// Commit writes down the progress of several feeds in one transaction.
	Commit(ctx context.Context, commits []store.Commit) error
	// PendingRewind tells which of these feeds an operator wants to have emitted again,
	// and from when on; ApplyRewind does it and gives the checkpoint to go on from. ok
	// is false if there was nothing to do.
	PendingRewind(ctx context.Context, keys ...store.FeedKey) (map[store.FeedKey]tick.Tick, error)
	ApplyRewind(ctx context.Context, key store.FeedKey) (cp store.Checkpoint, ok bool, err error)
	// PutDeferred keeps what is set aside, and gives it the id by which DeferredEvents gives its
	// events and DropDeferred forgets it.
	PutDeferred(ctx context.Context, key store.FeedKey, a store.Deferred) (id int64, err error)
	// ListDeferred lists what is kept, without the events.
	ListDeferred(ctx context.Context, key store.FeedKey) ([]store.Deferred, error)
	DeferredEvents(ctx context.Context, key store.FeedKey, id int64) (row []byte, ok bool, err error)
	DropDeferred(ctx context.Context, key store.FeedKey, id int64) error
	// Status gives what was last shown of a feed; ok is false if nothing was.
	Status(ctx context.Context, key store.FeedKey) (status store.Status, ok bool, err error)
	// SetStatus replaces what `defenderctl status` shows of the feeds.
	SetStatus(ctx context.Context, statuses map[store.FeedKey]store.Status) error
}

// Config is what an Input works with. Fields without a remark are required.
type Config struct {
	Store          Store
	Now            func() time.Time
	Log            func(level Level, tenant, text string)
	BufferLimit    int
	MaxConcurrency int
	Mode           delivery.Mode // the zero value is Sure
	// Seen bounds the seen-sets; nil for the budget of the process.
	Seen *progress.Budget
	// Upkeep, if not nil, is called every few seconds, and once more when the input
	// ends: for what else wants to be done now and then.
	Upkeep func(ctx context.Context, ending bool)
}

// Input is one [INPUT] section at work: its tenants, the outbox they share, and what
// writes progress down. The zero value is not usable.
type Input struct {
	cfg      Config
	outbox   *delivery.Outbox
	Delivery *delivery.Sender // for the collect callback's thread
	places   *places
	changed  chan struct{} // something may be ready to be written down

	mu      sync.Mutex
	tenants []*Tenant // those that retire included, until the last of their alerts is written down

	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	wg     sync.WaitGroup
	commit sync.Mutex // one commit at a time

	storeFailing bool      // guarded by commit
	blockedSaid  bool      // of the reporter, as is blockedLast
	blockedLast  time.Time // when Fluent Bit last took nothing
}

// NewInput makes an input; it does nothing before Start.
func NewInput(cfg Config) *Input {
	cfg.Seen = cmp.Or(cfg.Seen, progress.Process)
	in := &Input{cfg: cfg, places: newPlaces(cfg.MaxConcurrency), changed: make(chan struct{}, 1)}
	in.outbox = delivery.NewOutbox(cfg.BufferLimit)
	in.Delivery = delivery.NewSender(in.outbox, cfg.Mode, cfg.Now)

	return in
}

// firstPolls is within how long every tenant is polled for the first time after a start.
const firstPolls = 10 * time.Second

// Start begins to poll: all tenants within firstPolls, and then the k-th of n at k/n of
// its interval.
func (in *Input) Start() {
	in.ctx, in.cancel = context.WithCancel(context.Background())

	tenants := in.all()
	for k, t := range tenants {
		interval := t.cfg.PollInterval
		t.phase = interval * time.Duration(k) / time.Duration(len(tenants))
		t.start(min(interval, firstPolls) * time.Duration(k) / time.Duration(len(tenants)))
	}

	in.run(in.ctx, "", in.committer)
	in.run(in.ctx, "", in.reporter)
}

// Stop ends polling, writes down what was taken in until now and what waits, and
// returns within a few seconds. It may be called twice, and without Start.
func (in *Input) Stop(ctx context.Context) error {
	if in.cancel == nil {
		in.outbox.Close()
		return nil
	}

	in.cancel() // first: whoever waits at the outbox is to see that it is the end, not a fault
	in.outbox.Close()

	for _, t := range in.all() {
		t.update(func(s *store.Status) { s.State = health.Stopped })
	}
	// What was taken in is written down first: a goroutine that does not end in time
	// must not use up the time for it.
	err := errors.Join(in.save(ctx), in.report(ctx))
	done := make(chan struct{})

	go func() {
		in.wg.Wait()

		for _, t := range in.all() {
			t.progress.End()
		}

		close(done)
	}()

	select {
	case <-done:
		in.park()
		err = errors.Join(in.save(ctx), in.report(ctx)) // the last steps of the others
	case <-ctx.Done():
	}

	in.upkeep(ctx, true)

	return err
}

// Ended is closed when, after Stop, the last of the input's goroutines has ended; they
// use the store until then.
func (in *Input) Ended() <-chan struct{} {
	ended := make(chan struct{})

	go func() {
		in.wg.Wait()
		close(ended)
	}()

	return ended
}

func (in *Input) upkeep(ctx context.Context, ending bool) {
	if in.cfg.Upkeep != nil {
		in.cfg.Upkeep(ctx, ending)
	}
}

// run starts a goroutine that survives its own panics: it reports them and goes on
// after a pause that grows.
func (in *Input) run(ctx context.Context, tenant string, work func(context.Context)) {
	in.wg.Go(func() { in.keepRunning(ctx, tenant, work) })
}

func (in *Input) keepRunning(ctx context.Context, tenant string, work func(context.Context)) {
	for pause := time.Second; ctx.Err() == nil; pause = min(2*pause, longestPause) {
		began := in.cfg.Now()
		if in.contained(ctx, tenant, work) {
			return
		}

		if in.cfg.Now().Sub(began) > 2*longestPause {
			pause = time.Second // it worked for a long time
		}

		sleep(ctx, pause)
	}
}

// contained runs work and tells whether it ended by itself rather than by a panic.
func (in *Input) contained(ctx context.Context, tenant string, work func(context.Context)) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			in.log(
				Error,
				tenant,
				fmt.Sprintf("a fault in the plugin, please report it; it starts again by itself: %v", p),
			)
			in.log(Debug, tenant, string(debug.Stack()))
		}
	}()

	work(ctx)

	return true
}

func (in *Input) log(l Level, tenant, text string) { in.cfg.Log(l, tenant, text) }

// dirty wakes the committer; it never waits.
func (in *Input) dirty() {
	select {
	case in.changed <- struct{}{}:
	default:
	}
}

// Timing of commits. What was delivered since the last one is repeated after a kill;
// docs/contract.md allows five seconds of that.
const (
	commitPause = time.Second
	retryPause  = 2 * time.Second
	reportPause = 5 * time.Second
)

// committer writes progress down, at most once in commitPause.
func (in *Input) committer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.changed:
		}

		pause := commitPause
		if err := in.save(ctx); err != nil && ctx.Err() == nil {
			pause = retryPause

			in.dirty()
		}

		if !sleep(ctx, pause) {
			return
		}
	}
}

// save writes down, in one transaction, what was taken in of every tenant.
func (in *Input) save(ctx context.Context) error {
	in.commit.Lock()
	defer in.commit.Unlock()

	var (
		commits []store.Commit
		after   []func()
	)

	for _, t := range in.all() {
		if c, committed, ok := t.commit(); ok {
			commits, after = append(commits, c), append(after, committed)
		}
	}

	if len(commits) == 0 {
		in.buryRetired()
		return nil
	}

	if err := in.cfg.Store.Commit(ctx, commits); err != nil {
		if !in.storeFailing && ctx.Err() == nil {
			in.storeFailing = true
			in.log(
				Error,
				"",
				fmt.Sprintf(
					"progress cannot be written down; polling goes on, and if the process ends meanwhile alerts are repeated: %v",
					err,
				),
			)
		}

		return err
	}

	if in.storeFailing {
		in.storeFailing = false
		in.log(Info, "", "progress can be written down again")
	}

	for _, committed := range after {
		committed()
	}

	in.buryRetired()

	return nil
}

// reporter writes the status of all tenants, in one transaction, and looks whether an
// operator wants something.
func (in *Input) reporter(ctx context.Context) {
	for {
		in.askForRewinds(ctx)
		in.upkeep(ctx, false)

		for _, t := range in.all() {
			t.checkPace()
		}

		in.sayBlocked()

		if err := in.report(ctx); err != nil && ctx.Err() == nil {
			in.log(Debug, "", fmt.Sprintf("the status cannot be written: %v", err))
		}

		if !sleep(ctx, reportPause) {
			return
		}
	}
}

// report writes the status of the tenants that have read what the store shows of them.
func (in *Input) report(ctx context.Context) error {
	list := make(map[store.FeedKey]store.Status)

	for _, t := range in.all() {
		if t.progress.Begun() {
			list[t.cfg.Key] = t.snapshot()
		}
	}

	return in.cfg.Store.SetStatus(ctx, list)
}

// askForRewinds passes on what `defenderctl rewind` wrote into the store.
func (in *Input) askForRewinds(ctx context.Context) {
	tenants := in.all()

	keys := make([]store.FeedKey, len(tenants))
	for i, t := range tenants {
		keys[i] = t.cfg.Key
	}

	pending, err := in.cfg.Store.PendingRewind(ctx, keys...)
	if err != nil {
		in.log(Debug, "", fmt.Sprintf("the store cannot be asked for rewinds: %v", err))
	}

	for _, t := range tenants {
		if _, ok := pending[t.cfg.Key]; ok {
			if t.rewind.CompareAndSwap(false, true) {
				t.Wake()
			}
		}
	}
}
