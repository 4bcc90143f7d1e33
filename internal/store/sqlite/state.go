package sqlite

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// historyStep is the least time between two remembered checkpoints of a unit: a crash
// goes back to the newest one older than CrashWindow, so a coarse step costs nothing
// but reading that much more; repeats are filtered by the seen-set.
const historyStep = 10 * time.Second

// moment is a time on the machine's own clock: which start of the machine (counted by
// the store) and how long after it. Unlike wall-clock times, moments are not moved by
// an operator or NTP, so that "two minutes ago" is that.
type moment struct {
	boot int64
	at   time.Duration
}

// durable reports whether what happened at m is surely on disk at now.
func (m moment) durable(now moment) bool {
	return m.boot < now.boot || m.at <= now.at-store.CrashWindow
}

// progress is a checkpoint and when it was committed.
type progress struct {
	when       moment
	checkpoint store.Checkpoint
}

// unitState is the row of a unit: its progress now and, to go back to after a crash of
// the machine, as it was at earlier moments, oldest first: one that is durable, and
// those since.
type unitState struct {
	has     bool // a checkpoint was committed
	now     progress
	history []progress
}

// push makes p the newest progress and remembers it if the last one remembered is
// historyStep old.
func (s *unitState) push(p progress) {
	s.now, s.has = p, true
	if n := len(
		s.history,
	); n == 0 || s.history[n-1].when.boot != p.when.boot ||
		p.when.at-s.history[n-1].when.at >= historyStep {
		s.history = append(s.history, p)
	}

	first := 0
	for first+1 < len(s.history) && s.history[first+1].when.durable(p.when) {
		first++
	}

	s.history = s.history[first:]
}

// durablePrune is the bound below which seen entries are needed by no progress that may
// still become the current one.
func (s *unitState) durablePrune(now moment) tick.Tick {
	if len(s.history) == 0 || !s.history[0].when.durable(now) {
		return 0
	}

	return min(s.history[0].checkpoint.SeenSince, s.now.checkpoint.SeenSince)
}

// undo goes back to the newest progress that was durable at the moment of the crash. A
// unit that began later than that starts again at its floor. It says whether anything
// changed.
func (s *unitState) undo(crash moment) bool {
	if !s.has || s.now.when.durable(crash) {
		return false
	}

	lateness := s.now.checkpoint.Lateness // an observation, not progress
	for n := len(s.history); n > 0; n-- {
		if p := s.history[n-1]; p.when.durable(crash) {
			p.checkpoint.Lateness = lateness
			s.now, s.history = p, s.history[:n]

			return true
		}
	}

	floor := s.now.checkpoint.Floor
	s.now = progress{checkpoint: store.Checkpoint{
		Floor:     floor,
		Watermark: floor,
		SeenSince: floor,
		Lateness:  lateness,
	}}
	s.history = []progress{s.now}

	return true
}

// rewind goes back to since, now and for every crash to come. Everything updated at or
// after it counts as never emitted.
func (s *unitState) rewind(since tick.Tick) {
	back := func(p *progress) {
		c := &p.checkpoint
		c.Floor, c.Watermark, c.SeenSince = min(c.Floor, since), min(c.Watermark, since), min(c.SeenSince, since)
	}
	back(&s.now)

	for i := range s.history {
		back(&s.history[i])
	}
}

// The row of a unit: version 1, flags, count of history, then the progresses, each
// seven big-endian 64-bit numbers, then a CRC-32C of it all: a flipped bit in a
// watermark would otherwise skip alerts.
const (
	stateVersion = 1
	progressLen  = 7 * 8
)

func (s *unitState) encode() []byte {
	b := make([]byte, 0, 4+(1+len(s.history))*progressLen+4)

	b = append(b, stateVersion, 0)
	if s.has {
		b[1] = 1
	}

	b = binary.BigEndian.AppendUint16(b, uint16(len(s.history)))

	b = s.now.append(b)
	for i := range s.history {
		b = s.history[i].append(b)
	}

	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (p *progress) append(b []byte) []byte {
	c := &p.checkpoint
	for _, n := range [...]int64{p.when.boot, int64(p.when.at), int64(c.Floor), int64(c.Watermark), int64(c.SeenSince),
		int64(c.Swept), int64(c.Lateness)} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}

	return b
}

func decodeState(b []byte) (s unitState, err error) {
	if len(b) < 4+progressLen+4 || b[0] != stateVersion {
		return s, fmt.Errorf("%w: not the state of a unit", store.ErrDamaged)
	}

	body, sum := b[:len(b)-4], b[len(b)-4:]
	if binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
		return s, fmt.Errorf("%w: the state of a unit has a wrong checksum", store.ErrDamaged)
	}

	n := int(binary.BigEndian.Uint16(body[2:]))
	if len(body) != 4+(1+n)*progressLen {
		return s, fmt.Errorf("%w: the state of a unit has a wrong length", store.ErrDamaged)
	}

	s.has = body[1]&1 != 0
	s.now = decodeProgress(body[4:])

	s.history = make([]progress, n)
	for i := range s.history {
		s.history[i] = decodeProgress(body[4+(1+i)*progressLen:])
	}

	return s, nil
}

func decodeProgress(b []byte) (p progress) {
	number := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) }
	p.when = moment{number(0), time.Duration(number(1))}
	p.checkpoint = store.Checkpoint{
		Floor:     tick.Tick(number(2)),
		Watermark: tick.Tick(number(3)),
		SeenSince: tick.Tick(number(4)),
		Swept:     tick.Tick(number(5)),
		Lateness:  time.Duration(number(6)),
	}

	return p
}

// A blob of seen entries: CRC-32C of the rest, then 24 bytes each: key, time.
const seenLen = 24

func appendSeen(blob []byte, seen []store.Seen) []byte {
	if len(blob) == 0 {
		blob = make([]byte, 4, 4+len(seen)*seenLen)
	}

	for i := range seen {
		blob = append(blob, seen[i].Key[:]...)
		blob = binary.BigEndian.AppendUint64(blob, uint64(seen[i].Time))
	}

	binary.BigEndian.PutUint32(blob, crc32.Checksum(blob[4:], castagnoli))

	return blob
}

// decodeSeen appends to into the entries of a blob that are not older than from.
func decodeSeen(into []store.Seen, blob []byte, from tick.Tick) ([]store.Seen, error) {
	if len(blob) < 4 || (len(blob)-4)%seenLen != 0 ||
		binary.BigEndian.Uint32(blob) != crc32.Checksum(blob[4:], castagnoli) {
		return into, fmt.Errorf("%w: a part of the seen-set has a wrong checksum", store.ErrDamaged)
	}

	for b := blob[4:]; len(b) > 0; b = b[seenLen:] {
		if t := tick.Tick(binary.BigEndian.Uint64(b[16:])); t >= from {
			into = append(into, store.Seen{Key: [16]byte(b[:16]), Time: t})
		}
	}

	return into, nil
}
