package simulator_test

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// A tenant with one alert, read as a collector would.
func Example() {
	const tenant, app = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000001"

	s, err := simulator.New(simulator.Config{Tenants: []simulator.Tenant{{
		ID:     tenant,
		Domain: "contoso.example",
		Apps:   []simulator.App{{ClientID: app, Secret: "secret"}},
		Alerts: []simulator.Alert{{ID: "da1_1", Title: "Suspicious service launch", Created: time.Now()}},
	}}})
	if err != nil {
		panic(err)
	}

	if err := s.Start("127.0.0.1:0"); err != nil {
		panic(err)
	}
	defer s.Close()

	res, err := http.PostForm(s.LoginURL()+"/"+tenant+"/oauth2/v2.0/token", form("grant_type", "client_credentials",
		"client_id", app, "client_secret", "secret", "scope", "https://graph.microsoft.com/.default"))
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()

	body, err := io.ReadAll(res.Body)
	if err != nil {
		panic(err)
	}

	req, err := http.NewRequest("GET", s.APIURL(simulator.Graph)+"/v1.0/security/alerts_v2?$top=1", nil)
	if err != nil {
		panic(err)
	}

	req.Header.Set("Authorization", "Bearer "+answer{body: string(body)}.token())

	res, err = http.DefaultClient.Do(req)
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()

	fmt.Println(res.Status, len(s.Ledger(tenant, simulator.Graph).Served), "alert served")
	// Output: 200 OK 1 alert served
}
