package postgres

import (
	"context"
	"errors"
	"fmt"

	"fluent-bit-defender/internal/store"
)

// timelineQuery asks for the timeline of the server. The server has a new one after a
// standby was promoted or a backup was put back. Writing to tables cannot change it.
// https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES
const timelineQuery = `SELECT CASE WHEN pg_is_in_recovery() THEN ''
	ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END`

// noteTimeline records the timeline of the server that this process works with. Some
// database services do not show one; then none is recorded.
func (s *Store) noteTimeline(ctx context.Context, q querier) {
	var timeline string
	if err := q.QueryRow(ctx, timelineQuery).Scan(&timeline); err != nil || timeline == "" {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.timeline = timeline
}

// lastTimeline returns the timeline that was recorded last.
func (s *Store) lastTimeline() string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.timeline
}

// serverChanged reports whether the server has another timeline than the one under
// which the tokens were verified. The caller has called useAnchor.
func (s *Store) serverChanged(ctx context.Context, q querier) bool {
	s.noteTimeline(ctx, q)

	return s.verifiedOn != "" && s.lastTimeline() != s.verifiedOn
}

// checkSeal returns an error unless the tokens may be used. The caller has called
// useAnchor. Tokens that are older than before are accepted if another server has taken
// over, which lacks the last commits: then all of them are verified again.
func (s *Store) checkSeal(t chainTable) error {
	err := s.anchor.Check(t, s.key.Load())
	if err == nil && s.verifiedOn == "" {
		s.verifiedOn = s.lastTimeline()
	}

	if !errors.Is(err, store.ErrTampered) || !s.serverChanged(t.ctx, t.q) {
		return err
	}

	s.anchor.Forget()

	if err := s.anchor.Check(t, s.key.Load()); err != nil {
		return err
	}

	s.verifiedOn = s.lastTimeline()
	s.o.Log.Warn(fmt.Sprintf("%s: another server has taken over, without the last changes of the refresh tokens: "+
		"the tokens that it has are used; a customer whose token the service does not accept any more has to be "+
		"signed in to again", s.where))

	return nil
}
