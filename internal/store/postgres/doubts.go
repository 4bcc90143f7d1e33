package postgres

import (
	"bytes"
	"slices"
	"sync"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// doubt is a write to a unit of which nobody knows whether it was carried out, since the
// connection broke. Whoever called will call again. The stamp in the unit's row says what
// became of it, once the row is read again. One that was carried out in a call that then
// failed because of other units is a doubt, too: its caller does not know.
type doubt struct {
	// stamp is what it leaves in the row, and before what it expects to find there.
	stamp, before int64
	applied       bool

	// What it wrote: a commit, one piece of deferred work, or a rewind.
	isCommit bool
	seen     []store.Seen
	deferred []store.Deferred
	put      *store.Deferred
	rewind   *rewound
}

// rewound is a request to rewind that was carried out.
type rewound struct{ since tick.Tick }

// doubts are those of all units.
type doubts struct {
	mu sync.Mutex
	of map[alert.UnitKey][]doubt
}

func (d *doubts) add(key alert.UnitKey, one doubt) {
	d.mu.Lock()
	defer d.mu.Unlock()

	if d.of == nil {
		d.of = make(map[alert.UnitKey][]doubt)
	}

	d.of[key] = append(d.of[key], one)
}

// filter keeps only the doubts of a unit that a function wants to keep, and may change.
func (d *doubts) filter(key alert.UnitKey, keep func(*doubt) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()

	list := d.of[key]
	if len(list) == 0 {
		return
	}

	kept := list[:0]

	for i := range list {
		if keep(&list[i]) {
			kept = append(kept, list[i])
		}
	}

	if len(kept) == 0 {
		delete(d.of, key)
	} else {
		d.of[key] = kept
	}
}

// resolve decides by the stamp in a unit's row. A write that expects another one is not
// carried out any more.
func (d *doubts) resolve(key alert.UnitKey, stamp int64) {
	d.filter(key, func(one *doubt) bool {
		one.applied = one.applied || one.stamp == stamp

		return one.applied || one.before == stamp
	})
}

// made notes that a write was carried out: no other that was under way is any more. When
// its caller is told so, that one has made earlier ones of its kind again.
func (d *doubts) made(key alert.UnitKey, now doubt, told bool) {
	d.filter(key, func(one *doubt) bool {
		again := one.isCommit && now.isCommit || one.put != nil && now.put != nil && sameWork(one.put, now.put)

		return one.applied && (!again || !told)
	})

	if !told && now.isCommit { // only commits are of several units
		now.applied = true
		d.add(key, now)
	}
}

// forget forgets units that this process has lost.
func (d *doubts) forget(keys ...alert.UnitKey) {
	for _, key := range keys {
		d.filter(key, func(*doubt) bool { return false })
	}
}

// left returns what of a commit is not written yet.
func (d *doubts) left(c *store.Commit) (seen []store.Seen, deferred []store.Deferred) {
	seen, deferred = c.Seen, c.Deferred

	d.filter(c.Key, func(one *doubt) bool {
		if !one.applied || !one.isCommit {
			return true
		}

		written := make(map[store.Seen]bool, len(one.seen))
		for _, e := range one.seen {
			written[e] = true
		}

		seen = slices.DeleteFunc(slices.Clone(seen), func(e store.Seen) bool { return written[e] })

		for i := range one.deferred {
			at := slices.IndexFunc(deferred, func(e store.Deferred) bool { return sameWork(&e, &one.deferred[i]) })
			if at >= 0 {
				deferred = slices.Delete(slices.Clone(deferred), at, at+1)
			}
		}

		return true
	})

	return seen, deferred
}

// put returns the stamp of a write that has put this work off already; ok is false if
// there is none.
func (d *doubts) put(key alert.UnitKey, work *store.Deferred) (stamp int64, ok bool) {
	d.filter(key, func(one *doubt) bool {
		if one.applied && one.put != nil && sameWork(one.put, work) {
			stamp, ok = one.stamp, true
		}

		return true
	})

	return stamp, ok
}

// sameWork compares what is put off, not the times of trying it.
func sameWork(a, b *store.Deferred) bool {
	return a.Kind == b.Kind && a.From == b.From && a.To == b.To && bytes.Equal(a.Events, b.Events)
}

// rewound returns the rewind of a unit that was carried out without its caller knowing;
// nil if there is none.
func (d *doubts) rewound(key alert.UnitKey) (r *rewound) {
	d.filter(key, func(one *doubt) bool {
		if one.applied && one.rewind != nil && (r == nil || one.rewind.since < r.since) {
			r = one.rewind
		}

		return true
	})

	return r
}

// takeRewind notes that the caller knows of all rewinds of a unit.
func (d *doubts) takeRewind(key alert.UnitKey) {
	d.filter(key, func(one *doubt) bool { return one.rewind == nil })
}

// addRewinds adds requests that may have been carried out: whoever asks has to apply
// them again, to learn of the checkpoint. No keys are all of them.
func (d *doubts) addRewinds(pending map[alert.UnitKey]tick.Tick, keys []alert.UnitKey) {
	d.mu.Lock()
	defer d.mu.Unlock()

	for key, list := range d.of {
		if len(keys) > 0 && !slices.Contains(keys, key) {
			continue
		}

		for _, one := range list {
			if one.rewind == nil {
				continue
			}

			if since, ok := pending[key]; !ok || one.rewind.since < since {
				pending[key] = one.rewind.since
			}
		}
	}
}
