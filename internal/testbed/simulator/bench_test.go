package simulator_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// BenchmarkPages reads 100,000 alerts page by page in the way a collector does: each
// page anchored at the last update time. The figure is per alert.
func BenchmarkPages(b *testing.B) {
	for _, api := range []string{simulator.Graph, simulator.Endpoint, simulator.SIEM} {
		b.Run(api, func(b *testing.B) {
			tenants := simulator.Generate(1, 100_000, 1)

			s, err := simulator.New(simulator.Config{
				Tenants: tenants,
				Seed:    1,
				Quotas:  map[string]simulator.Quota{simulator.Graph: {}, simulator.Endpoint: {}},
			})
			if err != nil {
				b.Fatal(err)
			}

			if err := s.Start("127.0.0.1:0"); err != nil {
				b.Fatal(err)
			}
			defer s.Close()

			began := time.Now()
			n := len(s.Ledger(tenants[0].ID, api).Exists) // makes the rows
			b.Logf("%d rows made in %v", n, time.Since(began))

			app := tenants[0].Apps[0]
			v := form("grant_type", "client_credentials", "client_id", app.ClientID, "client_secret", app.Secret)
			path, query := "/oauth2/v2.0/token", ""

			switch api {
			case simulator.SIEM:
				v.Set("resource", simulator.ResourceOf(api))

				path, query = "/oauth2/token", "/api/alerts?ago=P2D"
			default:
				v.Set("scope", simulator.ResourceOf(api)+"/.default")
			}

			res, err := http.PostForm(s.LoginURL()+"/"+tenants[0].ID+path, v)
			if err != nil {
				b.Fatal(err)
			}

			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != 200 {
				b.Fatalf("%d %s %v", res.StatusCode, body, err)
			}

			token := answer{body: string(body)}.token()

			for b.Loop() {
				pages := 100
				if api == simulator.SIEM {
					pages = 1
				}

				from := time.Now().Add(-21 * time.Hour)

				for i := range pages {
					q := query
					at := from.Add(time.Duration(i) * 21 * time.Hour / 100).UTC().Format("2006-01-02T15:04:05Z")

					switch api {
					case simulator.Graph:
						q = "/v1.0/security/alerts_v2?$top=1000&$orderby=lastUpdateDateTime+asc" +
							"&$filter=lastUpdateDateTime+ge+" + at
					case simulator.Endpoint:
						q = "/api/alerts?$top=1000&$orderby=lastUpdateTime+asc&$expand=evidence" +
							"&$filter=lastUpdateTime+ge+" + at
					}

					req, err := http.NewRequestWithContext(b.Context(), "GET", s.APIURL(api)+q, nil)
					if err != nil {
						b.Fatal(err)
					}

					req.Header.Set("Authorization", "Bearer "+token)

					res, err := http.DefaultClient.Do(req)
					if err != nil {
						b.Fatal(err)
					}

					n, err := io.Copy(io.Discard, res.Body)

					_ = res.Body.Close()
					if err != nil || res.StatusCode != 200 || n == 0 {
						b.Fatal(fmt.Errorf("%d %w", res.StatusCode, err))
					}
				}
			}

			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/alert")
		})
	}
}
