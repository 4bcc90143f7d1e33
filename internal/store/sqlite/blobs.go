package sqlite

import (
	"fmt"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// Sizes of the seen-set in the file. A commit adds one blob; commits of the same second
// go into the same one, so that there are at most some 120 blobs younger than
// CrashWindow. Older ones are merged when there are maxDurable of them: the youngest
// together, and with them each older one that is not more than twice as large as those.
// So an entry is rewritten a logarithmic number of times, and a unit has a bounded
// number of blobs.
const (
	sameBlob   = time.Second
	sameBytes  = 64 << 10
	maxDurable = 16
	mergeLeast = 8
)

// add writes new entries.
func (fc *unitCache) add(t tx, seen []store.Seen, when moment) error {
	newest := seen[0].Time
	for i := range seen {
		newest = max(newest, seen[i].Time)
	}

	if n := len(fc.blobs); n > 0 {
		last := &fc.blobs[n-1]
		// The blob keeps the time of its first entries, so that a steady trickle ends
		// one blob and begins another.
		if last.when.boot == when.boot && when.at-last.when.at < sameBlob && when.at >= last.when.at &&
			last.n*seenLen < sameBytes {
			var data []byte
			if err := t.row(`SELECT data FROM seen WHERE id = ?`, fc.id<<seqBits|last.seq).Scan(&data); err != nil {
				return err
			}

			last.n += len(seen)
			last.newest = max(last.newest, newest)
			err := t.exec(`UPDATE seen SET n = ?, newest = ?, data = ? WHERE id = ?`,
				last.n, last.newest, appendSeen(data, seen), fc.id<<seqBits|last.seq)

			return err
		}
	}

	b := blobMeta{
		seq:    fc.nextSeq,
		when:   when,
		n:      len(seen),
		newest: newest,
	}
	if err := fc.insert(t, b, appendSeen(nil, seen)); err != nil {
		return err
	}

	fc.blobs = append(fc.blobs, b)
	fc.nextSeq++

	return nil
}

func (fc *unitCache) insert(t tx, b blobMeta, data []byte) error {
	err := t.exec(`INSERT OR REPLACE INTO seen (id, boot, at, n, newest, data) VALUES (?,?,?,?,?,?)`,
		fc.id<<seqBits|b.seq, b.when.boot, int64(b.when.at), b.n, int64(b.newest), data)

	return err
}

func (fc *unitCache) remove(t tx, b blobMeta) error {
	err := t.exec(`DELETE FROM seen WHERE id = ?`, fc.id<<seqBits|b.seq)
	return err
}

// compact drops durable blobs that fell out whole, and merges durable ones when there
// are too many.
func (fc *unitCache) compact(t tx, now moment) error {
	prune := fc.state.durablePrune(now)

	durable := 0
	for durable < len(fc.blobs) && fc.blobs[durable].when.durable(now) {
		durable++
	}

	var kept []blobMeta // nil: all of them

	for i, b := range fc.blobs[:durable] {
		if b.newest >= prune {
			if kept != nil {
				kept = append(kept, b)
			}

			continue
		}

		if kept == nil {
			kept = append(make([]blobMeta, 0, len(fc.blobs)), fc.blobs[:i]...)
		}

		if err := fc.remove(t, b); err != nil {
			return err
		}
	}

	if kept != nil {
		tail := fc.blobs[durable:]
		durable = len(kept)
		fc.blobs = append(kept, tail...)
	}

	if durable < maxDurable {
		return nil
	}

	from, sum := durable-mergeLeast, 0
	for _, b := range fc.blobs[from:durable] {
		sum += b.n
	}

	for from > 0 && fc.blobs[from-1].n <= 2*sum {
		from--
		sum += fc.blobs[from].n
	}

	return fc.merge(t, from, durable, prune)
}

// merge makes one blob of those in [from, to), without entries older than prune.
func (fc *unitCache) merge(t tx, from, to int, prune tick.Tick) error {
	group := fc.blobs[from:to]

	seen, err := readSeen(t, fc, group, prune)
	if err != nil {
		return err
	}

	last := group[len(group)-1]
	for _, b := range group[:len(group)-1] {
		if err := fc.remove(t, b); err != nil {
			return err
		}
	}

	rest := append([]blobMeta(nil), fc.blobs[to:]...)

	fc.blobs = fc.blobs[:from]
	if len(seen) == 0 {
		err = fc.remove(t, last)
	} else {
		last.n, last.newest = len(seen), seen[0].Time
		for i := range seen {
			last.newest = max(last.newest, seen[i].Time)
		}

		fc.blobs = append(fc.blobs, last)
		err = t.exec(`UPDATE seen SET n = ?, newest = ?, data = ? WHERE id = ?`,
			last.n, int64(last.newest), appendSeen(nil, seen), fc.id<<seqBits|last.seq)
	}

	fc.blobs = append(fc.blobs, rest...)

	return err
}

// filter rewrites every blob with only the entries older than before, each with its own
// moment, so that a crash still drops the young ones.
func (fc *unitCache) filter(t tx, before tick.Tick) error {
	var kept []blobMeta

	for i, b := range fc.blobs {
		seen, err := readSeen(t, fc, fc.blobs[i:i+1], 0)
		if err != nil {
			return err
		}

		older := seen[:0]
		b.newest = 0

		for _, e := range seen {
			if e.Time < before {
				older = append(older, e)
				b.newest = max(b.newest, e.Time)
			}
		}

		if len(older) == 0 {
			if err := fc.remove(t, b); err != nil {
				return err
			}

			continue
		}

		if len(older) != b.n {
			b.n = len(older)
			if err := t.exec(`UPDATE seen SET n = ?, newest = ?, data = ? WHERE id = ?`,
				b.n, int64(b.newest), appendSeen(nil, older), fc.id<<seqBits|b.seq); err != nil {
				return err
			}
		}

		kept = append(kept, b)
	}

	fc.blobs = kept

	return nil
}

// verifyUnits reports whether every table is there and can be read. Checkpoints and seen
// entries have checksums of their own, looked at when they are used: one bad row costs
// its unit some repeats, not all units their state.
func verifyUnits(q querier) error {
	var n int64
	if err := q.QueryRow(`SELECT (SELECT count(state) FROM feeds)
		+ (SELECT count(n) FROM seen) + (SELECT count(data) FROM status)
		+ (SELECT count(tries) FROM deferred) + (SELECT count(since) FROM rewinds)
		+ (SELECT count(crc) FROM documents)`).
		Scan(&n); err != nil {
		return err
	}
	// A flipped bit in the key of a mark must not look like a first start, which undoes
	// nothing.
	if err := q.QueryRow(`SELECT count(*) FROM meta WHERE k NOT IN ('format', 'version', 'marks')`).
		Scan(&n); err != nil ||
		n == 0 {
		return err
	}

	return fmt.Errorf("%w: unknown marks", store.ErrDamaged)
}
