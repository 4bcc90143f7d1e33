package ocsf

import (
	"bytes"
	"net/netip"
	"slices"
	"unsafe"

	"fluent-bit-defender/internal/jsontext"
	"fluent-bit-defender/internal/record/msgpack"
	"fluent-bit-defender/internal/tick"
)

// fields are the values of an object that was read with a shape. A value that is written
// as an attribute of the event is marked as used. The others are put into `data` or
// `unmapped`.
type fields []span

// text returns the text of a string or number. It returns nil for anything else, and for
// no value.
func (e *event) text(v span) []byte {
	if !v.is() {
		return nil
	}

	b := e.scan.src[v.from:v.to]

	switch c := b[0]; {
	case c == '"':
		b = b[1 : len(b)-1]
		if v.plain || !escaped(b) {
			return b
		}

		var text []byte

		e.arena, text = unescape(e.arena, e.scan.src, int(v.from))

		return text
	case c == '-' || c-'0' < 10:
		return b
	}

	return nil
}

// take returns the text of a field and marks it as used, if it has one.
func (e *event) take(f fields, field int) []byte {
	text := e.text(f[field])
	if len(text) > 0 {
		f[field].used = true
	}

	return text
}

// first returns the text of the first of the fields that has one, and marks it as used.
func (e *event) first(f fields, list ...int) []byte {
	for _, field := range list {
		if text := e.take(f, field); len(text) > 0 {
			return text
		}
	}

	return nil
}

// put writes the text of a field under a key.
func (e *event) put(key string, f fields, field int) { e.w.text(key, e.take(f, field)) }

// putTime writes the time of a field in milliseconds since 1970. A time of the year 1 is
// left out: .NET writes "no time" like this.
func (e *event) putTime(key string, f fields, field int) {
	text := e.text(f[field])
	if len(text) == 0 {
		return
	}

	if at := timeOf(text); at > 0 {
		f[field].used = true

		e.w.integer(key, int64(at/tick.Millisecond))
	} else if bytes.HasPrefix(text, []byte("0001-01-01T")) {
		f[field].used = true
	}
}

// timeOf returns the time in a text, 0 if there is none or if it is before 1970.
func timeOf(text []byte) tick.Tick {
	if len(text) == 0 {
		return 0
	}

	at, err := tick.Parse(text)
	if err != nil {
		return 0
	}

	return max(0, at)
}

// putInteger writes the integer of a field under a key. It may be written as a text.
func (e *event) putInteger(key string, f fields, field int) {
	if n, ok := e.integer(f, field); ok {
		f[field].used = true

		e.w.integer(key, n)
	}
}

// integer returns the integer of a field. It does not mark it.
func (e *event) integer(f fields, field int) (int64, bool) {
	return integerOf(e.text(f[field]))
}

// integerOf returns the integer in a text; ok is false if the text is anything else. It
// accepts at most 18 digits: no number of the services has more.
func integerOf(text []byte) (n int64, ok bool) {
	const mostDigits = 18

	digits := bytes.TrimPrefix(text, []byte("-"))
	if len(digits) == 0 || len(digits) > mostDigits {
		return 0, false
	}

	for _, c := range digits {
		if c-'0' >= 10 {
			return 0, false
		}

		n = n*10 + int64(c-'0')
	}

	if len(digits) < len(text) {
		n = -n
	}

	return n, true
}

// putWord writes the id and the caption for the word of a field, and reports whether it
// has one.
func (e *event) putWord(id, caption string, kinds *enum, f fields, field int) bool {
	text := e.take(f, field)
	if len(text) == 0 {
		return false
	}

	e.w.kindOr(id, caption, kinds.find(text), text)

	return true
}

// kind writes an id and its caption.
func (w *writer) kind(id, caption string, kind *word) {
	w.integer(id, kind.id)
	w.word(caption, kind.caption)
}

// kindOr writes the id and the caption of kind. If kind is nil, it writes the id other,
// and the service's own word as the caption.
func (w *writer) kindOr(id, caption string, kind *word, text []byte) {
	if kind != nil {
		w.kind(id, caption, kind)
		return
	}

	w.integer(id, other)
	w.text(caption, text)
}

// address returns the IP address of a field, nil if it has none. It does not mark it.
func (e *event) address(f fields, field int) []byte {
	text := e.text(f[field])
	if !isAddress(text) {
		return nil
	}

	return text
}

// isAddress reports whether a text is an IP address, as the schema's ip_t has it.
func isAddress(text []byte) bool {
	const longest = 40

	if len(text) < 2 || len(text) > longest || jsontext.Hex(text[0]) < 0 && text[0] != ':' ||
		bytes.IndexByte(text, '.') < 0 && bytes.IndexByte(text, ':') < 0 {
		return false
	}

	// ParseAddr takes a string, and keeps it only in the zone of an address that is
	// thrown away here. A copy would cost an allocation.
	_, err := netip.ParseAddr(unsafe.String(&text[0], len(text)))

	return err == nil
}

