package metrics

import (
	"fmt"
	"io"
	"net/url"
	"testing"
	"time"
)

// BenchmarkAnswers puts together what a scrape, a program and a browser get, compressed
// as it waits for its reader.
func BenchmarkAnswers(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		s := snapshot{at: time.Now(), units: crowd(n, time.Now())}
		for i := range s.units {
			s.units[i].Reading = everything().units[1].Reading
		}

		for name, write := range map[string]func(io.Writer) error{
			"metrics": s.writeMetrics,
			"page": func(to io.Writer) error {
				m := &markup{to: to}
				m.page(&s, choiceOf(url.Values{}))

				return m.err
			},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()

				for b.Loop() {
					packed, err := pack("", write)
					if err != nil {
						b.Fatal(err)
					}

					b.ReportMetric(float64(packed.size)/1e6, "MB")
					b.ReportMetric(float64(packed.packed.Len())/1e6, "packed-MB")
				}
			})
		}
	}
}
