package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/lease"
	"fluent-bit-defender/internal/logs"
)

// tenantSet is the tenants that an input has, with what the input was put together from:
// tenants come and go with the tenants file.
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
	nextForecast   time.Time     // of the goroutine that calls upkeep
	nextDeprecated time.Time     // likewise
	ends           ends
	elsewhere      elsewhere
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
	tenant  *config.Tenant // what its unit works with too: never changed
	limiter *sharedLimiter // that counts its unit
	leaving bool
	held    bool // this process holds the unit; without a node it always does
	polled  bool // it is part of the input
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

// claim makes the units of tenants this input's own. The entries point into tenants,
// which must not change afterwards.
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

// release gives units, shares of limiters and metrics back, so that another input may
// have them.
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

// leave gives the data directory back, when nothing of the input uses it any more.
func (s *tenantSet) leave() {
	if s.dir != nil {
		s.shared.leave(s.dir, s.log)
	}
}

// endTime is how long the end waits for goroutines that have nothing to lose.
const endTime = 100 * time.Millisecond

// end gives back what is shared, after the input was stopped. The directory is left when
// the last goroutine of the input has ended: an answer may arrive until then, and a new
// input joins the directory with its locks. end waits for that until ctx ends, if a
// redemption is on its way, and otherwise for endTime at most.
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

// ended returns a channel that is closed when the last goroutine of the input has ended,
// and the last list of customers with it.
func (s *tenantSet) ended() <-chan struct{} {
	ended := make(chan struct{})

	go func() {
		<-s.input.Ended()
		s.work.Wait() // none begins any more
		close(ended)
	}()

	return ended
}

// upkeep is called every few seconds, by one goroutine at a time. It writes tokens that
// could not be written before, warns of credentials that end, and follows the tenants
// file. ending is true for the last call.
func (s *tenantSet) upkeep(ctx context.Context, ending bool) {
	// The keeper has reported a fault, once; here it would be repeated every few seconds.
	_ = s.dir.keeper.Flush(ctx)

	if ending {
		return
	}

	s.forecast(ctx, time.Now())
	s.deprecated(time.Now())

	if s.leaveMetrics != nil {
		s.lookUpEnds(ctx, time.Now())
		s.lookElsewhere(ctx)
	}

	if s.node != nil {
		s.mu.Lock()
		s.startPending()
		s.mu.Unlock()
	}

	if s.watch != nil {
		s.followFile()
		s.discover(ctx)
		s.input.SetNotice(joinNotices(s.refused.Load(), s.found.notice()))
	}
}

// joinNotices returns one notice that says what two say; nil where there is none.
func joinNotices(first, second *health.Trouble) *health.Trouble {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}

	return &health.Trouble{
		Reason:  first.Reason,
		Message: first.Message + "; besides, " + second.Message,
		Remedy:  first.Remedy + "; besides, " + second.Remedy,
		Trace:   second.Trace,
	}
}

// followFile starts tenants that could not start before, and applies a new version of the
// tenants file.
func (s *tenantSet) followFile() {
	s.mu.Lock()
	if !s.closed {
		s.startPending()
	}
	s.mu.Unlock()

	cfg, warnings, err := s.watch.Poll()
	for _, w := range warnings {
		logs.Tenant(s.log, w.Tenant).Warn(w.String())
	}

	if err != nil {
		for _, line := range faults(err) {
			s.log.Error(line)
		}

		s.log.Error("the new version of tenants_file is refused as a whole, and the one before it stays in force")
		s.refused.Store(refusedFile(err))

		return
	}

	if cfg != nil {
		s.refused.Store(nil)
		s.follow(cfg)
	}
}

// refusedFile is what is shown while a new version of the tenants file is refused.
func refusedFile(err error) *health.Trouble {
	lines := faults(err)

	more := ""
	if len(lines) > 1 {
		more = fmt.Sprintf(" (and %d more faults)", len(lines)-1)
	}

	return &health.Trouble{
		Reason: advice.CredentialWrong,
		Message: "the new version of tenants_file is refused as a whole, and the one before it stays in force: " +
			lines[0] + more,
		Remedy: "correct the file; defenderctl check FILE shows all faults",
	}
}

