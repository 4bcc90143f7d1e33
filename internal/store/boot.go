package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// markBoot notes on which run of the machine inputs are running now, and that they did not end yet. If the machine was started anew since
// they last ran, without a clean exit before, it undoes the last CrashWindow of that run. All of it is one transaction: a
// process killed here does it again, or has done it. The caller holds inputsLock.
//
// The table meta has boot_id and boot (a count of starts of the machine), clean (1 after a clean exit) and alive (the uptime at the
// last commit of that boot, in nanoseconds).
func (sh *shared) markBoot() error {
	id := sh.bootID()
	sh.crashed = false
	var undone int
	err := sh.feeds.update(context.Background(), func(t tx) error {
		sh.crashed, undone = false, 0
		sh.cache.clear()
		var lastID string
		var clean bool
		last := moment{}
		err := t.QueryRow(`SELECT (SELECT v FROM meta WHERE k = 'boot_id'), (SELECT v FROM meta WHERE k = 'boot'),
			(SELECT v FROM meta WHERE k = 'clean'), (SELECT v FROM meta WHERE k = 'alive') FROM meta WHERE k = 'boot_id'`).
			Scan(&lastID, &last.boot, &clean, (*int64)(&last.at))
		first := errors.Is(err, sql.ErrNoRows)
		if err != nil && !first {
			return err
		}
		boot := last.boot
		// Without a boot id (no /proc) nobody can tell a killed process from a crashed machine: repeats are the lesser evil.
		if first || id == "" || id != lastID {
			boot++
			if !first && !clean {
				sh.crashed = true
				if undone, err = undo(t, last); err != nil {
					return err
				}
			}
		}
		alive := sh.uptime()
		if boot == last.boot {
			alive = max(alive, last.at)
		}
		for _, kv := range []struct {
			k string
			v any
		}{{"boot_id", id}, {"boot", boot}, {"clean", 0}, {"alive", int64(alive)}} {
			if _, err := t.Exec(`INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET v = excluded.v`, kv.k, kv.v); err != nil {
				return err
			}
		}
		sh.cache.boot, sh.cache.alone = boot, true
		return nil
	})
	if err == nil && sh.crashed {
		sh.log("warn", fmt.Sprintf("the machine went down without a clean exit: what was committed in the %s before is emitted again (%d feeds)",
			CrashWindow, undone))
	}
	return err
}

// undo takes every feed back to what is surely on disk after a crash of the machine at the given moment.
func undo(t tx, crash moment) (feeds int, err error) {
	if _, err := t.Exec(`DELETE FROM seen WHERE boot >= ? AND at > ?`, crash.boot, int64(crash.at-CrashWindow)); err != nil {
		return 0, err
	}
	changed := make(map[int64][]byte)
	rows, err := t.Query(`SELECT id, state FROM feeds`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var b []byte
		if err := rows.Scan(&id, &b); err != nil {
			return 0, err
		}
		// A row that is not what was written is reported when its feed is loaded.
		if state, err := decodeState(b); err == nil && state.undo(crash) {
			changed[id] = state.encode()
		}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	for id, b := range changed {
		if _, err := t.exec(`UPDATE feeds SET state = ? WHERE id = ?`, b, id); err != nil {
			return 0, err
		}
	}
	return len(changed), nil
}

// markClean leaves the mark of a clean exit, with a sync of the file system's state of the database (synchronous=FULL).
func (sh *shared) markClean() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return sh.feeds.update(ctx, func(t tx) error {
		_, err := t.Exec(`UPDATE meta SET v = 1 WHERE k = 'clean'`)
		return err
	})
}
