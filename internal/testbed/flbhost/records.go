package flbhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"fluent-bit-defender/internal/tick"
)

// Record is one event as the outputs of Fluent Bit would get it.
type Record struct {
	Tag      string
	Time     tick.Tick
	Metadata []byte // msgpack map of a [[time, metadata], map] event, nil for a [time, map] event
	Event    []byte // the record itself, a msgpack map
}

// chunkMagic begins each chunk file; host/chunk.c has the layout.
const chunkMagic = "FLBHOST1"

// ErrChunk is returned by Records for a chunk file that is not one.
var ErrChunk = errors.New("not a chunk file of this host")

// Records decodes every event in the chunk files of dir, in the order in which the
// chunks were begun. As in Fluent Bit the decoder stops at the first bad event of a
// chunk and says nothing: the rest never reaches an output. An append that a kill cut
// short does not exist. A dir without chunks has no records.
func Records(dir string) ([]Record, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.chunk"))
	if err != nil {
		return nil, fmt.Errorf("flbhost: %w", err)
	}

	sort.Strings(names)

	var out []Record

	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("flbhost: %w", err)
		}

		tag, data, err := parseChunk(text)
		if err != nil {
			return nil, fmt.Errorf("flbhost: %s: %w", filepath.Base(name), err)
		}

		out = append(out, DecodeEvents(tag, data)...)
	}

	return out, nil
}

func parseChunk(text []byte) (tag string, data []byte, err error) {
	if len(text) == 0 {
		return "", nil, nil // killed between the creation and its first byte
	}

	if len(text) < 20 || string(text[:8]) != chunkMagic {
		return "", nil, ErrChunk
	}

	size := binary.LittleEndian.Uint64(text[8:])
	n := uint64(binary.LittleEndian.Uint32(text[16:]))

	if size == 0 {
		return "", nil, nil
	}

	rest := text[20:]
	if n > uint64(len(rest)) || size > uint64(len(rest))-n {
		return "", nil, ErrChunk
	}

	return string(rest[:n]), rest[n : n+size], nil
}

// encodeChunk returns the content of a chunk file, as parseChunk reads it.
func encodeChunk(tag string, data []byte) []byte {
	b := []byte(chunkMagic)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(tag)))
	b = append(b, tag...)

	return append(b, data...)
}

// DecodeEvents splits a concatenation of log events, up to the first one that Fluent
// Bit's decoder refuses (src/flb_log_event_decoder.c). The records share buf's memory.
func DecodeEvents(tag string, buf []byte) []Record {
	var out []Record

	for len(buf) > 0 {
		n := skipObject(buf)
		if n == 0 {
			break
		}

		r, group, ok := decodeEvent(buf[:n])
		if !ok {
			break
		}

		buf = buf[n:]

		if !group {
			r.Tag = tag
			out = append(out, r)
		}
	}

	return out
}

// decodeEvent reads [ts, map] or [[ts, meta], map]; group is true for the marks that
// begin and end a group of records.
func decodeEvent(b []byte) (r Record, group, ok bool) {
	root, ok := peekObject(b)
	if !ok || root.kind != kindArray || root.count != 2 {
		return r, false, false
	}

	at := root.head
	o, _ := peekObject(b[at:])

	v2 := o.kind == kindArray
	if v2 {
		if o.count != 2 {
			return r, false, false
		}

		at += o.head
	}

	r.Time, group, ok = timestamp(b[at:])
	if !ok {
		return r, false, false
	}

	at += skipObject(b[at:])
	if v2 {
		if o, _ = peekObject(b[at:]); o.kind != kindMap {
			return r, false, false
		}

		n := skipObject(b[at:])
		r.Metadata = b[at : at+n]
		at += n
	}

	if o, _ = peekObject(b[at:]); o.kind != kindMap {
		return r, false, false
	}

	r.Event = b[at:]

	return r, group, true
}

func timestamp(b []byte) (t tick.Tick, group, ok bool) {
	o, ok := peekObject(b)
	if !ok {
		return 0, false, false
	}

	switch o.kind {
	case kindUint:
		return tick.Tick(o.uint(b)) * tick.Second, false, true
	case kindFloat:
		return tick.Tick(o.float(b) * float64(tick.Second)), false, true
	case kindExt:
		data := b[o.head+1 : o.head+o.body]
		if o.ext != 0 || len(data) != 8 {
			return 0, false, false
		}

		sec, nsec := binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
		if sec >= 0xfffffffe {
			return 0, true, nsec == 0
		}

		return tick.Tick(sec)*tick.Second + tick.Tick(nsec/100), false, true
	}

	return 0, false, false
}
