package cloud

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"fluent-bit-defender/internal/alert"
)

func TestLookupFindsTheDocumentedHosts(t *testing.T) {
	cases := []struct {
		cloud                 Cloud
		api                   alert.API
		region                string
		login, host, resource string
		page, minute, hour    int
		v1                    bool
	}{
		{Commercial, alert.Graph, "", "login.microsoftonline.com", "graph.microsoft.com", "https://graph.microsoft.com",
			1000, 150, 0, false},
		{GCC, alert.Graph, "", "login.microsoftonline.com", "graph.microsoft.com", "https://graph.microsoft.com", 1000,
			150, 0, false},
		{GCCHigh, alert.Graph, "", "login.microsoftonline.us", "graph.microsoft.us", "https://graph.microsoft.us", 1000,
			150, 0, false},
		{DoD, alert.Graph, "", "login.microsoftonline.us", "dod-graph.microsoft.us", "https://dod-graph.microsoft.us",
			1000, 150, 0, false},
		{Commercial, alert.Endpoint, "", "login.microsoftonline.com", "api.security.microsoft.com",
			"https://api.securitycenter.microsoft.com", 10000, 100, 1500, false},
		{Commercial, alert.Endpoint, "AU", "login.microsoftonline.com", "au.api.security.microsoft.com",
			"https://api.securitycenter.microsoft.com", 10000, 100, 1500, false},
		{GCC, alert.Endpoint, "", "login.microsoftonline.com", "api-gcc.securitycenter.microsoft.us",
			"https://api-gcc.securitycenter.microsoft.us", 10000, 100, 1500, false},
		{DoD, alert.Endpoint, "", "login.microsoftonline.us", "api-gov.securitycenter.microsoft.us",
			"https://api-gov.securitycenter.microsoft.us", 10000, 100, 1500, false},
		{Commercial, alert.SIEM, "eu", "login.microsoftonline.com", "wdatp-alertexporter-eu.windows.com",
			"https://graph.windows.net", 0, 0, 0, true},
		{GCC, alert.SIEM, "", "login.microsoftonline.com", "wdatp-alertexporter-us.gcc.securitycenter.windows.us",
			"https://graph.windows.net", 0, 0, 0, true},
		{GCCHigh, alert.SIEM, "us", "login.microsoftonline.us", "wdatp-alertexporter-us.securitycenter.windows.us",
			"https://graph.windows.net", 0, 0, 0, true},
		{Commercial, alert.Incidents, "", "login.microsoftonline.com", "api.security.microsoft.com",
			"https://api.security.microsoft.com", 100, 50, 1500, false},
		{GCCHigh, alert.Incidents, "", "login.microsoftonline.us", "api-gov.security.microsoft.us",
			"https://api-gov.security.microsoft.us", 100, 50, 1500, false},
	}

	for _, c := range cases {
		got, err := Lookup(c.cloud, c.api, c.region)
		if err != nil || got.LoginURL != "https://"+c.login || got.APIURL != "https://"+c.host ||
			got.Resource != c.resource ||
			got.MaxPage != c.page || got.DefaultPage != c.page || got.PerMinute != c.minute || got.PerHour != c.hour ||
			got.V1 != c.v1 || !strings.HasPrefix(got.Path, "/") {
			t.Errorf("%s %s %q: %+v, %v", c.cloud, c.api, c.region, got, err)
		}
	}
}

func TestErrorsNameTheKeyAndTheRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		cloud       Cloud
		api         alert.API
		region      string
		key, remedy string
	}{
		"siem needs a region":         {Commercial, alert.SIEM, "", "region", "us, eu, uk"},
		"siem has no such region":     {Commercial, alert.SIEM, "swa", "region", "us, eu, uk"},
		"endpoint has no such region": {Commercial, alert.Endpoint, "moon", "region", "us, eu, uk, au, swa"},
		"graph has no regions":        {Commercial, alert.Graph, "eu", "region", "remove region"},
		"gcc endpoint has no regions": {GCC, alert.Endpoint, "us", "region", "remove region"},
		"unknown api":                 {Commercial, "grape", "", "api", strings.Join(alert.APINames(), ", ")},
		"unknown cloud":               {"cumulus", alert.Graph, "", "cloud", "commercial, gcc, gcchigh, dod"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Lookup(c.cloud, c.api, c.region)

			var e *KeyError
			if !errors.As(err, &e) || e.Key != c.key || !strings.Contains(e.Remedy, c.remedy) ||
				!strings.HasPrefix(err.Error(), c.key+": ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAMissingRegionLeavesAllButTheHost(t *testing.T) {
	got, err := Lookup(Commercial, alert.SIEM, "")
	if err == nil || got.APIURL != "" || got.LoginURL == "" || got.Path != "/api/alerts" ||
		got.Resource != "https://graph.windows.net" || !got.V1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTableAndLookupAgree(t *testing.T) {
	type place struct {
		Cloud
		alert.API
		region string
	}

	seen := map[place]bool{}

	for _, r := range Table() {
		p := place{r.Cloud, r.API, r.Region}
		if seen[p] {
			t.Errorf("%v is there twice", p)
		}

		seen[p] = true
		if got, err := Lookup(r.Cloud, r.API, r.Region); err != nil || got != r.Target {
			t.Errorf("%v: %+v, %v", p, got, err)
		}

		for _, address := range []string{r.LoginURL, r.APIURL, r.Resource} {
			if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" {
				t.Errorf("%v: %q is not scheme and host", p, address)
			}
		}

		if r.Source == "" {
			t.Errorf("%v: no source", p)
		}
	}

	for _, c := range Clouds() {
		for _, a := range alert.APIs() {
			if !seen[place{c, a, ""}] && len(Regions(c, a)) == 0 {
				t.Errorf("table.go: hosts has no row for the API %s in the cloud %s", a, c)
			}
		}
	}
}

// Lookup without a region returns a target for a caller that knows the address: its
// resource must be right for every region.
func TestRegionsOfAnAPIShareTheResource(t *testing.T) {
	needed := 0

	for _, r := range Table() {
		if !NeedsRegion(r.Cloud, r.API) {
			continue
		}

		needed++

		got, err := Lookup(r.Cloud, r.API, "")
		if err == nil || got.Resource != r.Resource || got.Path != r.Path {
			t.Errorf("%s %s without a region: %+v, %v, want the resource %s", r.Cloud, r.API, got, err, r.Resource)
		}
	}

	if needed == 0 {
		t.Error("no API needs a region")
	}
}

func TestNamesAreReadInAnyCase(t *testing.T) {
	for _, a := range alert.APIs() {
		if got, err := alert.ParseAPI(strings.ToUpper(string(a))); got != a || err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}

	for _, c := range Clouds() {
		if got, err := ParseCloud(strings.ToUpper(string(c))); got != c || err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}

	if a, err := alert.ParseAPI(""); a != alert.Graph || err != nil {
		t.Error("graph is not the default")
	}

	if c, err := ParseCloud(""); c != Commercial || err != nil {
		t.Error("commercial is not the default")
	}
}
