package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
	"fluent-bit-defender/internal/tick"
)

// partTable is the seen-set of one unit in a transaction. It collects changes, which
// queueParts writes at the end. It implements unitstate.Table.
type partTable struct {
	ctx     context.Context
	s       *Store
	q       querier
	unit    int64
	changed map[int64]partChange // by Seq
}

// partChange is a part as it will be written; without data it is deleted.
type partChange struct {
	part unitstate.Part
	data []byte
}

// parts returns the table of a unit's seen-set.
func (w *writing) parts(ctx context.Context, u *unitRow) *partTable {
	p := &partTable{
		ctx:     ctx,
		s:       w.s,
		q:       w.q,
		unit:    u.id,
		changed: make(map[int64]partChange),
	}
	w.tables = append(w.tables, p)

	return p
}

// Data implements unitstate.Table.
func (p *partTable) Data(part unitstate.Part) (data []byte, err error) {
	if c, ok := p.changed[part.Seq]; ok {
		return slices.Clone(c.data), nil
	}

	err = p.q.QueryRow(p.ctx, `SELECT data FROM defender.seen WHERE unit = $1::bigint AND seq = $2::bigint`,
		p.unit, part.Seq).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}

	return data, err
}

// Entries implements unitstate.Table. A part that is damaged is left out, and logged.
func (p *partTable) Entries(parts []unitstate.Part, from tick.Tick) ([]store.Seen, error) {
	stored := make(map[int64][]byte)

	var ask []int64

	for _, part := range parts {
		if c, ok := p.changed[part.Seq]; ok {
			stored[part.Seq] = c.data
		} else {
			ask = append(ask, part.Seq)
		}
	}

	if len(ask) > 0 {
		rows, err := p.q.Query(p.ctx, `SELECT seq, data FROM defender.seen
			WHERE unit = $1::bigint AND seq = ANY ($2::bigint[])`, p.unit, ask)
		if err != nil {
			return nil, err
		}

		var (
			seq  int64
			data []byte
		)

		if _, err := pgx.ForEachRow(rows, []any{&seq, &data}, func() error {
			stored[seq] = slices.Clone(data)
			return nil
		}); err != nil {
			return nil, err
		}
	}

	var seen []store.Seen

	for _, part := range parts {
		var err error
		if seen, err = unitstate.DecodeSeen(seen, stored[part.Seq], from); err != nil {
			p.s.o.Log.Error(fmt.Sprintf("%s: %v: some alerts may be emitted again", p.s.where, err))
		}
	}

	return seen, nil
}

// Insert implements unitstate.Table.
func (p *partTable) Insert(part unitstate.Part, data []byte) error {
	p.changed[part.Seq] = partChange{part, data}
	return nil
}

// Update implements unitstate.Table.
func (p *partTable) Update(part unitstate.Part, data []byte) error { return p.Insert(part, data) }

// Delete implements unitstate.Table.
func (p *partTable) Delete(part unitstate.Part) error {
	p.changed[part.Seq] = partChange{part: part}
	return nil
}

// queueParts queues all changes of seen-sets.
func (w *writing) queueParts(message *pgx.Batch) {
	var (
		units, seqs, counts, newest, goneUnits, goneSeqs []int64
		at                                               []time.Time
		data                                             [][]byte
	)

	for _, table := range w.tables {
		for seq, c := range table.changed {
			if c.data == nil {
				goneUnits, goneSeqs = append(goneUnits, table.unit), append(goneSeqs, seq)
				continue
			}

			units, seqs, data = append(units, table.unit), append(seqs, seq), append(data, c.data)
			counts, newest = append(counts, int64(c.part.N)), append(newest, int64(c.part.Newest))
			at = append(at, time.UnixMicro(c.part.When.At.Microseconds()))
		}
	}

	if len(goneSeqs) > 0 {
		message.Queue(`DELETE FROM defender.seen s
			USING unnest($1::bigint[], $2::bigint[]) AS g (unit, seq) JOIN defender.units u ON u.id = g.unit
			WHERE s.unit = g.unit AND s.seq = g.seq AND u.stamp = $3::bigint`, goneUnits, goneSeqs, w.stamp)
	}

	if len(seqs) > 0 {
		message.Queue(`INSERT INTO defender.seen (unit, seq, at, n, newest, data)
			SELECT c.* FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[],
				$6::bytea[]) AS c (unit, seq, at, n, newest, data) JOIN defender.units u ON u.id = c.unit
			WHERE u.stamp = $7::bigint
			ON CONFLICT (unit, seq) DO UPDATE SET n = excluded.n, newest = excluded.newest, data = excluded.data`,
			units, seqs, at, counts, newest, data, w.stamp)
	}
}
