package instance

import (
	"context"
	"fmt"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/logs"
)

// upkeep is called every few seconds, by one goroutine at a time. It writes tokens that
// could not be written before, warns of credentials that end, and follows the tenants
// file. ending is true for the last call.
func (s *tenantSet) upkeep(ctx context.Context, ending bool) {
	// The keeper has reported a fault, once; here it would be repeated every few seconds.
	_ = s.dir.keeper.Flush(ctx)

	if ending {
		return
	}

	s.warnOfEnds(ctx, time.Now())
	s.warnOfDeprecated(time.Now())

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
		s.pollTenantsFile()
		s.discover(ctx)
		s.input.SetNotice(joinNotices(s.refused.Load(), s.found.notice()))
	}
}

// joinNotices returns one notice that says what both say; nil if both are nil.
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

// pollTenantsFile starts tenants that could not start before, and applies a new version
// of the tenants file.
func (s *tenantSet) pollTenantsFile() {
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
		s.applyFile(cfg)
	}
}

// refusedFile returns what is shown while a new version of the tenants file is refused.
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

// applyFile puts a new version of the tenants file in force.
func (s *tenantSet) applyFile(cfg *config.Input) {
	if err := s.configureDiscovery(cfg.Discovery); err != nil {
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
