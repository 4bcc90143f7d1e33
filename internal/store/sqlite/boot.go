package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
	"fmt"
	"hash/crc32"
	"time"
)

// marks are what is known of the last run of inputs and of its machine. They are one
// row of meta, with a checksum: wrong marks could hide a crash.
type marks struct {
	bootID string           // the kernel's id of that run of the machine; empty if unknown
	last   unitstate.Moment // the last sign of life; its Boot counts starts of the machine
	clean  bool             // inputs ended properly
}

func (m marks) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(m.last.Boot))
	b = binary.BigEndian.AppendUint64(b, uint64(m.last.At))

	b = append(b, 0)
	if m.clean {
		b[16] = 1
	}

	b = append(b, m.bootID...)

	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeMarks(b []byte) (m marks, err error) {
	if len(b) < 21 || binary.BigEndian.Uint32(b[len(b)-4:]) != crc32.Checksum(b[:len(b)-4], castagnoli) {
		return m, fmt.Errorf("%w: the marks of the last start have a wrong checksum", store.ErrDamaged)
	}

	return marks{
		bootID: string(b[17 : len(b)-4]),
		clean:  b[16] == 1,
		last: unitstate.Moment{
			Boot: int64(binary.BigEndian.Uint64(b)),
			At:   time.Duration(binary.BigEndian.Uint64(b[8:])),
		},
	}, nil
}

func (m marks) write(t tx) error {
	err := t.exec(`INSERT INTO meta VALUES ('marks', ?) ON CONFLICT DO UPDATE SET v = excluded.v`, m.encode())
	return err
}

// markBoot records on which run of the machine inputs are running now, and that they
// have not ended yet. If the machine was restarted since they last ran, and they had
// not ended properly, it undoes the last CrashWindow of that run. All of it is one
// transaction: a process that is killed here does it again, or has done it. The caller
// holds inputsLock.
func (sh *shared) markBoot() error {
	id := sh.bootID()

	var undone int

	err := sh.units.update(context.Background(), func(t tx) error {
		sh.crashed, undone = false, 0
		sh.cache.clear()

		var (
			b   []byte
			old marks
		)

		err := t.QueryRow(`SELECT v FROM meta WHERE k = 'marks'`).Scan(&b)

		first := errors.Is(err, sql.ErrNoRows)
		if err == nil {
			old, err = decodeMarks(b)
		}

		if err != nil && !first {
			return err
		}

		m := marks{bootID: id, last: unitstate.Moment{Boot: old.last.Boot, At: sh.uptime()}}
		// Without a boot id (no /proc) a killed process looks like a crashed machine:
		// repeats are the lesser evil.
		if first || id == "" || id != old.bootID {
			m.last.Boot++

			if !first && !old.clean {
				sh.crashed = true

				if undone, err = undo(t, old.last); err != nil {
					return err
				}
			}
		} else {
			m.last.At = max(m.last.At, old.last.At)
		}

		sh.cache.marks, sh.cache.alone = m, true

		return m.write(t)
	})
	if err == nil && sh.crashed {
		sh.log.Warn(
			fmt.Sprintf(
				"the machine crashed: what was committed in the %s before "+
					"is emitted again (%d units)",
				store.CrashWindow,
				undone,
			),
		)
	}

	return err
}

// alive records a sign of life, from which CrashWindow counts. A clock that was set
// back does not move it back.
func (sh *shared) alive(t tx, at time.Duration) error {
	if !sh.cache.alone {
		return nil
	}

	sh.cache.marks.last.At = max(sh.cache.marks.last.At, at)

	return sh.cache.marks.write(t)
}

// renewBoot writes the marks of markBoot into a new defender.db that replaced a damaged
// one while inputs run.
func (sh *shared) renewBoot() error {
	return sh.units.transact(context.Background(), func(t tx) error { return sh.alive(t, sh.uptime()) })
}

// undo takes every unit back to what is surely on disk after a crash of the machine at
// the given moment.
func undo(t tx, crash unitstate.Moment) (units int, err error) {
	if _, err := t.Exec(
		`DELETE FROM seen WHERE boot >= ? AND at > ?`,
		crash.Boot,
		int64(crash.At-store.CrashWindow),
	); err != nil {
		return 0, err
	}

	if _, err := t.Exec(`UPDATE deferred SET gone_boot = NULL, gone_at = NULL WHERE gone_boot >= ? AND gone_at > ?`,
		crash.Boot, int64(crash.At-store.CrashWindow)); err != nil {
		return 0, err
	}

	changed := make(map[int64][]byte)

	rows, err := t.Query(`SELECT id, state FROM feeds`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()

	for rows.Next() {
		var (
			id int64
			b  []byte
		)
		if err := rows.Scan(&id, &b); err != nil {
			return 0, err
		}
		// A damaged row is reported when its unit is loaded.
		if state, err := unitstate.Decode(b); err == nil && state.Undo(crash, policy) {
			changed[id] = state.Encode()
		}
	}

	if err := rows.Err(); err != nil {
		return 0, err
	}

	for id, b := range changed {
		if err := t.exec(`UPDATE feeds SET state = ? WHERE id = ?`, b, id); err != nil {
			return 0, err
		}
	}

	return len(changed), nil
}

// markTimeout bounds the wait for another process at the end, since Fluent Bit waits
// for us. Without the mark, two minutes are repeated after the next start of the
// machine.
const markTimeout = time.Second

// markClean records that inputs ended properly.
func (sh *shared) markClean() error {
	ctx, cancel := context.WithTimeout(context.Background(), markTimeout)
	defer cancel()

	return sh.units.update(ctx, func(t tx) error {
		m := sh.cache.marks
		m.clean = true

		return m.write(t)
	})
}
