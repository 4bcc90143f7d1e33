package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
)

// writing is one attempt to write to units. What the tables have of held units is
// known, so that nothing is read, and all statements go to the database in one message,
// which is one transaction. The first statement writes the states of those units that
// are still as this process knows them, under its epoch, and leaves its stamp in their
// rows. The others write only where that stamp is.
type writing struct {
	s *Store
	q querier
	// now is when it writes, by the clock of the database. It is zero for an opening
	// without inputs: no takeover undoes what that writes.
	now unitstate.Moment
	// stamp identifies the attempt.
	stamp  int64
	units  map[alert.UnitKey]*unitRow
	tables []*partTable
	batch  pgx.Batch // what follows the states
	doubts map[alert.UnitKey]doubt
}

// doing records what is written to a unit, for the case that no answer comes.
func (w *writing) doing(key alert.UnitKey, d doubt) { w.doubts[key] = d }

// queue adds a statement to the message. A statement that writes depends on the stamp.
func (w *writing) queue(sql string, args ...any) *pgx.QueuedQuery { return w.batch.Queue(sql, args...) }

// plan adds to w what is to be written to its units.
type plan func(ctx context.Context, w *writing) error

// write writes to units what the plan says. It returns a FencedError for those that this
// opening may not write to; what is written to the others stands. The given context ends
// the wait before it, and not the writing.
func (s *Store) write(ctx context.Context, name string, keys []alert.UnitKey, p plan) error {
	if err := s.writable(); err != nil {
		return err
	}

	wait, cancel := context.WithTimeout(ctx, s.o.CallLimit)
	defer cancel()

	if err := s.writes.lock(wait); err != nil {
		return errors.Join(ctx.Err(), s.explain(err))
	}
	defer s.writes.unlock()

	var (
		fenced []alert.UnitKey
		made   = make(map[alert.UnitKey]doubt)
	)

	err := s.call(ctx, writeCall, name, func(ctx context.Context) error {
		left := slices.Clone(keys)

		for n := 1; ; n++ {
			refused, stale, err := s.attempt(ctx, left, p, made)
			fenced = append(fenced, refused...)

			if err == nil && len(stale) == 0 {
				return nil
			}

			again := err == nil || broken(err) || retryable(err)
			if err == nil {
				left = stale // the others are written
				err = fmt.Errorf("%s: %w by another process that uses this node_id", s.where, store.ErrBusy)
			}

			if !again || n >= maxAttempts || ctx.Err() != nil {
				return err
			}
		}
	})

	for key, d := range made {
		s.doubts.made(key, d, err == nil)
	}

	if err == nil && len(fenced) > 0 {
		s.doubts.forget(fenced...)

		return &store.FencedError{Units: fenced}
	}

	return err
}

// attempt writes once, and adds to made what it wrote to which unit. It returns the units
// that this opening may not write to, and those that turned out not to be as this process
// knew them: nothing is written to them.
func (s *Store) attempt(ctx context.Context, keys []alert.UnitKey, p plan, made map[alert.UnitKey]doubt) (
	fenced, stale []alert.UnitKey, err error,
) {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { s.release(ctx, c, err) }()

	w := &writing{
		s:      s,
		q:      c,
		stamp:  rand.Int64(),
		doubts: make(map[alert.UnitKey]doubt),
	}

	if err = w.find(ctx, keys); err == nil && len(w.units) > 0 {
		err = w.run(ctx, c, p)
	}

	if err != nil {
		w.failed(err)
		return nil, nil, err
	}

	for _, key := range keys {
		if w.units[key] == nil {
			fenced = append(fenced, key)
		}
	}

	return fenced, w.written(made), nil
}

// clockAhead is how far the moment of a write may be ahead of the clock of the
// database, and unitstate.Span how far behind. Beyond that nothing is written, and the
// clock is asked again.
const clockAhead = 10 * time.Second

// run sends the message. Afterwards the stamp of a row in w.units is that of this attempt
// if it was written.
func (w *writing) run(ctx context.Context, c *pgxpool.Conn, p plan) error {
	if err := p(ctx, w); err != nil {
		return err
	}

	keys := make([]alert.UnitKey, 0, len(w.units))
	for key := range w.units {
		keys = append(keys, key)
	}

	slices.SortFunc(keys, func(a, b alert.UnitKey) int { return int(w.units[a].id - w.units[b].id) })

	var (
		message pgx.Batch
		asked   = w.s.o.Uptime()
	)

	w.queueStates(&message, keys).Query(func(rows pgx.Rows) error {
		var (
			id      int64
			now     time.Time
			written = make(map[int64]bool)
		)

		_, err := pgx.ForEachRow(rows, []any{&id, &now}, func() error {
			written[id] = true
			return nil
		})
		if err != nil {
			return err
		}

		for _, u := range w.units {
			if written[u.id] {
				u.stamp = w.stamp
			}
		}

		if len(written) > 0 {
			w.s.clock.observe(asked, now)
		}

		return nil
	})

	w.queueParts(&message)

	message.QueuedQueries = append(message.QueuedQueries, w.batch.QueuedQueries...)

	return c.SendBatch(ctx, &message).Close()
}

// queueStates queues the states of all units, for those that are still as this process
// knows them.
func (w *writing) queueStates(message *pgx.Batch, keys []alert.UnitKey) *pgx.QueuedQuery {
	var (
		ids, epochs, stamps []int64
		states              [][]byte
		replays             []bool
		now                 *time.Time
	)

	for _, key := range keys {
		u := w.units[key]
		ids = append(ids, u.id)
		epochs = append(epochs, u.epoch)
		stamps = append(stamps, u.stamp)
		replays = append(replays, u.replay)

		if u.state.Has {
			states = append(states, u.state.EncodeShared())
		} else {
			states = append(states, nil)
		}
	}

	if w.s.o.Inputs {
		at := time.UnixMicro(w.now.At.Microseconds())
		now = &at
	}

	return message.Queue(`WITH moment AS MATERIALIZED (SELECT defender.clock() AS now)
		UPDATE defender.units u SET state = c.state, replay = c.replay, stamp = $7::bigint
		FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::boolean[])
			AS c (id, epoch, stamp, state, replay), moment m
		WHERE u.id = c.id AND u.stamp = c.stamp AND `+mayWrite+`
			AND ($8::timestamptz IS NULL
				OR $8::timestamptz BETWEEN m.now - $9::interval AND m.now + $10::interval)
		RETURNING u.id, m.now`,
		w.s.held.self().ID, ids, epochs, stamps, states, replays, w.stamp, now, unitstate.Span, clockAhead)
}

// written notes what is known of the units now. It adds to made what was written, and
// returns the units that were not.
func (w *writing) written(made map[alert.UnitKey]doubt) (stale []alert.UnitKey) {
	for key, u := range w.units {
		held := w.s.held.unit(key)

		if u.stamp != w.stamp {
			stale = append(stale, key)

			held.know(nil)

			continue
		}

		made[key] = w.doubts[key]

		held.know(u)
	}

	return stale
}

// failed forgets what is known of the units. If no answer came, it records what was to
// be written, since it may have been.
func (w *writing) failed(err error) {
	for key, u := range w.units {
		held := w.s.held.unit(key)
		held.know(nil)

		if !broken(err) {
			continue
		}

		held.doubt(w.stamp)

		if d, ok := w.doubts[key]; ok {
			d.stamp, d.before = w.stamp, u.stamp
			w.s.doubts.add(key, d)
		}
	}
}
