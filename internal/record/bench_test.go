package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/fluent/fluent-bit-go/input"
	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/page"
)

// Every benchmark goes once over 10,000 alerts per turn: ns/op is the time for them
// all, MB/s counts the JSON. The target is Transcode ≤ ValidBytes (which only checks,
// and not even UTF-8) and ≥ 15 × Stdlib.

var apis = []string{"Graph", "Endpoint", "SIEM", "Japanese", "Indented"}

func overCorpus(b *testing.B, f func(raw []byte)) {
	for _, api := range apis {
		overOne(b, api, f)
	}
}

func overOne(b *testing.B, api string, f func(raw []byte)) {
	b.Run(api, func(b *testing.B) {
		alerts, size := corpus(api, corpusAlerts), 0
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

func BenchmarkTranscode(b *testing.B) {
	e := newEncoder(b, Options{TenantID: "99999999-8888-7777-6666-555555555555", Tenant: "contoso", API: "graph"})
	id := alert.MakeID("t", "graph", []byte("x"), nil)
	dst := make([]byte, 0, 2<<20)

	overCorpus(b, func(raw []byte) {
		if len(dst) > 1<<20 { // batches of the size that is delivered
			dst = dst[:0]
		}

		var err error
		if dst, err = e.Alert(dst, alert.Version{Time: 16014749601234567, ID: id}, raw); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkPage is the way from a page's bytes to batches of 1 MB: reader and transcoder.
func BenchmarkPage(b *testing.B) {
	e := newEncoder(b, Options{TenantID: "99999999-8888-7777-6666-555555555555", Tenant: "contoso", API: "graph"})
	dst := make([]byte, 0, 2<<20)

	for _, api := range apis {
		b.Run(api, func(b *testing.B) {
			doc := append([]byte(`{"value":[`), bytes.Join(corpus(api, corpusAlerts), []byte(","))...)
			doc = append(doc, "]}"...)
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()

			p := page.NewReader(nil, page.Options{})
			for b.Loop() {
				p.Reset(bytes.NewReader(doc))

				for {
					row, err := p.Next()
					if errors.Is(err, io.EOF) {
						break
					}

					if err == nil {
						dst, err = e.Alert(dst, alert.Version{Time: 16014749601234567, ID: alert.ID{}}, row)
					}

					if err != nil {
						b.Fatal(err)
					}

					if len(dst) > 1<<20 {
						dst = dst[:0]
					}
				}
			}
		})
	}
}

// BenchmarkCEF is json+cef: the transcoder and the line.
func BenchmarkCEF(b *testing.B) {
	e := newEncoder(b,
		Options{
			TenantID: "99999999-8888-7777-6666-555555555555",
			Tenant:   "contoso",
			API:      "graph",
			Format:   FormatJSONCEF,
		},
	)
	dst := make([]byte, 0, 2<<20)

	overCorpus(b, func(raw []byte) {
		if _, err := e.Alert(dst, alert.Version{Time: 16014749601234567, ID: alert.ID{}}, raw); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkFormats is each format on the same alerts.
func BenchmarkFormats(b *testing.B) {
	for f := range numFormats {
		b.Run(f.String(), func(b *testing.B) {
			dst := make([]byte, 0, 4<<20)

			for _, api := range apis {
				e := newEncoder(b, Options{
					TenantID: "99999999-8888-7777-6666-555555555555",
					Tenant:   "contoso",
					API:      apiOf(api),
					Format:   f,
				})
				overOne(b, api, func(raw []byte) {
					if len(dst) > 1<<20 {
						dst = dst[:0]
					}

					var err error
					if dst, err = e.Alert(dst, alert.Version{Time: 16014749601234567}, raw); err != nil {
						b.Fatal(err)
					}
				})
			}
		})
	}
}

// apiOf returns the API of a page of the corpus.
func apiOf(page string) alert.API {
	if api, err := alert.ParseAPI(page); err == nil {
		return api
	}

	return alert.Graph
}

func BenchmarkValidBytes(b *testing.B) {
	overCorpus(b, func(raw []byte) {
		if !gjson.ValidBytes(raw) {
			b.Fatal("not valid")
		}
	})
}

func BenchmarkCopy(b *testing.B) {
	dst := make([]byte, 0, 2<<20)

	overCorpus(b, func(raw []byte) {
		if len(dst) > 1<<20 {
			dst = dst[:0]
		}

		dst = append(dst, raw...)
	})
}

// BenchmarkStdlib is what a plugin with fluent-bit-go's own means does.
func BenchmarkStdlib(b *testing.B) {
	overCorpus(b, func(raw []byte) {
		if _, err := stdlib(raw); err != nil {
			b.Fatal(err)
		}
	})
}

// stdlib is what fluent-bit-go's example leads to: encoding/json into a map, and the
// map with the library's encoder into msgpack.
func stdlib(raw []byte) ([]byte, error) {
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}

	return libEncoder.Encode([]any{input.FLBTime{Time: time.Unix(1601474960, 0)}, m})
}

var libEncoder = input.NewEncoder()
