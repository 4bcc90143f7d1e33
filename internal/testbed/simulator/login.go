package simulator

import (
	"net/http"
	"strings"
)

// loginKind names a request to the sign-in service for the statistics.
func loginKind(path string) string {
	switch {
	case strings.HasSuffix(path, "/token"):
		return "token"
	case strings.HasSuffix(path, "/authorize"):
		return "authorize"
	case strings.HasSuffix(path, "/devicecode"), path == devicePage:
		return "devicecode"
	case strings.HasSuffix(path, "/adminconsent"):
		return "adminconsent"
	}

	return "other"
}

// login is the sign-in service.
func (s *Simulator) login(x *exchange) {
	path, rest, _ := strings.Cut(strings.TrimPrefix(x.r.URL.Path, "/"), "/")
	switch strings.ToLower(rest) {
	case "oauth2/token":
		s.token(x, path, false)
	case "oauth2/v2.0/token":
		s.token(x, path, true)
	case "oauth2/authorize":
		s.authorize(x, path, false)
	case "oauth2/v2.0/authorize":
		s.authorize(x, path, true)
	case "oauth2/devicecode":
		s.deviceStart(x, path, false)
	case "oauth2/v2.0/devicecode":
		s.deviceStart(x, path, true)
	case "adminconsent":
		s.adminConsent(x, path, false)
	case "v2.0/adminconsent":
		s.adminConsent(x, path, true)
	case ".well-known/openid-configuration", "v2.0/.well-known/openid-configuration":
		s.metadata(x, path, strings.HasPrefix(rest, "v2.0/"))
	default:
		if x.r.URL.Path == controlPage && s.cfg.Home != "" {
			s.control(x)
			return
		}

		if x.r.URL.Path == devicePage {
			s.deviceEnter(x)
			return
		}

		x.html(http.StatusNotFound, "<html><body>404 - File or directory not found.</body></html>")
	}
}

// metadata is the discovery document (OpenID Connect Discovery 1.0 section 4).
func (s *Simulator) metadata(x *exchange, path string, v2 bool) {
	s.mu.Lock()
	t := s.tenant(path)

	var where cloudHosts
	if t != nil {
		where = cloudsByName[t.Cloud]
	}
	s.mu.Unlock()

	if t == nil {
		x.refuseSignIn(refused(90002), "{tenant}", path)
		return
	}

	base, issuer := x.base()+"/"+t.ID+"/oauth2/", "https://sts.windows.net/"+t.ID+"/"
	if v2 {
		base, issuer = base+"v2.0/", "https://login."+where.instance+"/"+t.ID+"/v2.0"
	}

	o := object{}
	o.open()
	o.text("issuer", issuer)
	o.text("authorization_endpoint", base+"authorize")
	o.text("token_endpoint", base+"token")
	o.text("device_authorization_endpoint", base+"devicecode")
	o.texts(
		"token_endpoint_auth_methods_supported",
		[]string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
	)
	o.texts("response_modes_supported", []string{"query", "fragment", "form_post"})
	o.texts("response_types_supported", []string{"code"})
	o.text("tenant_region_scope", where.region)

	if where.subScope != "" {
		o.text("tenant_region_sub_scope", where.subScope)
	}

	o.text("cloud_instance_name", where.instance)
	o.text("cloud_graph_host_name", "graph.windows.net")
	o.text("msgraph_host", where.graph)
	o.close()
	x.json(http.StatusOK, o.b)
}

// cloudHosts is what the metadata of a tenant say of the cloud that it is in.
type cloudHosts struct{ instance, region, subScope, graph string }

// cloudsByName are the clouds by the names that the key `cloud` has. A tenant in the
// GCC is in the commercial cloud for the sign-in service, and only its sub-scope tells;
// GCC High calls itself DODCON.
var cloudsByName = map[string]cloudHosts{
	"":           {"microsoftonline.com", "EU", "", "graph.microsoft.com"},
	"commercial": {"microsoftonline.com", "EU", "", "graph.microsoft.com"},
	"gcc":        {"microsoftonline.com", "NA", "GCC", "graph.microsoft.com"},
	"gcchigh":    {"microsoftonline.us", "USGov", "DODCON", "graph.microsoft.us"},
	"dod":        {"microsoftonline.us", "USGov", "DOD", "dod-graph.microsoft.us"},
}
