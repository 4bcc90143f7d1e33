package sqlite

import (
	"fmt"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
	"fluent-bit-defender/internal/tick"
)

// policy is how much of a unit is kept so that a crash of the machine can be undone.
var policy = unitstate.Policy{Window: store.CrashWindow, Step: historyStep}

// seenTable is the seen-set of one unit in one transaction. A part of it is a blob.
type seenTable struct {
	t    tx
	unit int64
}

var _ unitstate.Table = seenTable{}

func (s seenTable) id(p unitstate.Part) int64 { return s.unit<<seqBits | p.Seq }

// Data implements unitstate.Table.
func (s seenTable) Data(p unitstate.Part) (data []byte, err error) {
	err = s.t.row(`SELECT data FROM seen WHERE id = ?`, s.id(p)).Scan(&data)
	return data, err
}

// Entries implements unitstate.Table. It logs a damaged blob and leaves it out.
func (s seenTable) Entries(parts []unitstate.Part, from tick.Tick) ([]store.Seen, error) {
	return readSeen(s.t, s.unit, parts, from)
}

// Insert implements unitstate.Table.
func (s seenTable) Insert(p unitstate.Part, data []byte) error {
	return s.t.exec(`INSERT OR REPLACE INTO seen (id, boot, at, n, newest, data) VALUES (?,?,?,?,?,?)`,
		s.id(p), p.When.Boot, int64(p.When.At), p.N, int64(p.Newest), data)
}

// Update implements unitstate.Table.
func (s seenTable) Update(p unitstate.Part, data []byte) error {
	return s.t.exec(`UPDATE seen SET n = ?, newest = ?, data = ? WHERE id = ?`,
		p.N, int64(p.Newest), data, s.id(p))
}

// Delete implements unitstate.Table.
func (s seenTable) Delete(p unitstate.Part) error {
	return s.t.exec(`DELETE FROM seen WHERE id = ?`, s.id(p))
}

// verifyUnits reports whether every table is there and can be read. Checkpoints and
// seen entries have checksums of their own, which are checked when they are used:
// because of one bad row its unit has some repeats, and not all units lose their state.
func verifyUnits(q querier) error {
	var n int64
	if err := q.QueryRow(`SELECT (SELECT count(state) FROM feeds)
		+ (SELECT count(n) FROM seen) + (SELECT count(data) FROM status)
		+ (SELECT count(tries) FROM deferred) + (SELECT count(since) FROM rewinds)
		+ (SELECT count(crc) FROM documents)`).Scan(&n); err != nil {
		return err
	}
	// A flipped bit in the key of a mark must not look like a first start, after which
	// nothing is undone.
	if err := q.QueryRow(`SELECT count(*) FROM meta WHERE k NOT IN ('format', 'version', 'marks')`).
		Scan(&n); err != nil ||
		n == 0 {
		return err
	}

	return fmt.Errorf("%w: unknown marks", store.ErrDamaged)
}
