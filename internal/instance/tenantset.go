package instance

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/lease"
)

// tenantSet is the set of tenants that an input has, which changes with the tenants
// file, and everything that the input was put together from.
type tenantSet struct {
	shared         *resources
	log            *slog.Logger
	dir            *dataDir
	leased         bool        // several machines share the store
	node           *lease.Node // this process among them; nil where nobody shares the store
	input          *collect.Input
	healthInterval time.Duration
	leaveMetrics   func()        // nil without metrics_listen
	watch          *config.Watch // nil without a tenants file
	// nextEndsWarning and nextDeprecatedWarning are used by the goroutine that calls
	// upkeep only.
	nextEndsWarning, nextDeprecatedWarning time.Time
	ends                                   ends
	elsewhere                              elsewhere
	// refused is why the newest version of the tenants file is refused; nil while it is
	// in force.
	refused atomic.Pointer[health.Trouble]
	found   discovery
	work    sync.WaitGroup // goroutines that ask for lists of customers

	mu sync.Mutex // guards the fields below
	// entries are the tenants whose units belong to this input, also those that are
	// leaving.
	entries map[alert.UnitKey]*entry
	// pending are tenants that could not start yet, or not with their new settings.
	pending map[alert.UnitKey]*pendingEntry
	// cfg is the configuration in force; discovered are the tenants that it found.
	cfg        *config.Input
	discovered []config.Tenant
	closed     bool
	begun      bool // the node knows which units are wanted
}

// entry is a tenant of the input.
type entry struct {
	tenant  *config.Tenant // shared with its unit: never changed
	limiter *sharedLimiter // counts the unit
	leaving bool           // it was removed, and still delivers what it has read
	held    bool           // this process holds the unit; without a node it always does
	polled  bool           // it is part of the input
}

// pendingEntry is a tenant that waits to start.
type pendingEntry struct {
	tenant config.Tenant
	logged string // why it cannot start, as last logged
}

// newTenantSet returns a set without tenants. It has neither data directory nor input
// yet.
func newTenantSet(shared *resources, log *slog.Logger) *tenantSet {
	return &tenantSet{
		shared:  shared,
		log:     log,
		found:   discovery{log: log, now: time.Now},
		entries: make(map[alert.UnitKey]*entry),
		pending: make(map[alert.UnitKey]*pendingEntry),
	}
}

// claim reserves the units of tenants for this input, and makes their entries. These
// point into tenants, which must not change afterwards.
func (s *tenantSet) claim(tenants ...config.Tenant) error {
	limiters, err := s.shared.claim(tenants)
	if err != nil {
		return err
	}

	for i := range tenants {
		s.entries[tenants[i].Unit()] = &entry{
			tenant:  &tenants[i],
			limiter: limiters[i],
			held:    !s.leased,
		}
	}

	return nil
}

// release makes the units, the shares of limiters and the address of the metrics free
// for other inputs.
func (s *tenantSet) release() {
	if s.leaveMetrics != nil {
		s.leaveMetrics()
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.closed = true
	for key, e := range s.entries {
		s.shared.release(key, e.limiter)
	}

	clear(s.entries)
}

// leave leaves the data directory, when nothing of the input uses it any more.
func (s *tenantSet) leave() {
	if s.dir != nil {
		s.shared.leave(s.dir, s.log)
	}
}

// endTime is how long end waits for goroutines that have nothing to lose.
const endTime = 100 * time.Millisecond

// end releases everything that is shared, after the input was stopped. The data
// directory is left when the last goroutine of the input has ended: an answer may
// arrive until then, and a new input joins the directory with its locks. end waits for
// that goroutine until ctx ends if a redemption is on its way, and otherwise for
// endTime at most.
func (s *tenantSet) end(ctx context.Context) {
	s.release()
	s.dir.logs.Remove(s.log)

	if !s.dir.keeper.Busy() {
		var cancel context.CancelFunc

		ctx, cancel = context.WithTimeout(ctx, endTime)
		defer cancel()
	}

	ended := s.ended()
	select {
	case <-ended:
		s.leave()
	case <-ctx.Done():
		go func() {
			<-ended
			s.leave()
		}()
	}
}

// ended returns a channel that is closed when the last goroutine of the input has
// ended, and the last request for a list of customers.
func (s *tenantSet) ended() <-chan struct{} {
	ended := make(chan struct{})

	go func() {
		<-s.input.Ended()
		s.work.Wait() // none begins any more
		close(ended)
	}()

	return ended
}

// tenants returns the tenants that the input has now.
func (s *tenantSet) tenants() []*config.Tenant {
	s.mu.Lock()
	defer s.mu.Unlock()

	list := make([]*config.Tenant, 0, len(s.entries))
	for _, e := range s.entries {
		list = append(list, e.tenant)
	}

	return list
}
