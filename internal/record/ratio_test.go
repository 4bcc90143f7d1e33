package record

import (
	"slices"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
)

// way is one of those that are compared.
type way struct {
	name  string
	share int // of the alerts of a turn
	do    func(b *testing.B, raw []byte)
}

// durations are nanoseconds per byte, by way and turn.
type durations [][]float64

func perByte(took time.Duration, alerts [][]byte) float64 {
	size := 0
	for _, a := range alerts {
		size += len(a)
	}

	return float64(took) / float64(size)
}

// quotient returns how much longer one way takes than another one, turn by turn.
func (d durations) quotient(over, under int) float64 {
	var list []float64
	for k := range d[over] {
		list = append(list, d[over][k]/d[under][k])
	}

	return middle(list)
}

// BenchmarkRatio compares the transcoder with the other things one could do with the
// same bytes, turn by turn on the same 400 alerts (1 MB), so that a machine that is
// busy elsewhere slows all of them; the slow ways take fewer alerts, so that each turn is
// short. The ratios are medians of the quotients of one turn:
//
//	lib/x    time of the library's way (stdlib) to the transcoder's, on 20 of the alerts
//	x/valid  transcoder to gjson.ValidBytes: below 1 the transcoder is faster
//	x/copy   transcoder to memcpy
//	raw/x    format raw to the transcoder, which is format json; so for each other
//	         format but those with a CEF line
//
// The other figures are medians in MB of JSON a second, and what the transcoder
// and the formats allocate in one alert. `make bench` reads them.
func BenchmarkRatio(b *testing.B) {
	var encoders [FormatCEF]*Encoder // of the page's API

	dst := make([]byte, 0, 4<<20)
	encode := func(b *testing.B, e *Encoder, raw []byte) {
		var err error
		if dst, err = e.Alert(dst, alert.Version{Time: 16014749601234567}, raw); err != nil {
			b.Fatal(err)
		}
	}

	ways := []way{
		{"transcode", 400, func(b *testing.B, raw []byte) { encode(b, encoders[FormatJSON], raw) }},
		{"valid", 400, func(b *testing.B, raw []byte) {
			if !gjson.ValidBytes(raw) {
				b.Fatal("not valid")
			}
		}},
		{"copy", 400, func(_ *testing.B, raw []byte) { dst = append(dst, raw...) }},
		{"lib", 20, func(b *testing.B, raw []byte) {
			if _, err := stdlib(raw); err != nil {
				b.Fatal(err)
			}
		}},
	}

	first := len(ways) - int(FormatRaw) // the way of a format is at first + the format

	for f := FormatRaw; f < FormatCEF; f++ {
		share := 50
		if f.TextOnly() {
			share = 400
		}

		ways = append(ways, way{f.String(), share, func(b *testing.B, raw []byte) { encode(b, encoders[f], raw) }})
	}

	for _, api := range apis {
		b.Run(api, func(b *testing.B) {
			alerts := corpus(api, corpusAlerts)
			o := Options{TenantID: "99999999-8888-7777-6666-555555555555", Tenant: "contoso", API: apiOf(api)}
			for o.Format = range FormatCEF {
				encoders[o.Format] = newEncoder(b, o)
			}

			taken := make(durations, len(ways)) // by way, for each turn

			for k := 0; b.Loop(); k++ {
				at := k * 400 % corpusAlerts
				for j := range ways {
					j = (j + k) % len(ways) // who comes first finds the alerts out of cache
					some := alerts[at : at+ways[j].share]
					dst = dst[:0]
					start := time.Now()

					for _, a := range some {
						ways[j].do(b, a)
					}

					taken[j] = append(taken[j], perByte(time.Since(start), some))
				}
			}

			b.ReportMetric(0, "ns/op")
			b.ReportMetric(taken.quotient(3, 0), "lib/x")
			b.ReportMetric(taken.quotient(0, 1), "x/valid")
			b.ReportMetric(taken.quotient(0, 2), "x/copy")

			for j, w := range ways {
				b.ReportMetric(1e3/middle(taken[j]), w.name+"-MB/s")
			}

			allocs := func(way int) float64 {
				return testing.AllocsPerRun(10, func() {
					dst = dst[:0]

					for _, a := range alerts[:100] {
						ways[way].do(b, a)
					}
				}) / 100
			}

			b.ReportMetric(allocs(0), "allocs/alert")

			for f := FormatRaw; f < FormatCEF; f++ {
				b.ReportMetric(taken.quotient(first+int(f), 0), f.String()+"/x")
				b.ReportMetric(allocs(first+int(f)), f.String()+"-allocs/alert")
			}
		})
	}
}

func middle(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
