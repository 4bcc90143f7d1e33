package unitstate

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The row of a unit: version, flags, length of the history, then the present and the
// earlier progress, each as seven big-endian 64-bit numbers, then a CRC-32C of
// everything: without it a flipped bit in a watermark would skip alerts. Files of one
// machine have version 1, with the first flag only; a store that several machines share
// has version 2.
const (
	fileVersion   = 1
	sharedVersion = 2
	progressLen   = 7 * 8
	headLen       = 4
	sumLen        = 4
)

const (
	flagHas = 1 << iota
	flagReplay
	flagCut
)

// Encode returns the bytes of a state for a store of one machine, which has neither
// Checkpoint.Replay nor Cut.
func (s *State) Encode() []byte { return s.encode(fileVersion, 0) }

// EncodeShared returns the bytes of a state for a store of several machines.
func (s *State) EncodeShared() []byte {
	var flags byte
	if s.Now.Checkpoint.Replay {
		flags |= flagReplay
	}

	if s.Cut {
		flags |= flagCut
	}

	return s.encode(sharedVersion, flags)
}

func (s *State) encode(version, flags byte) []byte {
	if s.Has {
		flags |= flagHas
	}

	b := make([]byte, 0, headLen+(1+len(s.History))*progressLen+sumLen)
	b = append(b, version, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.History)))

	b = s.Now.append(b)
	for i := range s.History {
		b = s.History[i].append(b)
	}

	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (p *Progress) append(b []byte) []byte {
	c := &p.Checkpoint
	for _, n := range [...]int64{
		p.When.Boot,
		int64(p.When.At),
		int64(c.Floor),
		int64(c.Watermark),
		int64(c.SeenSince),
		int64(c.Swept),
		int64(c.Lateness),
	} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}

	return b
}

// Decode reads what Encode returned.
func Decode(b []byte) (State, error) {
	s, _, err := decode(b, fileVersion)
	return s, err
}

// DecodeShared reads what EncodeShared returned.
func DecodeShared(b []byte) (State, error) {
	s, flags, err := decode(b, sharedVersion)
	s.Now.Checkpoint.Replay = flags&flagReplay != 0
	s.Cut = flags&flagCut != 0

	return s, err
}

func decode(b []byte, version byte) (s State, flags byte, err error) {
	if len(b) < headLen+progressLen+sumLen || b[0] != version {
		return s, 0, fmt.Errorf("%w: not the state of a unit", store.ErrDamaged)
	}

	body, sum := b[:len(b)-sumLen], b[len(b)-sumLen:]
	if binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
		return s, 0, fmt.Errorf("%w: the state of a unit has a wrong checksum", store.ErrDamaged)
	}

	n := int(binary.BigEndian.Uint16(body[2:]))
	if len(body) != headLen+(1+n)*progressLen {
		return s, 0, fmt.Errorf("%w: the state of a unit has a wrong length", store.ErrDamaged)
	}

	s.Has = body[1]&flagHas != 0
	s.Now = decodeProgress(body[headLen:])

	s.History = make([]Progress, n)
	for i := range s.History {
		s.History[i] = decodeProgress(body[headLen+(1+i)*progressLen:])
	}

	return s, body[1], nil
}

func decodeProgress(b []byte) (p Progress) {
	number := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) }
	p.When = Moment{number(0), time.Duration(number(1))}
	p.Checkpoint = store.Checkpoint{
		Floor:     tick.Tick(number(2)),
		Watermark: tick.Tick(number(3)),
		SeenSince: tick.Tick(number(4)),
		Swept:     tick.Tick(number(5)),
		Lateness:  time.Duration(number(6)),
	}

	return p
}

// seenLen is the length of an entry in a part of the seen-set: key and time. A part
// begins with a CRC-32C of the rest.
const seenLen = 24

// AppendSeen adds entries to the bytes of a part; nil starts a new one.
func AppendSeen(data []byte, seen []store.Seen) []byte {
	if len(data) == 0 {
		data = make([]byte, sumLen, sumLen+len(seen)*seenLen)
	}

	for i := range seen {
		data = append(data, seen[i].Key[:]...)
		data = binary.BigEndian.AppendUint64(data, uint64(seen[i].Time))
	}

	binary.BigEndian.PutUint32(data, crc32.Checksum(data[sumLen:], castagnoli))

	return data
}

// DecodeSeen appends to into the entries of a part that are not older than from.
func DecodeSeen(into []store.Seen, data []byte, from tick.Tick) ([]store.Seen, error) {
	if len(data) < sumLen || (len(data)-sumLen)%seenLen != 0 ||
		binary.BigEndian.Uint32(data) != crc32.Checksum(data[sumLen:], castagnoli) {
		return into, fmt.Errorf("%w: a part of the seen-set has a wrong checksum", store.ErrDamaged)
	}

	for b := data[sumLen:]; len(b) > 0; b = b[seenLen:] {
		if t := tick.Tick(binary.BigEndian.Uint64(b[16:])); t >= from {
			into = append(into, store.Seen{Key: [16]byte(b[:16]), Time: t})
		}
	}

	return into, nil
}
