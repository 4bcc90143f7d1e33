package collect

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// Store keeps what must survive the process. store.Store is one.
type Store interface {
	// Load returns the checkpoint of a unit and its seen-set; ok is false for a unit that
	// was never seen.
	Load(ctx context.Context, key alert.UnitKey) (cp store.Checkpoint, seen []store.Seen, ok bool, err error)
	// Commit writes the progress of several units in one transaction.
	Commit(ctx context.Context, commits []store.Commit) error
	// PendingRewind returns the units, of those given, whose alerts an operator wants
	// again, and from when on. ApplyRewind takes a unit back and returns the checkpoint
	// to go on from; ok is false if there was nothing to do.
	PendingRewind(ctx context.Context, keys ...alert.UnitKey) (map[alert.UnitKey]tick.Tick, error)
	ApplyRewind(ctx context.Context, key alert.UnitKey) (cp store.Checkpoint, ok bool, err error)
	// PutDeferred keeps deferred work, and returns the id by which DeferredEvents returns
	// its events and DropDeferred forgets it.
	PutDeferred(ctx context.Context, key alert.UnitKey, d store.Deferred) (id int64, err error)
	// ListDeferred returns the deferred work of a unit, without the events.
	ListDeferred(ctx context.Context, key alert.UnitKey) ([]store.Deferred, error)
	DeferredEvents(ctx context.Context, key alert.UnitKey, id int64) (events []byte, ok bool, err error)
	DropDeferred(ctx context.Context, key alert.UnitKey, id int64) error
	// Status returns what was last shown of a unit; ok is false if nothing was.
	Status(ctx context.Context, key alert.UnitKey) (status store.Status, ok bool, err error)
	// SetStatus replaces what `defenderctl status` shows of the units.
	SetStatus(ctx context.Context, statuses map[alert.UnitKey]store.Status) error
}

// Config is what an Input works with. Fields without a remark are required.
type Config struct {
	Store          Store
	Now            func() time.Time
	Log            *slog.Logger // lines about one tenant get the attribute "tenant"
	BufferLimit    int
	MaxConcurrency int           // 0: it follows from the number of units, see newPlaces
	Mode           delivery.Mode // the zero value is Sure
	// Lease says when units may be polled and delivered; nil means always, since no other
	// machine uses the store.
	Lease Lease
	// Seen bounds the seen-sets; nil for the budget of the process.
	Seen *progress.Budget
	// Upkeep, if not nil, is called every few seconds, and once more when the input ends.
	// It is for other regular work of the caller.
	Upkeep func(ctx context.Context, ending bool)
}

// Input is one [INPUT] section at work: its units, the outbox that they share, and the
// goroutines that write progress and status to the store. NewInput makes one.
type Input struct {
	cfg      Config
	name     string // of this run: see store.Freshen
	log      *slog.Logger
	outbox   *delivery.Outbox
	Delivery *delivery.Sender // for the collect callback's thread
	places   *places
	starts   measure.Starts // of polls
	changed  chan struct{}  // something may be ready to be committed

	mu    sync.Mutex
	units []*Unit // retired ones too, until everything of them is committed
	added int     // units so far

	began  time.Time       // when Start was called
	ctx    context.Context // ends with Stop; nil before Start
	cancel context.CancelFunc
	wg     sync.WaitGroup

	workers *workers // nil before Start

	commit     sync.Mutex // one commit, or one rewind, at a time
	storeFault faultLog   // guarded by commit
	storeFails atomic.Pointer[storeFailure]
	// storeFaults has a lock of its own.
	storeFaults storeFaults

	notice     atomic.Pointer[health.Trouble] // see SetNotice
	firstPolls firstPolls

	storeErrors atomic.Uint64 // calls of the store that failed

	// Only the reporter uses these.
	blocked     faultLog
	blockedLast time.Time // when Fluent Bit was last blocked
}

