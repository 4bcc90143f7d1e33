package unitstate

import (
	"slices"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// Span is how long after its first entries a part takes further ones. So an undo may go
// back by this much more than Policy.Window says, unless the window includes it.
const Span = time.Second

// Sizes of the seen-set. A commit adds one part; commits within Span go into the same
// one, so that there are at most as many parts younger than Policy.Window as that has
// seconds. Older ones are merged when there are MaxDurable of them: the youngest
// mergeLeast, and each older one that is at most twice as large as those after it
// together. So an entry is rewritten a logarithmic number of times, and a unit has a
// bounded number of parts.
const (
	MaxDurable = 16
	sameBytes  = 64 << 10
	mergeLeast = 8
)

// Part describes a part of the seen-set, without its entries.
type Part struct {
	Seq    int64
	When   Moment // when its first entry was committed
	N      int
	Newest tick.Tick
}

// Parts is a unit's seen-set: its parts in the order of Seq.
type Parts struct {
	List []Part
	// Next is the Seq of the next part.
	Next int64
}

// Table is where a store keeps the parts of one unit, in one transaction.
type Table interface {
	// Data returns the bytes of a part, to which the caller may append.
	Data(p Part) ([]byte, error)
	// Entries returns the entries, not older than from, of parts that are neighbours.
	Entries(parts []Part, from tick.Tick) ([]store.Seen, error)
	// Insert stores a new part.
	Insert(p Part, data []byte) error
	// Update replaces the entries of a part, and their description.
	Update(p Part, data []byte) error
	// Delete removes a part.
	Delete(p Part) error
}

// Clone returns a copy that shares nothing with p.
func (p *Parts) Clone() Parts { return Parts{slices.Clone(p.List), p.Next} }

// Add writes new entries; there is at least one.
func (p *Parts) Add(t Table, seen []store.Seen, when Moment) error {
	newest := seen[0].Time
	for i := range seen {
		newest = max(newest, seen[i].Time)
	}

	if n := len(p.List); n > 0 && p.List[n-1].takes(when) {
		last := &p.List[n-1]

		data, err := t.Data(*last)
		if err != nil {
			return err
		}

		last.N += len(seen)
		last.Newest = max(last.Newest, newest)

		return t.Update(*last, AppendSeen(data, seen))
	}

	part := Part{
		Seq:    p.Next,
		When:   when,
		N:      len(seen),
		Newest: newest,
	}
	if err := t.Insert(part, AppendSeen(nil, seen)); err != nil {
		return err
	}

	p.List = append(p.List, part)
	p.Next++

	return nil
}

// takes reports whether the part takes further entries. It keeps the time of its first
// entries, so that a steady flow of commits fills one part after the other.
func (p *Part) takes(when Moment) bool {
	return p.When.Boot == when.Boot && when.At-p.When.At < Span && when.At >= p.When.At && p.N*seenLen < sameBytes
}

// Compact drops durable parts that are older than prune as a whole, and merges durable
// ones when there are too many.
func (p *Parts) Compact(t Table, prune tick.Tick, now Moment, policy Policy) error {
	durable := 0
	for durable < len(p.List) && policy.Durable(p.List[durable].When, now) {
		durable++
	}

	durable, err := p.drop(t, durable, prune)
	if err != nil || durable < MaxDurable {
		return err
	}

	from, sum := durable-mergeLeast, 0
	for _, b := range p.List[from:durable] {
		sum += b.N
	}

	for from > 0 && p.List[from-1].N <= 2*sum {
		from--
		sum += p.List[from].N
	}

	return p.merge(t, from, durable, prune)
}

// drop removes those of the first durable parts that have nothing newer than prune, and
// returns how many of them stay.
func (p *Parts) drop(t Table, durable int, prune tick.Tick) (int, error) {
	var kept []Part // nil: all of them

	for i, b := range p.List[:durable] {
		if b.Newest >= prune {
			if kept != nil {
				kept = append(kept, b)
			}

			continue
		}

		if kept == nil {
			kept = append(make([]Part, 0, len(p.List)), p.List[:i]...)
		}

		if err := t.Delete(b); err != nil {
			return 0, err
		}
	}

	if kept == nil {
		return durable, nil
	}

	tail := p.List[durable:]
	durable = len(kept)
	p.List = append(kept, tail...)

	return durable, nil
}

// merge makes one part of those in [from, to), without entries older than prune.
func (p *Parts) merge(t Table, from, to int, prune tick.Tick) error {
	group := p.List[from:to]

	seen, err := t.Entries(group, prune)
	if err != nil {
		return err
	}

	last := group[len(group)-1]
	for _, b := range group[:len(group)-1] {
		if err := t.Delete(b); err != nil {
			return err
		}
	}

	rest := slices.Clone(p.List[to:])

	p.List = p.List[:from]

	if len(seen) == 0 {
		err = t.Delete(last)
	} else {
		last.N, last.Newest = len(seen), seen[0].Time
		for i := range seen {
			last.Newest = max(last.Newest, seen[i].Time)
		}

		p.List = append(p.List, last)
		err = t.Update(last, AppendSeen(nil, seen))
	}

	p.List = append(p.List, rest...)

	return err
}

// Filter removes the entries that are not older than before from every part. The parts
// keep their moments, so that an undo still drops the young ones.
func (p *Parts) Filter(t Table, before tick.Tick) error {
	var kept []Part

	for i, b := range p.List {
		seen, err := t.Entries(p.List[i:i+1], 0)
		if err != nil {
			return err
		}

		older := seen[:0]
		b.Newest = 0

		for _, e := range seen {
			if e.Time < before {
				older = append(older, e)
				b.Newest = max(b.Newest, e.Time)
			}
		}

		if len(older) == 0 {
			if err := t.Delete(b); err != nil {
				return err
			}

			continue
		}

		if len(older) != b.N {
			b.N = len(older)
			if err := t.Update(b, AppendSeen(nil, older)); err != nil {
				return err
			}
		}

		kept = append(kept, b)
	}

	p.List = kept

	return nil
}
