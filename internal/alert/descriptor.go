package alert

import (
	"fmt"
	"strings"
)

// Descriptor has all facts of one API that are the same in every cloud. For each field
// that is empty, Absent has the reason.
type Descriptor struct {
	API API
	// Help describes the API in the reference of the key `api`.
	Help string
	// Deprecation says since when Microsoft advises against the API.
	Deprecation string
	// Noun is the word for one row in records and messages.
	Noun string
	// Reading is the phrase for reading from the API in messages.
	Reading string
	// Source names Microsoft's public pages. They are in the repositories
	// MicrosoftDocs/defender-docs, MicrosoftDocs/microsoft-365-docs and
	// microsoftgraph/microsoft-graph-docs-contrib.
	Source string

	Protocol Protocol
	SignIn   SignIn
	// Path is the path of the rows on the API's host.
	Path string
	// MaxPage is the greatest number of rows that the API returns in a page.
	MaxPage int
	// PerMinute and PerHour are the published call budgets, per application and tenant.
	PerMinute, PerHour int
	// Expand is the value of $expand, Prefer that of the header Prefer.
	Expand, Prefer string
	// Inner is where the alerts of a row can be had when the API fails with $expand.
	Inner InnerAlerts
	// FilterParameters are the query parameters that the key `filter` may set; an OData
	// API takes an expression instead.
	FilterParameters []string

	Row        RowFields
	Alert      Naming
	Version    VersionRule
	Permission Permission
	CEF        Device

	// Absent says why a field is empty, by its name ("Row.Tenant").
	Absent map[string]string
}

// Protocol is the way in which an API is queried.
type Protocol int

// The protocols.
const (
	// OData is a list in pages with $filter, $orderby and $top.
	OData Protocol = iota + 1
	// Exporter is one bare array for a window between two query parameters.
	Exporter
)

// SignIn is the version of the sign-in service's endpoints that an API's tokens come
// from.
type SignIn int

// The versions.
const (
	SignInV1 SignIn = iota + 1 // /oauth2/token, with the parameter resource
	SignInV2                   // /oauth2/v2.0/token, with the parameter scope
)

// InnerAlerts says how the alerts inside a row are listed without the row: as rows of
// another list on the same host.
type InnerAlerts struct {
	// Path is the path of that list.
	Path string
	// Owner is the field of its rows that holds the identity of the row around them.
	Owner string
}

// RowFields are the names of the fields that identify a row.
type RowFields struct {
	Identity string
	// IdentityParts, joined, replace a missing Identity if a row has all of them.
	IdentityParts []string
	// Updated is the update time, which windows filter by.
	Updated string
	// Created is the creation time.
	Created string
	// WindowsByCreated says that the API can filter by Created too.
	WindowsByCreated bool
	// Tenant is the tenant that a row itself claims to belong to.
	Tenant string
	// Alerts is the list of the alerts inside a row, AlertUpdated the update time of
	// one of them.
	Alerts, AlertUpdated string
}

// Naming has the names of the fields that tell people which alert one is: fields of the
// row, or of the alerts inside it.
type Naming struct {
	// ID is the alert's own id, the same in all APIs that list the alert.
	ID string
	// Created is its creation time.
	Created string
	// Severity, Title and Source describe it. Source is the product that found it.
	Severity, Title, Source string
}

// VersionRule says how two versions of one alert differ.
type VersionRule int

// The rules.
const (
	// VersionByUpdate: the update time.
	VersionByUpdate VersionRule = iota + 1
	// VersionByAlerts: the greatest update time of the row and its inner alerts, and
	// the number of these. An alert inside may be newer than its incident.
	VersionByAlerts
	// VersionInIdentity: each version has an identity of its own.
	VersionInIdentity
)

