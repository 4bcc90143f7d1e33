package cloud

import "fluent-bit-defender/internal/alert"

// loginURLs are the addresses of the sign-in service:
// https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
var loginURLs = map[Cloud]string{
	Commercial: "https://login.microsoftonline.com",
	GCC:        "https://login.microsoftonline.com",
	GCCHigh:    "https://login.microsoftonline.us",
	DoD:        "https://login.microsoftonline.us",
}

// siemResource is the resource of the legacy exporter in every documented cloud, since
// April 2018.
const siemResource = "https://graph.windows.net"

// host is one row of the table: the host of an API in some clouds and one region.
type host struct {
	api      alert.API
	clouds   []Cloud
	region   string
	url      string
	resource string
	// unverified says what no public source confirms.
	unverified string
}

const govResource = "resource: taken to be the API host"

var (
	commercial = []Cloud{Commercial}
	worldwide  = []Cloud{Commercial, GCC}
	gcc        = []Cloud{GCC}
	usGov      = []Cloud{GCCHigh, DoD}
)

const (
	graphHost        = "https://graph.microsoft.com"
	graphHostGCCHigh = "https://graph.microsoft.us"
	graphHostDoD     = "https://dod-graph.microsoft.us"

	mdeResource = "https://api.securitycenter.microsoft.com"
	xdr         = "https://api.security.microsoft.com"
	mdeGCC      = "https://api-gcc.securitycenter.microsoft.us"
	mdeGov      = "https://api-gov.securitycenter.microsoft.us"
	xdrGCC      = "https://api-gcc.security.microsoft.us"
	xdrGov      = "https://api-gov.security.microsoft.us"
	siemGCC     = "https://wdatp-alertexporter-us.gcc.securitycenter.windows.us"
	siemGov     = "https://wdatp-alertexporter-us.securitycenter.windows.us"
)

const siemGovDoubt = "path and resource; the row was removed from the public page"

// hosts is the table. An API has a row without a region in a cloud unless the region is
// required there.
var hosts = []host{
	{alert.Graph, worldwide, "", graphHost, graphHost, ""},
	{alert.Graph, []Cloud{GCCHigh}, "", graphHostGCCHigh, graphHostGCCHigh, ""},
	{alert.Graph, []Cloud{DoD}, "", graphHostDoD, graphHostDoD, ""},

	{alert.GraphIncidents, worldwide, "", graphHost, graphHost, ""},
	{alert.GraphIncidents, []Cloud{GCCHigh}, "", graphHostGCCHigh, graphHostGCCHigh, ""},
	{alert.GraphIncidents, []Cloud{DoD}, "", graphHostDoD, graphHostDoD, ""},

	{alert.Endpoint, commercial, "", xdr, mdeResource, ""},
	{alert.Endpoint, commercial, "us", "https://us.api.security.microsoft.com", mdeResource, ""},
	{alert.Endpoint, commercial, "eu", "https://eu.api.security.microsoft.com", mdeResource, ""},
	{alert.Endpoint, commercial, "uk", "https://uk.api.security.microsoft.com", mdeResource, ""},
	{alert.Endpoint, commercial, "au", "https://au.api.security.microsoft.com", mdeResource, ""},
	{alert.Endpoint, commercial, "swa", "https://swa.api.security.microsoft.com", mdeResource, ""},
	{alert.Endpoint, gcc, "", mdeGCC, mdeGCC, govResource},
	{alert.Endpoint, usGov, "", mdeGov, mdeGov, govResource},

	{alert.SIEM, commercial, "us", "https://wdatp-alertexporter-us.windows.com", siemResource, ""},
	{alert.SIEM, commercial, "eu", "https://wdatp-alertexporter-eu.windows.com", siemResource, ""},
	{alert.SIEM, commercial, "uk", "https://wdatp-alertexporter-uk.windows.com", siemResource, ""},
	// The government exporters exist in the United States only, so `region us` is
	// accepted but changes nothing.
	{alert.SIEM, gcc, "", siemGCC, siemResource, siemGovDoubt},
	{alert.SIEM, gcc, "us", siemGCC, siemResource, siemGovDoubt},
	{alert.SIEM, usGov, "", siemGov, siemResource, siemGovDoubt},
	{alert.SIEM, usGov, "us", siemGov, siemResource, siemGovDoubt},

	{alert.Incidents, commercial, "", xdr, xdr, ""},
	{alert.Incidents, commercial, "us", "https://us.api.security.microsoft.com", xdr, ""},
	{alert.Incidents, commercial, "eu", "https://eu.api.security.microsoft.com", xdr, ""},
	{alert.Incidents, commercial, "uk", "https://uk.api.security.microsoft.com", xdr, ""},
	{alert.Incidents, gcc, "", xdrGCC, xdrGCC, govResource},
	{alert.Incidents, usGov, "", xdrGov, xdrGov, govResource},
}

// target returns the target in a cloud, with the facts of the API of h.
func (h host) target(c Cloud, facts *alert.Descriptor) Target {
	return Target{
		LoginURL:    loginURLs[c],
		APIURL:      h.url,
		Path:        facts.Path,
		Resource:    h.resource,
		V1:          facts.SignIn == alert.SignInV1,
		MaxPage:     facts.MaxPage,
		DefaultPage: facts.MaxPage,
		PerMinute:   facts.PerMinute,
		PerHour:     facts.PerHour,
	}
}

// Row is one row of the table as `defenderctl` and the reference page show it.
type Row struct {
	API    alert.API
	Cloud  Cloud
	Region string // empty if the key is not set
	Target
	// Source names Microsoft's public pages. Unverified says which values none of them
	// confirms; it is empty if there are none.
	Source, Unverified string
}

// Table returns every combination of API, cloud and region that Lookup accepts, in a
// fixed order.
func Table() []Row {
	var rows []Row

	for _, h := range hosts {
		facts, err := h.api.Descriptor()
		if err != nil {
			continue // a test compares hosts with the APIs that there are
		}

		for _, c := range h.clouds {
			rows = append(rows, Row{
				API:        h.api,
				Cloud:      c,
				Region:     h.region,
				Target:     h.target(c, facts),
				Source:     facts.Source,
				Unverified: h.unverified,
			})
		}
	}

	return rows
}