// follow puts a new version of the tenants file in force.
func (s *tenantSet) follow(cfg *config.Input) {
	if err := s.followDiscovery(cfg.Discovery); err != nil {
		s.log.Error("the customers cannot be listed with the new settings, and those that are known stay: " +
			err.Error())
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.cfg = cfg
	if !s.closed {
		s.replace(s.wanted(), "tenants_file has changed")
	}
}

// apply is replace with other tenants of the file.
func (s *tenantSet) apply(next []config.Tenant) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if !s.closed {
		s.replace(next, "tenants_file has changed")
	}
}

// replace starts tenants that were added, ends those that were removed, and restarts
// those that have changed. next are all tenants from now on; why is for the log, where
// nothing is said if nothing differs. s.mu must be held.
func (s *tenantSet) replace(next []config.Tenant, why string) {
	removed := make(map[alert.UnitKey]*entry)

	for key, e := range s.entries {
		if !e.leaving {
			removed[key] = e
		}
	}

	waiting := maps.Clone(s.pending)
	clear(s.pending)

	unchanged, changed, added := 0, 0, 0

	for _, t := range next {
		key := t.Unit()
		e := removed[key]
		delete(removed, key)

		switch p := waiting[key]; {
		case p != nil && p.tenant.Equal(t):
			s.pending[key] = p
			continue
		case e == nil:
			added++
		case e.tenant.Equal(t):
			unchanged++
			continue
		default:
			changed++
		}

		s.pending[key] = &pendingEntry{tenant: t}
	}

	for key, e := range removed {
		e.leaving = true

		switch {
		case s.node == nil:
			s.input.Retire(key, func() { go s.left(key, e) })
		case !e.held:
			s.forget(key, e)
		}
	}

	if changed+added+len(removed) > 0 {
		s.log.Info(fmt.Sprintf("%s: %d tenants go on, %d restart, %d start, %d end",
			why, unchanged, changed, added, len(removed)))
	}

	s.startPending()
	s.want()
}

// left gives back the unit of a tenant that was removed, when all that it had read is
// committed.
func (s *tenantSet) left(key alert.UnitKey, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.forget(key, e)
}

// forget gives back the unit of a tenant that was removed. s.mu must be held.
func (s *tenantSet) forget(key alert.UnitKey, e *entry) {
	if s.entries[key] == e {
		delete(s.entries, key)
		s.shared.release(key, e.limiter)
	}
}

// startPending starts what can start. The rest is tried again at the next upkeep: its
// unit belongs to another input or is still leaving here, or a file that it needs is
// not there. s.mu must be held.
func (s *tenantSet) startPending() {
	started := false

	for key, p := range s.pending {
		err := s.start(key, p.tenant)
		if err == nil {
			delete(s.pending, key)

			started = true

			continue
		}

		if text := strings.Join(faults(err), "; "); text != p.logged {
			p.logged = text
			logs.Tenant(s.log, p.tenant.TenantName).Warn(text + "; it is tried again every few seconds")
		}
	}

	if started {
		s.want()
	}
}

// start starts a tenant, or restarts it with its new settings; on an error those before
// them stay in force. s.mu must be held.
func (s *tenantSet) start(key alert.UnitKey, t config.Tenant) error {
	if e := s.entries[key]; e != nil {
		return s.restart(key, e, t)
	}

	if err := s.claim(t); err != nil {
		return err
	}

	e := s.entries[key]

	parts, err := s.parts(e.tenant)
	if err != nil {
		s.forget(key, e)
		return err
	}

	s.add(e, parts)

	return nil
}

// add makes a unit part of the input if this process holds it. s.mu must be held once the
// input has started.
func (s *tenantSet) add(e *entry, parts collect.UnitConfig) {
	if e.held {
		e.polled = true
		s.input.Add(parts)
	}
}

// restart gives an entry new settings. s.mu must be held.
func (s *tenantSet) restart(key alert.UnitKey, e *entry, t config.Tenant) error {
	if e.leaving {
		return errors.New("it cannot start yet: what it read before it was removed is still being delivered")
	}

	parts, err := s.parts(&t)
	if err != nil {
		return err
	}

	e.tenant = &t
	e.limiter = s.shared.move(e.limiter, t)

	if e.polled {
		s.input.Retire(key, nil)
	}

	s.add(e, parts)

	return nil
}
