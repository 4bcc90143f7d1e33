package ocsf

import (
	"fluent-bit-defender/internal/record/msgpack"
	"fluent-bit-defender/internal/tick"
)

// A writer appends msgpack. It knows which containers are open, and counts their members.
type writer struct {
	b     []byte
	open  [msgpack.MaxDepth + 1]frame
	depth int // containers that are open, the record itself counted
}

// A frame is an open container. Its header is written with the size 0, which is filled in
// when it ends.
type frame struct {
	start int // where it begins, with its key
	at    int // its header
	n     int // members so far
}

// begin starts a record. The caller writes its header.
func (w *writer) begin(dst []byte) {
	w.b, w.depth = dst, 1
	w.open[0] = frame{}
}

// members returns how many members the innermost container has.
func (w *writer) members() int { return w.open[w.depth-1].n }

// key writes a key of the innermost object; its value follows.
func (w *writer) key(key string) {
	w.open[w.depth-1].n++
	w.b = appendShort(w.b, key)
}

// object and array open a container under a key of the innermost object. close or end
// ends it.
func (w *writer) object(key string) { w.container(key, msgpack.Map16) }
func (w *writer) array(key string)  { w.container(key, msgpack.Array16) }

func (w *writer) container(key string, kind byte) {
	start := len(w.b)
	w.key(key)
	w.push(start, kind)
}

// element opens an object as an element of the innermost array.
func (w *writer) element() {
	w.open[w.depth-1].n++
	w.push(len(w.b), msgpack.Map16)
}

func (w *writer) push(start int, kind byte) {
	w.open[w.depth] = frame{start: start, at: len(w.b)}
	w.depth++
	w.b = append(w.b, kind, 0, 0)
}

// close ends the innermost container. If it is empty, it is removed, with its key. close
// reports whether it was kept.
func (w *writer) close() bool {
	f := &w.open[w.depth-1]
	if f.n == 0 {
		w.cancel()
		return false
	}

	w.end()

	return true
}

// cancel removes the innermost container, with its key and what is in it.
func (w *writer) cancel() {
	w.depth--
	w.b = w.b[:w.open[w.depth].start]
	w.open[w.depth-1].n--
}

// end ends the innermost container, also if it is empty.
func (w *writer) end() {
	w.depth--
	f := &w.open[w.depth]

	w.b = append(w.b, 0, 0) // room for a longer header
	w.b = w.b[:msgpack.PutSize(w.b, f.at, len(w.b)-2, f.n)]
}

// keyOf and objectOf are key and object for a key of the row.
func (w *writer) keyOf(key []byte) {
	w.open[w.depth-1].n++
	w.b = msgpack.AppendStr(w.b, key)
}

func (w *writer) objectOf(key []byte) {
	start := len(w.b)
	w.keyOf(key)
	w.push(start, msgpack.Map16)
}

// text writes a text under a key, unless it is empty.
func (w *writer) text(key string, text []byte) {
	if len(text) > 0 {
		w.key(key)
		w.b = msgpack.AppendStr(w.b, text)
	}
}

// word writes a text of our own, which is short, under a key.
func (w *writer) word(key, text string) {
	w.key(key)
	w.b = appendShort(w.b, text)
}

// appendShort is msgpack.AppendStr for texts of ours, which are nearly all short.
func appendShort(b []byte, text string) []byte {
	const longest = 31

	if len(text) > longest {
		return msgpack.AppendStr(b, text)
	}

	return append(append(b, msgpack.FixStr|byte(len(text))), text...)
}

// integer writes an integer under a key.
func (w *writer) integer(key string, n int64) {
	w.key(key)
	w.b = msgpack.AppendInt(w.b, n)
}

// truth writes a truth value under a key.
func (w *writer) truth(key string, v bool) {
	w.key(key)

	if v {
		w.b = append(w.b, msgpack.True)
	} else {
		w.b = append(w.b, msgpack.False)
	}
}

// item writes a text as an element of the innermost array.
func (w *writer) item(text []byte) {
	w.open[w.depth-1].n++
	w.b = msgpack.AppendStr(w.b, text)
}

// name writes a text of our own as an element of the innermost array.
func (w *writer) name(text string) {
	w.open[w.depth-1].n++
	w.b = msgpack.AppendStr(w.b, text)
}

// again writes a key and value that were written before.
func (w *writer) again(member []byte) {
	w.open[w.depth-1].n++
	w.b = append(w.b, member...)
}

// number writes an integer as an element of the innermost array.
func (w *writer) number(n int64) {
	w.open[w.depth-1].n++
	w.b = msgpack.AppendInt(w.b, n)
}

// time writes a time in milliseconds since 1970, unless it is 0.
func (w *writer) time(key string, at tick.Tick) {
	if at > 0 {
		w.integer(key, int64(at/tick.Millisecond))
	}
}
