package record

import (
	"encoding/json"
	"testing"

	"github.com/tidwall/gjson"
)

// Every benchmark goes once over 10,000 alerts per turn: ns/op is the time for them all, MB/s counts the JSON. The target
// is Transcode ≤ ValidBytes (which only checks, and not even UTF-8) and ≥ 15 × Stdlib.

var apis = []string{"Graph", "Endpoint", "SIEM", "Japanese", "Indented"}

func overCorpus(b *testing.B, f func(alert []byte)) {
	for _, api := range apis {
		b.Run(api, func(b *testing.B) {
			alerts, size := corpus[api](), 0
			for _, a := range alerts {
				size += len(a)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for _, a := range alerts {
					f(a)
				}
			}
		})
	}
}

func BenchmarkTranscode(b *testing.B) {
	e := NewEncoder(Options{TenantID: "99999999-8888-7777-6666-555555555555", Tenant: "contoso", API: "graph"})
	id := MakeID("t", "graph", []byte("x"), nil)
	dst := make([]byte, 0, 2<<20)
	overCorpus(b, func(alert []byte) {
		if len(dst) > 1<<20 { // batches as they are handed over
			dst = dst[:0]
		}
		var err error
		if dst, err = e.Alert(dst, 16014749601234567, id, alert); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkCEF is json+cef: the transcoder and the line.
func BenchmarkCEF(b *testing.B) {
	e := NewEncoder(Options{TenantID: "99999999-8888-7777-6666-555555555555", Tenant: "contoso", API: "graph", Format: FormatJSONCEF})
	dst := make([]byte, 0, 2<<20)
	overCorpus(b, func(alert []byte) {
		if _, err := e.Alert(dst, 16014749601234567, ID{}, alert); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkValidBytes(b *testing.B) {
	overCorpus(b, func(alert []byte) {
		if !gjson.ValidBytes(alert) {
			b.Fatal("not valid")
		}
	})
}

func BenchmarkCopy(b *testing.B) {
	dst := make([]byte, 0, 2<<20)
	overCorpus(b, func(alert []byte) {
		if len(dst) > 1<<20 {
			dst = dst[:0]
		}
		dst = append(dst, alert...)
	})
}

// BenchmarkStdlib is what a plugin with fluent-bit-go's example does: encoding/json into a map, the map into msgpack. The
// encoder here is a type switch, several times as fast as the reflecting one of that library, so the comparison is mild.
func BenchmarkStdlib(b *testing.B) {
	dst := make([]byte, 0, 2<<20)
	overCorpus(b, func(alert []byte) {
		if len(dst) > 1<<20 {
			dst = dst[:0]
		}
		var m map[string]any
		if err := json.Unmarshal(alert, &m); err != nil {
			b.Fatal(err)
		}
		dst = appendMap(append(dst, 0x92, 0x92, 0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80), m)
	})
}

func appendMap(dst []byte, m map[string]any) []byte {
	dst = appendSize(dst, 0x80, 0xde, len(m))
	for k, v := range m {
		dst = appendAny(appendStr(dst, k), v)
	}
	return dst
}

func appendAny(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, 0xc0)
	case bool:
		if v {
			return append(dst, 0xc3)
		}
		return append(dst, 0xc2)
	case string:
		return appendStr(dst, v)
	case float64:
		return appendDouble(dst, v)
	case []any:
		dst = appendSize(dst, 0x90, 0xdc, len(v))
		for _, x := range v {
			dst = appendAny(dst, x)
		}
		return dst
	default:
		return appendMap(dst, v.(map[string]any))
	}
}