// Permission is what an application needs to read an API.
type Permission struct {
	// Subject is the first part of the names of all permissions that allow reading,
	// such as "Alert" in "Alert.ReadWrite.All".
	Subject string
	// Application and Delegated are the least permissions for the application itself
	// and for a user who signed in.
	Application, Delegated string
	// Service is the name under which the portal lists them, AppID the application id of
	// the API itself, for which a consent is.
	Service, AppID string
	// Portal is the page of the customer's Defender portal on which the application is
	// authorised, for an API that has no permission to consent to.
	Portal string
}

// PortalAddress returns the address of a customer's Defender portal.
func PortalAddress(tenant TenantID) string {
	return "https://security.microsoft.com?tid=" + string(tenant)
}

// PortalRemedy returns what a customer does to authorise an application in the portal.
// It is empty for an API that has a permission instead.
func (p Permission) PortalRemedy(tenant TenantID, client ClientID) string {
	if p.Portal == "" {
		return ""
	}

	return fmt.Sprintf("an administrator of the customer (permission \"Manage portal system settings\") opens "+
		"%s > %s, enters application id %s and your own tenant id, and presses Authorize application",
		PortalAddress(tenant), p.Portal, client)
}

// Names returns the permissions in a few words, such as "Alert.Read.All (delegated:
// Alert.Read)".
func (p Permission) Names() string {
	if p.Delegated == p.Application {
		return p.Application
	}

	return p.Application + " (delegated: " + p.Delegated + ")"
}

// Allows reports whether a permission that a token has allows reading.
func (p Permission) Allows(permission string) bool {
	subject, rest, _ := strings.Cut(permission, ".")

	return p.Subject != "" && strings.EqualFold(subject, p.Subject) &&
		strings.HasPrefix(strings.ToLower(rest), "read")
}

// Device is how the API's product is called in the header of a CEF line.
type Device struct{ Product, Version string }

