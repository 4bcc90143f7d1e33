package simulator

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"fluent-bit-defender/internal/tick"
)

// object writes one JSON object, keeping the order of keys. It applies an alert's
// overrides on the way.
type object struct {
	b       []byte
	escapes EscapeMode
	over    map[string]json.RawMessage
	used    []string
}

func (o *object) open() { o.b = append(o.b, '{') }

// close adds the overrides whose keys were not written, then ends the object.
func (o *object) close() {
	o.rest()
	o.b = append(o.b, '}')
}

// rest writes the overrides whose keys were not written.
func (o *object) rest() {
	if len(o.used) == len(o.over) {
		return
	}

	for _, key := range sortedKeys(o.over) {
		if v := o.over[key]; len(v) > 0 && !slices.Contains(o.used, key) {
			o.key(key)
			o.b = append(o.b, v...)
		}
	}

	o.over, o.used = nil, nil
}

func (o *object) key(key string) {
	if n := len(o.b); n > 0 && o.b[n-1] != '{' {
		o.b = append(o.b, ',')
	}

	o.b = appendText(o.b, key, EscapeMin)
	o.b = append(o.b, ':')
}

// begin writes the key and reports whether the caller has to write the value.
func (o *object) begin(key string) bool {
	if v, ok := o.over[key]; ok {
		o.used = append(o.used, key)
		if len(v) > 0 {
			o.key(key)
			o.b = append(o.b, v...)
		}

		return false
	}

	o.key(key)

	return true
}

func (o *object) raw(key, value string) {
	if o.begin(key) {
		o.b = append(o.b, value...)
	}
}

func (o *object) text(key, value string) {
	if o.begin(key) {
		o.b = appendText(o.b, value, o.escapes)
	}
}

// orNull writes null for an empty text.
func (o *object) orNull(key, value string) {
	if value == "" {
		o.raw(key, "null")
		return
	}

	o.text(key, value)
}

func (o *object) int(key string, n int64) {
	if o.begin(key) {
		o.b = strconv.AppendInt(o.b, n, 10)
	}
}

// intOrNull writes null for 0.
func (o *object) intOrNull(key string, n int64) {
	if n == 0 {
		o.raw(key, "null")
		return
	}

	o.int(key, n)
}

// time writes null for the zero time.
func (o *object) time(key string, t time.Time) {
	if !o.begin(key) {
		return
	}

	if t.IsZero() {
		o.b = append(o.b, "null"...)
		return
	}

	o.b = append(o.b, '"')
	o.b = append(o.b, timeText(t)...)
	o.b = append(o.b, '"')
}

func (o *object) texts(key string, list []string) {
	if !o.begin(key) {
		return
	}

	o.b = append(o.b, '[')

	for i, s := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}

		o.b = appendText(o.b, s, o.escapes)
	}

	o.b = append(o.b, ']')
}

// list writes an array of n objects.
func (o *object) list(key string, n int, item func(o *object, i int)) {
	if o.begin(key) {
		o.array(n, item)
	}
}

func (o *object) array(n int, item func(o *object, i int)) {
	o.b = append(o.b, '[')

	for i := range n {
		if i > 0 {
			o.b = append(o.b, ',')
		}

		in := object{b: o.b, escapes: o.escapes}
		in.open()
		item(&in, i)
		in.close()
		o.b = in.b
	}

	o.b = append(o.b, ']')
}

// timeText returns a time as the services print it: with zero to seven digits of
// fraction, without trailing zeros, with "Z".
func timeText(t time.Time) string {
	s := tick.FromTime(t).Text()

	s = s[:len(s)-1]
	for s[len(s)-1] == '0' && len(s) > 20 {
		s = s[:len(s)-1]
	}

	if s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}

	return s + "Z"
}

// appendText writes a JSON string (RFC 8259 section 7).
func appendText(b []byte, s string, mode EscapeMode) []byte {
	b = append(b, '"')

	plain := 0 // most of the text needs no escape
	for plain < len(s) && asIs[s[plain]] {
		plain++
	}

	b, s = append(b, s[:plain]...), s[plain:]
	for _, r := range s {
		b = appendRune(b, r, mode)
	}

	return append(b, '"')
}

// appendRune writes a character of a JSON string, escaped if it must be or mode says so.
func appendRune(b []byte, r rune, mode EscapeMode) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(b, '\\', byte(r))
	case r < 0x20 && mode != EscapeMax && short(r) != 0:
		return append(b, '\\', short(r))
	case r == '/' && mode == EscapeMax:
		return append(b, '\\', '/')
	case r >= 0x20 && (mode == EscapeMin || r < 0x7f && !strings.ContainsRune("<>&'+", r)):
		return append(b, string(r)...)
	}

	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return appendEscape(appendEscape(b, high), low)
	}

	return appendEscape(b, r)
}

// asIs are the bytes that every mode writes as they are.
var asIs = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = !strings.ContainsRune(`"\/<>&'+`, c)
	}

	return t
}()

// short returns the letter of a character's short escape, 0 if it has none.
func short(r rune) byte {
	switch r {
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	}

	return 0
}

func appendEscape(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}

	slices.Sort(keys)

	return keys
}
