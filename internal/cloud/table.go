package cloud

// limits is what an API is like in every cloud.
type limits struct {
	path               string
	v1                 bool
	page               int
	perMinute, perHour int
	source             string
}

// The pages named here are Microsoft's, in the public repositories
// MicrosoftDocs/defender-docs, MicrosoftDocs/microsoft-365-docs and
// microsoftgraph/microsoft-graph-docs-contrib.
var limitsOf = map[API]limits{
	Graph: {
		path:      "/v1.0/security/alerts_v2",
		page:      1000,
		perMinute: 150,
		source:    "graph: api/security-list-alerts_v2, security-error-codes, throttling-limits, deployments",
	},
	Endpoint: {
		path:      "/api/alerts",
		page:      10000,
		perMinute: 100,
		perHour:   1500,
		source:    "defender-endpoint: api/get-alerts, exposed-apis-list, gov",
	},
	SIEM: {path: "/api/alerts", v1: true,
		source: "defender-endpoint: pull-alerts-using-rest-api, fetch-alerts-mssp, gov (2021)"},
	Incidents: {
		path:      "/api/incidents",
		page:      100,
		perMinute: 50,
		perHour:   1500,
		source:    "defender-xdr: api-list-incidents, usgov",
	},
}

// loginURLs come from entra-docs authentication-national-cloud.
var loginURLs = map[Cloud]string{
	Commercial: "https://login.microsoftonline.com",
	GCC:        "https://login.microsoftonline.com",
	GCCHigh:    "https://login.microsoftonline.us",
	DoD:        "https://login.microsoftonline.us",
}

// siemResource is the resource of the legacy exporter since April 2018 in every cloud
// that is documented.
const siemResource = "https://graph.windows.net"

// host is one row: where an API lives in some clouds and one region.
type host struct {
	api      API
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

// hosts is the table. Where a region is optional there is a row without one; where it
// is required there is not.
var hosts = []host{
	{Graph, worldwide, "", "https://graph.microsoft.com", "https://graph.microsoft.com", ""},
	{Graph, []Cloud{GCCHigh}, "", "https://graph.microsoft.us", "https://graph.microsoft.us", ""},
	{Graph, []Cloud{DoD}, "", "https://dod-graph.microsoft.us", "https://dod-graph.microsoft.us", ""},

	{Endpoint, commercial, "", xdr, mdeResource, ""},
	{Endpoint, commercial, "us", "https://us.api.security.microsoft.com", mdeResource, ""},
	{Endpoint, commercial, "eu", "https://eu.api.security.microsoft.com", mdeResource, ""},
	{Endpoint, commercial, "uk", "https://uk.api.security.microsoft.com", mdeResource, ""},
	{Endpoint, commercial, "au", "https://au.api.security.microsoft.com", mdeResource, ""},
	{Endpoint, commercial, "swa", "https://swa.api.security.microsoft.com", mdeResource, ""},
	{Endpoint, gcc, "", mdeGCC, mdeGCC, govResource},
	{Endpoint, usGov, "", mdeGov, mdeGov, govResource},

	{SIEM, commercial, "us", "https://wdatp-alertexporter-us.windows.com", siemResource, ""},
	{SIEM, commercial, "eu", "https://wdatp-alertexporter-eu.windows.com", siemResource, ""},
	{SIEM, commercial, "uk", "https://wdatp-alertexporter-uk.windows.com", siemResource, ""},
	// The government exporters exist in the United States only: `region us` says
	// nothing new and is no error.
	{SIEM, gcc, "", siemGCC, siemResource, siemGovDoubt},
	{SIEM, gcc, "us", siemGCC, siemResource, siemGovDoubt},
	{SIEM, usGov, "", siemGov, siemResource, siemGovDoubt},
	{SIEM, usGov, "us", siemGov, siemResource, siemGovDoubt},

	{Incidents, commercial, "", xdr, xdr, ""},
	{Incidents, gcc, "", xdrGCC, xdrGCC, govResource},
	{Incidents, usGov, "", xdrGov, xdrGov, govResource},
}

func (h host) target(c Cloud) Target {
	l := limitsOf[h.api]

	return Target{
		LoginURL:    loginURLs[c],
		APIURL:      h.url,
		Path:        l.path,
		Resource:    h.resource,
		V1:          l.v1,
		MaxPage:     l.page,
		DefaultPage: l.page,
		PerMinute:   l.perMinute,
		PerHour:     l.perHour,
	}
}

// Row is one line of the table for people.
type Row struct {
	API    API
	Cloud  Cloud
	Region string // empty: none given
	Target
	// Source names Microsoft's public pages; Unverified says what none of them
	// confirms, empty when all is.
	Source, Unverified string
}

// Table gives every combination of API, cloud and region that Lookup accepts, in a
// fixed order.
func Table() []Row {
	var rows []Row

	for _, h := range hosts {
		for _, c := range h.clouds {
			rows = append(rows, Row{
				API:        h.api,
				Cloud:      c,
				Region:     h.region,
				Target:     h.target(c),
				Source:     limitsOf[h.api].source,
				Unverified: h.unverified,
			})
		}
	}

	return rows
}
