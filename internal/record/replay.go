package record

import (
	"bytes"
	"slices"

	"fluent-bit-defender/internal/record/msgpack"
)

// replayKey is the last entry of mssp in a record that may have been delivered before by
// a node that died: "replay": true.
var replayKey = append(msgpack.AppendStr(nil, "replay"), msgpack.True)

// Entries of mssp, in msgpack: see prefix.
var (
	msspKey    = msgpack.AppendStr(nil, "mssp")
	idKey      = msgpack.AppendStr(nil, "record_id")
	healthKind = msgpack.AppendStr(msgpack.AppendStr(nil, "kind"), "health")
)

// msspKeys is how many entries mssp has without the mark.
const msspKeys = 5

// Replay sets whether the events from now on are marked as ones that may have been
// delivered before. Health records are never marked.
func (e *Encoder) Replay(on bool) { e.replay = on }

// mark marks the event whose beginning was just appended to dst[start:].
func mark(dst []byte, start int) []byte {
	dst[start+atRecord+3+len(msspKey)]++ // at this moment the record is a map16

	return append(dst, replayKey...)
}

// MarkReplays returns a copy of encoded events, one behind the other, with the mark of
// Replay. An event that has the mark, a health record, and bytes that this package did
// not write, are copied as they are.
func MarkReplays(batch []byte) []byte {
	marked := make([]byte, 0, len(batch)+len(batch)/16)

	for len(batch) > 0 {
		event, rest, err := Next(batch)
		if err != nil {
			return append(marked, batch...)
		}

		marked, batch = appendMarked(marked, event), rest
	}

	return marked
}

// appendMarked appends one event with the mark.
func appendMarked(dst, event []byte) []byte {
	size, end, ok := msspOf(event)
	if !ok {
		return append(dst, event...)
	}

	start := len(dst)
	dst = append(slices.Grow(dst, len(event)+len(replayKey)), event[:end]...)
	dst[start+size]++
	dst = append(dst, replayKey...)

	return append(dst, event[end:]...)
}

// msspOf returns the offsets of the size of mssp, and of its end; ok is false if the
// event is not to be marked.
func msspOf(event []byte) (size, end int, ok bool) {
	if len(event) <= atRecord || !isMap(event[atRecord]) {
		return 0, 0, false
	}

	head, _, _, ok := header(event[atRecord:])
	if !ok || !bytes.HasPrefix(event[atRecord+head:], msspKey) {
		return 0, 0, false
	}

	size = atRecord + head + len(msspKey)

	entries, found := bytes.CutPrefix(event[size:], []byte{msgpack.FixMap | msspKeys})
	if !found || bytes.HasPrefix(entries, healthKind) {
		return 0, 0, false
	}

	end = size + 1

	for i := range 2 * msspKeys {
		if i == 2*(msspKeys-1) && !bytes.HasPrefix(event[end:], idKey) {
			return 0, 0, false
		}

		head, length, count, ok := header(event[end:])
		if !ok || count > 0 || end+head+length > len(event) {
			return 0, 0, false
		}

		end += head + length
	}

	return size, end, true
}
