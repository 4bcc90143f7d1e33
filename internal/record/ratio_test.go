package record

import (
	"slices"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// BenchmarkRatio compares the transcoder with gjson.ValidBytes turn by turn on the same 400 alerts (1 MB), so that a
// machine that is busy elsewhere slows both. x/valid is the median of the quotients: below 1 the transcoder is faster.
// stdlib/x is how many times as long the stdlib of BenchmarkStdlib takes, by the best turns, on 20 of them. The other
// figures are the best turn of each, in ns per alert.
func BenchmarkRatio(b *testing.B) {
	e := NewEncoder(Options{TenantID: "99999999-8888-7777-6666-555555555555", Tenant: "contoso", API: "graph"})
	dst := make([]byte, 0, 4<<20)
	for _, api := range apis {
		b.Run(api, func(b *testing.B) {
			alerts := corpus(api, corpusAlerts)
			transcode := func(some [][]byte) time.Duration {
				start := time.Now()
				out := dst[:0]
				for _, a := range some {
					var err error
					if out, err = e.Alert(out, 16014749601234567, ID{}, a); err != nil {
						b.Fatal(err)
					}
				}
				return time.Since(start)
			}
			valid := func(some [][]byte) time.Duration {
				start := time.Now()
				for _, a := range some {
					if !gjson.ValidBytes(a) {
						b.Fatal("not valid")
					}
				}
				return time.Since(start)
			}
			slow := func(some [][]byte) time.Duration {
				start := time.Now()
				for _, a := range some {
					if _, err := stdlib(a); err != nil {
						b.Fatal(err)
					}
				}
				return time.Since(start)
			}
			var ratios []float64
			best := [3]time.Duration{time.Hour, time.Hour, time.Hour}
			for k := 0; b.Loop(); k++ {
				at := k * 400 % corpusAlerts
				some := alerts[at : at+400]
				var t, v time.Duration
				if k%2 == 0 { // who comes first finds the alerts out of cache
					t, v = transcode(some), valid(some)
				} else {
					v, t = valid(some), transcode(some)
				}
				ratios = append(ratios, float64(t)/float64(v))
				best[0], best[1], best[2] = min(best[0], t), min(best[1], v), min(best[2], slow(some[:20]))
			}
			slices.Sort(ratios)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ratios[len(ratios)/2], "x/valid")
			b.ReportMetric(20*float64(best[2])/float64(best[0]), "stdlib/x")
			b.ReportMetric(float64(best[0])/400, "transcode-ns/alert")
			b.ReportMetric(float64(best[1])/400, "valid-ns/alert")
		})
	}
}