// descriptors is the table of the APIs, the default first.
var descriptors = [...]Descriptor{
	{
		API:       Graph,
		Help:      "security/alerts_v2",
		Noun:      "alert",
		Reading:   "reading alerts",
		Source:    "graph: api/security-list-alerts_v2, security-error-codes, throttling-limits, deployments",
		Protocol:  OData,
		SignIn:    SignInV2,
		Path:      "/v1.0/security/alerts_v2",
		MaxPage:   1000,
		PerMinute: 150,
		Prefer:    "include-unknown-enum-members",
		Row: RowFields{
			Identity:         "id",
			Updated:          "lastUpdateDateTime",
			Created:          "createdDateTime",
			WindowsByCreated: true,
			Tenant:           "tenantId",
		},
		Alert: Naming{
			ID:       "id",
			Created:  "createdDateTime",
			Severity: "severity",
			Title:    "title",
			Source:   "serviceSource",
		},
		Version: VersionByUpdate,
		Permission: Permission{
			Subject:     "SecurityAlert",
			Application: "SecurityAlert.Read.All",
			Delegated:   "SecurityAlert.Read.All",
			Service:     "Microsoft Graph",
			AppID:       "00000003-0000-0000-c000-000000000000",
		},
		CEF: Device{Product: "Microsoft Defender XDR", Version: "1.0"},
		Absent: map[string]string{
			"Deprecation":       current,
			"PerHour":           graphBudget,
			"Expand":            "a row has its evidence without being asked",
			"Inner.Path":        flat,
			"Inner.Owner":       flat,
			"FilterParameters":  expression,
			"Permission.Portal": consent,
			"Row.IdentityParts": oneIdentity,
			"Row.Alerts":        flat,
			"Row.AlertUpdated":  flat,
		},
	},
	{
		API:       GraphIncidents,
		Help:      "security/incidents with their alerts",
		Noun:      "incident",
		Reading:   "reading incidents",
		Source:    "graph: api/security-list-incidents, resources/security-incident, throttling-limits, deployments",
		Protocol:  OData,
		SignIn:    SignInV2,
		Path:      "/v1.0/security/incidents",
		MaxPage:   50,
		PerMinute: 150,
		Expand:    "alerts",
		Prefer:    "include-unknown-enum-members",
		Inner:     InnerAlerts{Path: "/v1.0/security/alerts_v2", Owner: "incidentId"},
		Row: RowFields{
			Identity:         "id",
			Updated:          "lastUpdateDateTime",
			Created:          "createdDateTime",
			WindowsByCreated: true,
			Tenant:           "tenantId",
			Alerts:           "alerts",
			AlertUpdated:     "lastUpdateDateTime",
		},
		Alert: Naming{
			ID:       "id",
			Created:  "createdDateTime",
			Severity: "severity",
			Title:    "title",
			Source:   "serviceSource",
		},
		Version: VersionByAlerts,
		Permission: Permission{
			Subject:     "SecurityIncident",
			Application: "SecurityIncident.Read.All",
			Delegated:   "SecurityIncident.Read.All",
			Service:     "Microsoft Graph",
			AppID:       "00000003-0000-0000-c000-000000000000",
		},
		CEF: Device{Product: "Microsoft Defender XDR Incidents", Version: "1.0"},
		Absent: map[string]string{
			"Deprecation":       current,
			"PerHour":           graphBudget,
			"FilterParameters":  expression,
			"Permission.Portal": consent,
			"Row.IdentityParts": oneIdentity,
		},
	},
	{
		API:       Endpoint,
		Help:      "Defender for Endpoint /api/alerts",
		Noun:      "alert",
		Reading:   "reading alerts",
		Source:    "defender-endpoint: api/get-alerts, exposed-apis-list, gov",
		Protocol:  OData,
		SignIn:    SignInV2,
		Path:      "/api/alerts",
		MaxPage:   10000,
		PerMinute: 100,
		PerHour:   1500,
		Expand:    "evidence",
		Row: RowFields{
			Identity:         "id",
			Updated:          "lastUpdateTime",
			Created:          "alertCreationTime",
			WindowsByCreated: true,
			Tenant:           "aadTenantId",
		},
		Alert: Naming{
			ID:       "id",
			Created:  "alertCreationTime",
			Severity: "severity",
			Title:    "title",
			Source:   "detectionSource",
		},
		Version: VersionByUpdate,
		Permission: Permission{
			Subject:     "Alert",
			Application: "Alert.Read.All",
			Delegated:   "Alert.Read",
			Service:     "WindowsDefenderATP",
			AppID:       "fc780465-2017-40d4-a0c5-307022471b92",
		},
		CEF: Device{Product: "Microsoft Defender for Endpoint", Version: "1.0"},
		Absent: map[string]string{
			"Deprecation":       current,
			"Prefer":            noPrefer,
			"Inner.Path":        flat,
			"Inner.Owner":       flat,
			"FilterParameters":  expression,
			"Permission.Portal": consent,
			"Row.IdentityParts": oneIdentity,
			"Row.Alerts":        flat,
			"Row.AlertUpdated":  flat,
		},
	},
	{
		API:              SIEM,
		Help:             "the legacy alert exporter",
		Deprecation:      "deprecated since 31 December 2023 and may end without notice since 31 December 2024",
		Noun:             "alert",
		Reading:          "reading detections",
		Source:           "defender-endpoint: pull-alerts-using-rest-api, fetch-alerts-mssp, gov (2021)",
		Protocol:         Exporter,
		SignIn:           SignInV1,
		Path:             "/api/alerts",
		FilterParameters: []string{"machinegroups", "DeviceCreatedMachineTags", "CloudCreatedMachineTags"},
		Row: RowFields{
			Identity:      "FullId",
			IdentityParts: []string{"AlertId", "AlertPart", "LastProcessedTimeUtc"},
			Updated:       "LastProcessedTimeUtc",
			Created:       "AlertTime",
		},
		Alert: Naming{
			ID:       "AlertId",
			Created:  "AlertTime",
			Severity: "Severity",
			Title:    "AlertTitle",
			Source:   "Source",
		},
		Version:    VersionInIdentity,
		Permission: Permission{Portal: "Settings > Endpoints > APIs > SIEM > MSSP"},
		CEF:        Device{Product: "Microsoft Defender ATP", Version: "2.0"},
		Absent: map[string]string{
			"MaxPage":                "there are no pages: a window comes in one piece",
			"PerMinute":              "Microsoft publishes no budget",
			"PerHour":                "Microsoft publishes no budget",
			"Expand":                 notOData,
			"Prefer":                 notOData,
			"Inner.Path":             flat,
			"Inner.Owner":            flat,
			"Row.WindowsByCreated":   "the service filters by the time of processing only",
			"Row.Tenant":             "a detection does not name its tenant",
			"Row.Alerts":             flat,
			"Row.AlertUpdated":       flat,
			"Permission.Subject":     portal,
			"Permission.Application": portal,
			"Permission.Delegated":   portal,
			"Permission.Service":     portal,
			"Permission.AppID":       portal,
		},
	},
	{
		API:       Incidents,
		Help:      "Defender XDR /api/incidents",
		Noun:      "incident",
		Reading:   "reading incidents",
		Source:    "defender-xdr: api-list-incidents, usgov",
		Protocol:  OData,
		SignIn:    SignInV2,
		Path:      "/api/incidents",
		MaxPage:   100,
		PerMinute: 50,
		PerHour:   1500,
		Row: RowFields{
			Identity:         "incidentId",
			Updated:          "lastUpdateTime",
			Created:          "createdTime",
			WindowsByCreated: true,
			Tenant:           "tenantId",
			Alerts:           "alerts",
			AlertUpdated:     "lastUpdatedTime", // with a d, unlike that of the incident
		},
		Alert: Naming{
			ID:       "alertId",
			Created:  "creationTime",
			Severity: "severity",
			Title:    "title",
			Source:   "serviceSource",
		},
		Version: VersionByAlerts,
		Permission: Permission{
			Subject:     "Incident",
			Application: "Incident.Read.All",
			Delegated:   "Incident.Read",
			Service:     "Microsoft Threat Protection",
			AppID:       "8ee8fdad-f234-4243-8f3b-15c294843740",
		},
		CEF: Device{Product: "Microsoft Defender XDR Incidents", Version: "1.0"},
		Absent: map[string]string{
			"Deprecation":       current,
			"Expand":            withAlerts,
			"Prefer":            noPrefer,
			"Inner.Path":        withAlerts,
			"Inner.Owner":       withAlerts,
			"FilterParameters":  expression,
			"Permission.Portal": consent,
			"Row.IdentityParts": oneIdentity,
		},
	},
}

