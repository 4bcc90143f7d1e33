package record

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"fluent-bit-defender/internal/record/msgpack"
)

// An ordered reading of JSON by encoding/json's tokenizer, and an encoder in the
// plainest way: what the transcoder must agree with.

type member struct {
	key   string
	value any
}

type object []member

func readOrdered(raw []byte) (any, error) {
	if !json.Valid(raw) {
		return nil, fmt.Errorf("not valid")
	}

	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()

	return readValue(d)
}

func readValue(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}

	switch t {
	case json.Delim('['):
		list := []any{}

		for d.More() {
			v, err := readValue(d)
			if err != nil {
				return nil, err
			}

			list = append(list, v)
		}

		_, err := d.Token()

		return list, err
	case json.Delim('{'):
		o := object{}

		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}

			v, err := readValue(d)
			if err != nil {
				return nil, err
			}

			o = append(o, member{k.(string), v})
		}

		_, err := d.Token()

		return o, err
	}

	return t, nil
}

// appendReference encodes as the transcoder documents: 16-bit headers around all
// containers but empty and huge ones. The keys mssp and cef of the outermost object are
// renamed; its header is left out.
func appendReference(dst []byte, v any, top bool) ([]byte, error) {
	var err error

	switch v := v.(type) {
	case nil:
		dst = append(dst, 0xc0)
	case bool:
		dst = append(dst, map[bool]byte{false: 0xc2, true: 0xc3}[v])
	case string:
		dst = msgpack.AppendStr(dst, v)
	case json.Number:
		return appendReferenceNumber(dst, string(v))
	case []any:
		dst = appendSize(dst, 0x90, 0xdc, len(v))
		for _, x := range v {
			if dst, err = appendReference(dst, x, false); err != nil {
				return nil, err
			}
		}
	case object:
		if !top {
			dst = appendSize(dst, 0x80, 0xde, len(v))
		}

		for _, m := range v {
			if top && (m.key == "mssp" || m.key == "cef") {
				m.key += "_"
				for slices.ContainsFunc(v, func(other member) bool { return other.key == m.key }) {
					m.key += "_"
				}
			}

			if dst, err = appendReference(msgpack.AppendStr(dst, m.key), m.value, false); err != nil {
				return nil, err
			}
		}
	}

	return dst, nil
}

func appendSize(dst []byte, empty, sixteen byte, n int) []byte {
	switch {
	case n == 0:
		return append(dst, empty)
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, sixteen), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(dst, sixteen+1), uint32(n))
	}
}

func appendReferenceNumber(dst []byte, s string) ([]byte, error) {
	if !strings.ContainsAny(s, ".eE") {
		if u, err := strconv.ParseUint(s, 10, 64); err == nil {
			return append(dst, dst4(u)...), nil
		}

		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			if i >= 0 {
				return append(dst, dst4(uint64(i))...), nil
			}

			return appendReferenceNegative(dst, i), nil
		}
	}

	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, err
	}

	return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(f)), nil
}

func dst4(u uint64) []byte {
	switch {
	case u < 1<<7:
		return []byte{byte(u)}
	case u < 1<<8:
		return []byte{0xcc, byte(u)}
	case u < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{0xcd}, uint16(u))
	case u < 1<<32:
		return binary.BigEndian.AppendUint32([]byte{0xce}, uint32(u))
	}

	return binary.BigEndian.AppendUint64([]byte{0xcf}, u)
}

func appendReferenceNegative(dst []byte, i int64) []byte {
	switch {
	case i >= -32:
		return append(dst, byte(i))
	case i >= math.MinInt8:
		return append(dst, 0xd0, byte(i))
	case i >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, 0xd1), uint16(i))
	case i >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(i))
	}

	return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(i))
}
