package simulator_test

import (
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

			token := signIn(b, s, tenants[0], api)

			for b.Loop() {
				for _, query := range pageQueries(api) {
					readPage(b, s.APIURL(api)+query, token)
				}
			}

			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/alert")
		})
	}
}

// signIn returns an access token for an API.
func signIn(b *testing.B, s *simulator.Simulator, tenant simulator.Tenant, api string) string {
	b.Helper()

	app := tenant.Apps[0]
	v := form("grant_type", "client_credentials", "client_id", app.ClientID, "client_secret", app.Secret)
	path := "/oauth2/v2.0/token"

	if api == simulator.SIEM {
		v.Set("resource", simulator.ResourceOf(api))

		path = "/oauth2/token"
	} else {
		v.Set("scope", simulator.ResourceOf(api)+"/.default")
	}

	res, err := http.PostForm(s.LoginURL()+"/"+tenant.ID+path, v)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()

	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		b.Fatalf("%d %s %v", res.StatusCode, body, err)
	}

	return answer{body: string(body)}.token()
}

// pageQueries returns the queries that read all alerts of the last 21 hours: a hundred
// pages, or one answer of siem.
func pageQueries(api string) (queries []string) {
	if api == simulator.SIEM {
		return []string{"/api/alerts?ago=P2D"}
	}

	query := "/v1.0/security/alerts_v2?$top=1000&$orderby=lastUpdateDateTime+asc&$filter=lastUpdateDateTime+ge+"
	if api == simulator.Endpoint {
		query = "/api/alerts?$top=1000&$orderby=lastUpdateTime+asc&$expand=evidence&$filter=lastUpdateTime+ge+"
	}

	from := time.Now().Add(-21 * time.Hour)

	for i := range 100 {
		at := from.Add(time.Duration(i) * 21 * time.Hour / 100).UTC()
		queries = append(queries, query+at.Format("2006-01-02T15:04:05Z"))
	}

	return queries
}

func readPage(b *testing.B, address, token string) {
	b.Helper()

	req, err := http.NewRequestWithContext(b.Context(), "GET", address, nil)
	if err != nil {
		b.Fatal(err)
	}

	req.Header.Set("Authorization", "Bearer "+token)

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()

	if n, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 || n == 0 {
		b.Fatalf("%d %v", res.StatusCode, err)
	}
}
