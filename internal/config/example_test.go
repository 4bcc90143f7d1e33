package config_test

import (
	"fmt"

	"fluent-bit-defender/internal/config"
)

func ExampleFromPlugin() {
	in, _, err := config.FromPlugin(config.Map{
		"tenant_id":     "Contoso.onmicrosoft.com",
		"client_id":     "11111111-2222-3333-4444-555555555555",
		"client_secret": "…",
		"api":           "siem",
		"region":        "eu",
		"poll_interval": "5m",
	}, config.Sources{})
	if err != nil {
		for _, fault := range config.Faults(err) {
			fmt.Println(fault)
		}

		return
	}

	t := in.Tenants[0]
	fmt.Println(t.TenantID, t.APIURL+t.Endpoint.Path, t.PollInterval, t.ClientSecret)
	// Output: contoso.onmicrosoft.com https://wdatp-alertexporter-eu.windows.com/api/alerts 5m0s [redacted]
}
