package wiring

import (
	"strings"
	"testing"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
)

func TestTheAcquireCommandHasWhatIsNotTheDefault(t *testing.T) {
	const bare = "defenderctl tokens acquire --tenant-id 99999999-8888-4777-8666-555555555551 --client-id " +
		"11111111-2222-4333-8444-555555555555"

	for name, c := range map[string]struct {
		keys config.Map
		want string
	}{
		"defaults": {config.Map{}, ""},
		"siem":     {config.Map{"api": "siem", "region": "eu"}, " --api siem --region eu"},
		"cloud": {config.Map{
			"cloud":       "gcchigh",
			"tenant_name": "Contoso & Sons",
		}, " --tenant-name 'Contoso & Sons' --cloud gcchigh"},
		"addresses": {config.Map{"api": "siem", "login_url": "https://login.example.test",
			"api_url": "https://api.example.test:8443", "resource": "https://r.example.test"},
			" --api siem --login-url https://login.example.test --api-url https://api.example.test:8443 --resource " +
				"https://r.example.test"},
		"own addresses that are the default ones": {config.Map{"login_url": "https://login.microsoftonline.com",
			"api_url": "https://graph.microsoft.com"}, ""},
		"the data directory": {config.Map{"data_dir": "/srv/my data"}, " --data-dir '/srv/my data'"},
		"a proxy": {config.Map{"proxy": "http://proxy.example.test:3128"},
			" --proxy http://proxy.example.test:3128"},
		"a proxy with a password": {config.Map{"proxy": "http://u:hidden@proxy.example.test:3128"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.keys["tenant_id"] = "99999999-8888-4777-8666-555555555551"
			c.keys["client_id"] = "11111111-2222-4333-8444-555555555555"
			c.keys["grant"] = "refresh_token"

			in, _, err := config.FromPlugin(c.keys, config.Sources{})
			if err != nil {
				t.Fatal(err)
			}

			got := Application(&in.Tenants[0], logs.Discard()).Acquire()
			if got != bare+c.want || strings.Contains(got, "hidden") {
				t.Errorf("got  %s\nwant %s", got, bare+c.want)
			}
		})
	}
}

func TestTheHomeAcquireCommandIsTheSameForEveryCustomer(t *testing.T) {
	const want = "defenderctl tokens acquire --home-tenant-id aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee " +
		"--client-id 11111111-2222-4333-8444-555555555555 --login-url https://login.example.test " +
		"--graph-url http://localhost:81 --partner-url http://localhost:82"

	for _, api := range []string{"graph", "endpoint", "incidents"} {
		in, _, err := config.FromPlugin(config.Map{
			"tenant_id":      api + ".example.test",
			"tenant_name":    "Contoso",
			"client_id":      "11111111-2222-4333-8444-555555555555",
			"home_tenant_id": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
			"api":            api,
			"login_url":      "https://login.example.test",
			"graph_url":      "http://localhost:81",
			"partner_url":    "http://localhost:82",
		}, config.Sources{})
		if err != nil {
			t.Fatal(err)
		}

		if got := Application(&in.Tenants[0], logs.Discard()).Acquire(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
