package postgres

import (
	"context"
	"errors"
	"fmt"

	"fluent-bit-defender/internal/store"
)

// timelineQuery asks for the timeline of the server: it is another one after a standby
// has been promoted, or a backup was put back. Nobody can change it by writing to tables.
// https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES
const timelineQuery = `SELECT CASE WHEN pg_is_in_recovery() THEN ''
	ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END`

// noteTimeline notes the timeline of the server that this process works with. Where there
// is none, as some services have it, none is noted.
func (s *Store) noteTimeline(ctx context.Context, q querier) {
	var timeline string
	if err := q.QueryRow(ctx, timelineQuery).Scan(&timeline); err != nil || timeline == "" {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.timeline = timeline
}

// noted returns the timeline that was noted last.
func (s *Store) noted() string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.timeline
}

// succeeded reports whether the server has another timeline than the one under which the
// tokens were verified. The caller may use the anchor.
func (s *Store) succeeded(ctx context.Context, q querier) bool {
	s.noteTimeline(ctx, q)

	return s.verifiedOn != "" && s.noted() != s.verifiedOn
}

// checkSeal returns an error unless the tokens may be used. The caller may use the
// anchor. Tokens that are older than those of before are good if another server has taken
// over, which lacks the last commits: all of them are verified anew then.
func (s *Store) checkSeal(t chainTable) error {
	err := s.anchor.Check(t, s.key.Load())
	if err == nil && s.verifiedOn == "" {
		s.verifiedOn = s.noted()
	}

	if !errors.Is(err, store.ErrTampered) || !s.succeeded(t.ctx, t.q) {
		return err
	}

	s.anchor.Forget()

	if err := s.anchor.Check(t, s.key.Load()); err != nil {
		return err
	}

	s.verifiedOn = s.noted()
	s.o.Log.Warn(fmt.Sprintf("%s: another server has taken over, without the last changes of the refresh tokens: "+
		"it goes on with those that it has; a customer whose token the service does not take any more has to be "+
		"signed in to again", s.where))

	return nil
}
