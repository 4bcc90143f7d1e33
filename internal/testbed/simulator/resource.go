package simulator

import (
	"slices"
	"strings"
)

// resource is an API as the sign-in service knows it.
type resource struct {
	// app is the id of the application of Microsoft that its permissions belong to.
	app string
	// apis are those that take tokens of it.
	apis []string
	// uris are the App ID URIs under which tokens for it can be asked for; the token's
	// aud is the one that was asked for.
	uris []string
	// roles and scopes are the permissions for reading that it has, application and
	// delegated; any of them is enough.
	roles, scopes []string
	// others are delegated permissions for something else.
	others []string
	// usual are those that an application has unless it says otherwise: what all APIs of
	// the resource need for reading. Nil is the first role or scope.
	usual []string
}

// resources of the commercial and the US government clouds; sources: the "create app"
// pages of each API, defender-endpoint/gov.md, microsoft-365-docs issue 13126 for the
// alternative of Defender for Endpoint.
var resources = []resource{
	{
		app:    AppSIEM,
		apis:   []string{SIEM},
		uris:   []string{"https://graph.windows.net", "https://WDATPAlertExport.Seville.onmicrosoft.com"},
		scopes: []string{"user_impersonation"},
	},
	{
		app:  AppEndpoint,
		apis: []string{Endpoint},
		uris: []string{
			"https://api.securitycenter.microsoft.com",
			"https://securitycenter.onmicrosoft.com/windowsatpservice",
			"https://api.securitycenter.windows.com",
			"https://api-gcc.securitycenter.microsoft.us",
			"https://api-gov.securitycenter.microsoft.us",
		},
		roles:  []string{"Alert.Read.All", "Alert.ReadWrite.All"},
		scopes: []string{"Alert.Read", "Alert.ReadWrite"},
	},
	{
		app:  AppGraph,
		apis: []string{Graph, GraphIncidents},
		uris: []string{
			"https://graph.microsoft.com",
			"https://graph.microsoft.us",
			"https://dod-graph.microsoft.us",
		},
		roles:  graphPermissions,
		scopes: graphPermissions,
		usual:  []string{"SecurityAlert.Read.All", "SecurityIncident.Read.All"},
		others: []string{
			"DelegatedAdminRelationship.Read.All",
			"CrossTenantInformation.ReadBasic.All",
			"Directory.Read.All",
			"Organization.Read.All",
			"User.Read",
		},
	},
	{
		app:  AppDefender,
		apis: []string{Incidents},
		uris: []string{
			"https://api.security.microsoft.com",
			"https://api-gcc.security.microsoft.us",
			"https://api-gov.security.microsoft.us",
		},
		roles:  []string{"Incident.Read.All", "Incident.ReadWrite.All"},
		scopes: []string{"Incident.Read", "Incident.ReadWrite"},
	},
	{ // partner-center, "Partner Center authentication"
		apis:   []string{Partner},
		uris:   []string{"https://api.partnercenter.microsoft.com"},
		scopes: []string{"user_impersonation"},
	},
}

// resourceByAPI finds the resource of an API.
func resourceByAPI(api string) *resource {
	return &resources[slices.IndexFunc(resources, func(r resource) bool { return r.serves(api) })]
}

// resourceByApp finds the resource of an application of Microsoft; nil if there is none.
func resourceByApp(id string) *resource {
	i := slices.IndexFunc(resources, func(r resource) bool { return r.app != "" && r.app == id })
	if i < 0 {
		return nil
	}

	return &resources[i]
}

// Permissions returns the permissions, application and delegated, that belong to an
// application of Microsoft; none if there is no such application.
func Permissions(app string) (roles, scopes []string) {
	r := resourceByApp(app)
	if r == nil {
		return nil, nil
	}

	return r.roles, r.scopes
}

// graphPermissions are those of Graph. The list of alerts takes any of them, that of
// incidents only those of incidents.
var graphPermissions = []string{
	"SecurityAlert.Read.All",
	"SecurityAlert.ReadWrite.All",
	"SecurityIncident.Read.All",
	"SecurityIncident.ReadWrite.All",
}

// serves reports whether an API takes tokens of this resource.
func (r *resource) serves(api string) bool { return slices.Contains(r.apis, api) }

// suffices reports whether one of the permissions that a token has allows reading an
// API.
func (r *resource) suffices(granted []string, api string) bool {
	needs := ""
	if a := dataAPIOf(api); a != nil {
		needs = a.needs
	}

	return slices.ContainsFunc(granted, func(p string) bool { return strings.HasPrefix(p, needs) })
}

// resourceOf finds the resource of an App ID URI, with or without a slash at its end.
func resourceOf(uri string) *resource {
	uri = strings.TrimRight(uri, "/")

	for i := range resources {
		if slices.ContainsFunc(resources[i].uris, func(u string) bool { return strings.EqualFold(u, uri) }) {
			return &resources[i]
		}
	}

	return nil
}

// granted returns the permissions of one kind that a token for the resource carries.
func (r *resource) granted(have, all []string) []string {
	if have == nil {
		if r.usual != nil {
			return r.usual
		}

		return all[:min(1, len(all))]
	}

	var list []string

	for _, p := range have {
		if slices.Contains(all, p) {
			list = append(list, p)
		}
	}

	return list
}

// splitScope splits "https://graph.microsoft.com/SecurityAlert.Read.All" into resource
// and permission. A permission alone belongs to Graph.
func splitScope(scope string) (uri, permission string) {
	if !strings.Contains(scope, "://") {
		return "https://graph.microsoft.com", scope
	}

	i := strings.LastIndexByte(scope, '/')

	return scope[:i], scope[i+1:]
}

// openID reports whether a scope is one of the sign-in service itself.
func openID(scope string) bool {
	return slices.Contains([]string{"openid", "profile", "email", "offline_access"}, scope)
}

// scopes is what a v2.0 request asks for.
type scopes struct {
	list    []string
	uris    []string // the resources, in order, each once
	offline bool
	openid  bool
	dflt    bool // has a /.default
	names   []string
	unknown string
}

func parseScopes(text string) scopes {
	s := scopes{list: strings.Fields(text)}
	for _, item := range s.list {
		if openID(item) {
			s.offline = s.offline || item == "offline_access"
			s.openid = s.openid || item == "openid"

			continue
		}

		uri, name := splitScope(item)
		if !slices.Contains(s.uris, uri) {
			s.uris = append(s.uris, uri)
		}

		if name == ".default" {
			s.dflt = true
		} else {
			s.names = append(s.names, name)
		}

		r := resourceOf(uri)

		known := r != nil &&
			(name == ".default" || slices.Contains(r.scopes, name) || slices.Contains(r.others, name) ||
				strings.EqualFold(name, "user.read"))
		if s.unknown == "" && !known {
			s.unknown = item
		}
	}

	return s
}