// Reasons that several APIs share.
const (
	current     = "Microsoft does not advise against it"
	expression  = "the key filter is an OData expression"
	flat        = "a row holds one alert"
	graphBudget = "Microsoft publishes a budget per minute only"
	noPrefer    = "no preference changes the answer"
	notOData    = "it is no OData service"
	oneIdentity = "every row has its identity in one field"
	withAlerts  = "a row has its alerts without being asked"
	portal      = "the customer authorises the application in the Defender portal instead"
	consent     = "the customer consents to a permission instead"
)

// Deprecated returns the problem and the remedy for users of an API that Microsoft
// advises against. Both are empty for the other APIs.
func (a API) Deprecated() (problem, remedy string) {
	d, err := a.Descriptor()
	if err != nil || d.Deprecation == "" {
		return "", ""
	}

	return fmt.Sprintf("Microsoft's API %s is %s", a, d.Deprecation),
		fmt.Sprintf("move to api %s: docs/apis.md has the steps; defenderctl compare NAME --from %s --to %s "+
			"shows what each lists", Graph, a, Graph)
}

// Descriptor returns the facts of an API. Its error is an *UnknownError.
func (a API) Descriptor() (*Descriptor, error) {
	for i := range descriptors {
		if descriptors[i].API == a {
			return &descriptors[i], nil
		}
	}

	return nil, &UnknownError{
		Key:   "api",
		Kind:  "API",
		Value: string(a),
		Known: APINames(),
	}
}
