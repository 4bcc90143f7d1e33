package collect

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// memory is a store that lives as long as the test: what a process left behind is there
// for the next one.
type memory struct {
	mu           sync.Mutex
	cps          map[alert.UnitKey]store.Checkpoint
	seen         map[alert.UnitKey][]store.Seen
	deferred     map[int64]store.Deferred
	commits      int
	lastDeferred int64
	full         bool // every write fails
	// noDeferring makes only PutDeferred fail, noRewinds only ApplyRewind.
	noDeferring, noRewinds bool
	// unlisted is how often ListDeferred fails.
	unlisted int
	rewinds  map[alert.UnitKey]tick.Tick
	statuses map[alert.UnitKey]store.Status
	fenced   map[alert.UnitKey]bool // another node has these units
	unborn   bool                   // a node that died has polled units before their first commit
	hangs    atomic.Int64           // how long a commit takes, whatever its context
}

// fence returns the error of a write to units that another node has, and whether to write
// to one.
func (m *memory) fence(keys ...alert.UnitKey) error {
	var lost []alert.UnitKey

	for _, key := range keys {
		if m.fenced[key] {
			lost = append(lost, key)
		}
	}

	if len(lost) == 0 {
		return nil
	}

	return &store.FencedError{Units: lost}
}

func newMemory() *memory {
	return &memory{
		cps:      map[alert.UnitKey]store.Checkpoint{},
		seen:     map[alert.UnitKey][]store.Seen{},
		deferred: map[int64]store.Deferred{},
		rewinds:  map[alert.UnitKey]tick.Tick{},
		statuses: map[alert.UnitKey]store.Status{},
	}
}

var errFull = errors.New("no space left on device")

func (m *memory) Load(_ context.Context, k alert.UnitKey) (store.Checkpoint, []store.Seen, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	cp, ok := m.cps[k]
	if !ok {
		cp.Replay = m.unborn
	}

	return cp, append([]store.Seen(nil), m.seen[k]...), ok, nil
}

func (m *memory) Commit(ctx context.Context, commits []store.Commit) error {
	time.Sleep(time.Duration(m.hangs.Load()))
	m.mu.Lock()
	defer m.mu.Unlock()

	if err := ctx.Err(); err != nil {
		return err
	}

	if m.full {
		return errFull
	}

	m.commits++

	var keys []alert.UnitKey
	for _, c := range commits {
		if keys = append(keys, c.Key); m.fenced[c.Key] {
			continue
		}

		m.cps[c.Key] = c.Checkpoint

		kept := m.seen[c.Key][:0]
		for _, s := range m.seen[c.Key] {
			if s.Time >= c.Checkpoint.SeenSince {
				kept = append(kept, s)
			}
		}

		m.seen[c.Key] = append(kept, c.Seen...)
		for _, a := range c.Deferred {
			m.lastDeferred++
			a.Events = bytes.Clone(a.Events)
			m.deferred[m.lastDeferred] = a
		}

		for _, id := range c.Dropped {
			delete(m.deferred, id)
		}
	}

	return m.fence(keys...)
}

func (m *memory) Status(_ context.Context, k alert.UnitKey) (store.Status, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	s, ok := m.statuses[k]

	return s, ok, nil
}

func (m *memory) SetStatus(_ context.Context, statuses map[alert.UnitKey]store.Status) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.full {
		return errFull
	}

	maps.Copy(m.statuses, statuses)

	return nil
}

func (m *memory) PendingRewind(context.Context, ...alert.UnitKey) (map[alert.UnitKey]tick.Tick, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	return maps.Clone(m.rewinds), nil
}

func (m *memory) ApplyRewind(_ context.Context, k alert.UnitKey) (store.Checkpoint, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	since, ok := m.rewinds[k]
	if m.noRewinds {
		return store.Checkpoint{}, false, errFull
	}

	if !ok {
		return store.Checkpoint{}, false, nil
	}

	delete(m.rewinds, k)

	cp, ok := m.cps[k]
	if !ok {
		return store.Checkpoint{}, false, nil
	}

	cp.Floor, cp.Watermark, cp.SeenSince = min(cp.Floor, since), min(cp.Watermark, since), min(cp.SeenSince, since)
	m.cps[k] = cp
	m.seen[k] = slices.DeleteFunc(m.seen[k], func(s store.Seen) bool { return s.Time >= since })

	return cp, true, nil
}

// PutDeferred keeps an ID that is set, as the store does.
func (m *memory) PutDeferred(_ context.Context, _ alert.UnitKey, a store.Deferred) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.full || m.noDeferring {
		return 0, errFull
	}

	id := a.ID
	if id == 0 {
		m.lastDeferred++
		id = m.lastDeferred
	}

	m.deferred[id] = a

	return id, nil
}

func (m *memory) ListDeferred(context.Context, alert.UnitKey) (list []store.Deferred, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.unlisted > 0 {
		m.unlisted--
		return nil, store.ErrBusy
	}

	for _, id := range slices.Sorted(maps.Keys(m.deferred)) {
		a := m.deferred[id]
		a.ID, a.Events = id, nil
		list = append(list, a)
	}

	return list, nil
}

func (m *memory) DeferredEvents(_ context.Context, _ alert.UnitKey, id int64) (row []byte, ok bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	a, ok := m.deferred[id]

	return a.Events, ok && a.Events != nil, nil
}

func (m *memory) DropDeferred(_ context.Context, _ alert.UnitKey, id int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.full {
		return errFull
	}

	delete(m.deferred, id)

	return nil
}