// NewInput returns an input. It does nothing before Start.
func NewInput(cfg Config) *Input {
	cfg.Seen = cmp.Or(cfg.Seen, progress.Process)
	in := &Input{
		cfg:     cfg,
		name:    rand.Text(),
		log:     cfg.Log,
		outbox:  delivery.NewOutbox(cfg.BufferLimit),
		places:  newPlaces(cfg.MaxConcurrency),
		changed: make(chan struct{}, 1),
	}
	in.firstPolls = firstPolls{log: cfg.Log, now: cfg.Now}
	in.cfg.Store = countedStore{cfg.Store, &in.storeErrors, cfg.Lease}
	in.Delivery = delivery.NewSender(in.outbox, cfg.Mode, cfg.Now)

	if cfg.Lease != nil {
		in.Delivery.OnlyWhile(cfg.Lease.Trusted)
	}

	return in
}

// firstPollsWithin is the time after a start within which every unit is polled once.
const firstPollsWithin = 10 * time.Second

// Start begins to poll: all units within firstPollsWithin, and then each at its turn.
func (in *Input) Start() {
	in.began = in.cfg.Now()
	in.ctx, in.cancel = context.WithCancel(context.Background())
	in.workers = newWorkers(in.ctx.Done())

	units := in.all()
	for k, u := range units {
		u.start(inStep(min(u.cfg.PollInterval, firstPollsWithin) * time.Duration(k) / time.Duration(len(units))))
	}

	in.run(in.ctx, in.log, in.committer)
	in.run(in.ctx, in.log, in.reporter)
}

// Stop ends polling, commits what was delivered until now, parks what is queued, and
// returns within a few seconds. It may be called twice, and without Start.
func (in *Input) Stop(ctx context.Context) error {
	if in.cancel == nil {
		in.outbox.Close()
		return nil
	}

	in.cancel() // before Close: who waits for the outbox then sees that this is no fault
	in.outbox.Close()

	for _, u := range in.all() {
		u.Wake()
	}

	if in.cfg.Lease == nil {
		return in.finish(ctx)
	}

	// A database may take longer than ctx to answer, or not answer at all.
	finished := make(chan error, 1)

	go func() { finished <- in.finish(ctx) }()

	select {
	case err := <-finished:
		return err
	case <-ctx.Done():
		return errors.New("the store does not answer in time")
	}
}

// finish commits what was delivered, and parks what is queued.
func (in *Input) finish(ctx context.Context) error {
	for _, u := range in.all() {
		u.status.update(func(s *store.Status) { s.State = health.Stopped })
	}

	// What was delivered is committed first: a goroutine that does not end in time must
	// not use up the time for it.
	err := errors.Join(in.commitDelivered(ctx), in.report(ctx))
	done := make(chan struct{})

	go func() {
		in.wg.Wait()

		for _, u := range in.all() {
			u.progress.End()
		}

		close(done)
	}()

	select {
	case <-done:
		in.park()
		err = errors.Join(in.commitDelivered(ctx), in.report(ctx)) // with the last steps of the others
	case <-ctx.Done():
	}

	in.upkeep(ctx, true)

	return err
}

// Ended is called after Stop. It returns a channel that is closed when the last of the
// input's goroutines has ended. They may use the store until then.
func (in *Input) Ended() <-chan struct{} {
	ended := make(chan struct{})

	go func() {
		in.wg.Wait()
		close(ended)
	}()

	return ended
}

// run starts a goroutine that survives its own panics: they are logged, and it goes on
// after a pause that grows.
func (in *Input) run(ctx context.Context, log *slog.Logger, work func(context.Context)) {
	in.wg.Go(func() { in.keepRunning(ctx, log, work) })
}

// keepRunning is run in the caller's goroutine.
func (in *Input) keepRunning(ctx context.Context, log *slog.Logger, work func(context.Context)) {
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, longestPause) {
		began := in.cfg.Now()

		if endsWithoutPanic(ctx, log, work) {
			return
		}

		if in.cfg.Now().Sub(began) > 2*longestPause {
			wait = time.Second // it worked for a long time
		}

		if pause.For(ctx, wait) != nil {
			return
		}
	}
}