// mail returns the mail address of a field, nil if it has none. It does not mark it.
func (e *event) mail(f fields, field int) []byte {
	text := e.text(f[field])
	if !isMail(text) {
		return nil
	}

	return text
}

// isMail reports whether a text is a mail address, as the schema's email_t has it:
//
//	^[a-zA-Z0-9!#$%&'*+-/=?^_`{|}~.]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+$
func isMail(text []byte) bool {
	at := bytes.IndexByte(text, '@')
	if at < 1 {
		return false
	}

	for _, c := range text[:at] {
		if !isAlphanumeric(c) && bytes.IndexByte([]byte("!#$%&'*+,-./=?^_`{|}~"), c) < 0 {
			return false
		}
	}

	host := text[at+1:]

	dot := bytes.IndexByte(host, '.')
	if dot < 1 || dot == len(host)-1 {
		return false
	}

	for _, c := range host {
		if !isAlphanumeric(c) && c != '-' && c != '.' {
			return false
		}
	}

	return true
}

func isAlphanumeric(c byte) bool { return c-'0' < 10 || c|0x20-'a' < 26 }

// each calls do with the offset of each element of an array, until it returns false. do
// returns the offset behind the element, or 0 to let each find it.
func (e *event) each(v span, do func(i int) (end int)) {
	if !e.isArray(v) {
		return
	}

	s := &e.scan

	i := s.space(int(v.from) + 1)
	for s.peek(i) != ']' {
		end := do(i)
		if end == 0 {
			end = s.value(i)
		}

		if i = s.space(end); s.peek(i) == ',' {
			i = s.space(i + 1)
		}
	}
}

// isArray reports whether a value is an array.
func (e *event) isArray(v span) bool { return v.is() && e.scan.src[v.from] == '[' }

// texts calls do with each text of a field: that of a string, or those in an array. It
// reports whether the field has nothing else.
func (e *event) texts(v span, do func(text []byte)) (all bool) {
	if !e.isArray(v) {
		text := e.text(v)
		if len(text) > 0 {
			do(text)
		}

		return len(text) > 0
	}

	all = true

	e.each(v, func(i int) int {
		end := e.scan.value(i)
		if text := e.text(span{from: uint32(i), to: uint32(end)}); len(text) > 0 {
			do(text)
		} else {
			all = false
		}

		return end
	})

	return all
}

// copyValue writes the value at src[i] as it is, and returns the offset behind it. A
// value that Fluent Bit cannot hold becomes a text: a container that nests too deeply
// its JSON, a number beyond the doubles its digits.
func (e *event) copyValue(i int) int {
	w, s := &e.w, &e.scan

	switch c := s.src[i]; c {
	case '"':
		return e.copyText(i)
	case '{', '[':
		if w.depth >= msgpack.MaxDepth {
			end := s.container(i)
			w.b = msgpack.AppendStr(w.b, s.src[i:end])

			return end
		}

		if c == '[' {
			return e.copyArray(i)
		}

		return e.copyObject(i)
	case 't':
		w.b = append(w.b, msgpack.True)
		return i + 4
	case 'f':
		w.b = append(w.b, msgpack.False)
		return i + 5
	case 'n':
		w.b = append(w.b, msgpack.Nil)
		return i + 4
	}

	return e.copyNumber(i)
}

func (e *event) copyObject(i int) int {
	w, s := &e.w, &e.scan
	w.push(len(w.b), msgpack.Map16)

	for i = s.space(i + 1); s.src[i] != '}'; {
		i = s.space(s.space(e.copyText(i)) + 1)
		w.open[w.depth-1].n++

		if i = s.space(e.copyValue(i)); s.src[i] == ',' {
			i = s.space(i + 1)
		}
	}

	w.end()

	return i + 1
}

func (e *event) copyArray(i int) int {
	w, s := &e.w, &e.scan
	w.push(len(w.b), msgpack.Array16)

	for i = s.space(i + 1); s.src[i] != ']'; {
		w.open[w.depth-1].n++

		if i = s.space(e.copyValue(i)); s.src[i] == ',' {
			i = s.space(i + 1)
		}
	}

	w.end()

	return i + 1
}

func (e *event) copyNumber(i int) int {
	var room [16]byte

	w, s := &e.w, &e.scan

	o, end := msgpack.Number(room[:], 0, s.src, i)
	if o >= 0 {
		w.b = append(w.b, room[:o]...)
		return end
	}

	end = s.number(i)
	w.b = msgpack.AppendStr(w.b, s.src[i:end])

	return end
}

// copyText writes the string at src[i], and returns the offset behind it.
func (e *event) copyText(i int) int {
	w, src := &e.w, e.scan.src

	// Usually there is room for all of the row from the start.
	if room := len(src) - i + msgpack.Slack; cap(w.b)-len(w.b) < room {
		w.b = slices.Grow(w.b, room)
	}

	o, end := msgpack.Text(w.b[:cap(w.b)], len(w.b), src, i+1)
	w.b = w.b[:o]

	return end
}
