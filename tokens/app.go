package tokens

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"fluent-bit-defender/internal/config/plain"
)

// Version is a family of Entra's sign-in endpoints.
type Version int

const (
	// V2 is /oauth2/v2.0/…, which is asked for a scope. It is the zero value.
	V2 Version = iota
	// V1 is /oauth2/…, which is asked for a resource. The legacy SIEM API is documented
	// for it only.
	V1
)

// String returns "v1" or "v2".
func (v Version) String() string {
	if v == V1 {
		return "v1"
	}

	return "v2"
}

// App is one application in one customer's tenant at one sign-in service, asking for
// tokens for one resource.
type App struct {
	// LoginURL is scheme, host and port of the sign-in service, such as
	// https://login.microsoftonline.com.
	LoginURL string
	// TenantID is the customer's tenant: a GUID or a verified domain; ClientID the
	// application (client) id.
	TenantID, ClientID string
	// Home is the provider's own tenant, whose user signed in and whose chain reaches
	// the customer; empty: the user signed in to the customer's tenant itself.
	Home string
	// Version picks the endpoints.
	Version Version
	// Resource is the App ID URI of the API, such as https://graph.microsoft.com. A
	// slash at its end is part of it.
	Resource string
	// Scope is what v2 asks for instead of Resource + "/.default". With a user present
	// offline_access is added.
	Scope string
	// Credential proves that we are the application; nil for a public client, which
	// must send none (AADSTS700025).
	Credential Credential
	// SecretEnds is when the secret in Credential ends, as a person says; zero when that
	// is not known.
	SecretEnds time.Time
	// Acquire returns the command by which a person signs in for this application, as
	// AcquireCommand writes it; remedies name it. nil: the one with tenant and client
	// alone, which is right where all else has its default.
	Acquire func() string
}

// ChainKey returns the key of the chain whose refresh tokens are redeemed for the
// application.
func (a App) ChainKey() ChainKey {
	return NewChainKey(a.LoginURL, cmp.Or(a.Home, a.TenantID), a.ClientID)
}

// isHome reports whether the application's tenant is the provider's own.
func (a App) isHome() bool { return a.Home != "" && strings.EqualFold(a.Home, a.TenantID) }

// atHome returns the application in the tenant that its chain belongs to.
func (a App) atHome() App {
	a.TenantID = cmp.Or(a.Home, a.TenantID)
	return a
}

// LoginHost returns the host of a sign-in URL in lower case, with its port unless that
// is the scheme's own. A text that is not a URL comes back in lower case.
func LoginHost(loginURL string) string {
	u, err := url.Parse(strings.ToLower(loginURL))
	if err != nil || u.Host == "" {
		return strings.ToLower(loginURL)
	}

	host, port := u.Hostname(), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}

	if port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return host
	}

	return host + ":" + port
}

// String returns a line that names the application without its credential.
func (a App) String() string {
	return fmt.Sprintf(
		"client %s in tenant %s at %s (%s, %s)",
		a.ClientID,
		a.TenantID,
		LoginHost(a.LoginURL),
		a.Version,
		a.Resource,
	)
}

// GoString returns String, so that %#v shows no credential either.
func (a App) GoString() string { return a.String() }

// validate returns an error if no request could succeed.
func (a App) validate() error {
	u, err := url.Parse(a.LoginURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("tokens: login URL %q is not of the form https://host", plain.Line(a.LoginURL, 200))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return fmt.Errorf("tokens: login URL of host %q may have scheme, host and port only", plain.Line(u.Host, 200))
	case a.TenantID == "":
		return fmt.Errorf("tokens: tenant id is empty")
	case a.ClientID == "":
		return fmt.Errorf("tokens: client id is empty")
	case a.Resource == "" && (a.Version == V1 || a.Scope == ""):
		return fmt.Errorf("tokens: resource is empty")
	}

	return nil
}

// endpoint returns the address of one of the tenant's endpoints:
// /{tenant}/oauth2/[v2.0/]name
// (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow).
func (a App) endpoint(name string) string {
	family := "/oauth2/v2.0/"
	if a.Version == V1 {
		family = "/oauth2/"
	}

	return strings.TrimRight(a.LoginURL, "/") + "/" + url.PathEscape(a.TenantID) + family + name
}

// tokenURL returns the address of the token endpoint, which is also the audience of a
// client assertion.
func (a App) tokenURL() string { return a.endpoint("token") }

// scopes returns the scopes to ask for at v2; delegated means with a user. v1 has none:
// it ignores them.
func (a App) scopes(delegated bool) []string {
	if a.Version == V1 {
		return nil
	}

	list := strings.Fields(a.Scope)
	if len(list) == 0 {
		// A resource that ends in "/" needs the second slash:
		// https://learn.microsoft.com/entra/identity-platform/scopes-oidc
		list = []string{a.Resource + "/.default"}
	}

	if delegated {
		list = withScopes(list, "offline_access")
	}

	return list
}

// resource returns the form that names the API at v1; v2 refuses it (AADSTS901002).
func (a App) resource() url.Values {
	if a.Version == V1 {
		return url.Values{"resource": {a.Resource}}
	}

	return url.Values{}
}

// config returns the application as golang.org/x/oauth2 knows it, for a sign-in with a
// user. The style is fixed: probing would send every refused request twice.
func (a App) config() *oauth2.Config {
	device := a.endpoint("devicecode")
	if a.Version == V1 {
		device += "?api-version=1.0" // as ADAL sends it
	}

	return &oauth2.Config{
		ClientID: a.ClientID,
		Scopes:   a.scopes(true),
		Endpoint: oauth2.Endpoint{
			AuthURL:       a.endpoint("authorize"),
			TokenURL:      a.tokenURL(),
			DeviceAuthURL: device,
			AuthStyle:     oauth2.AuthStyleInParams,
		},
	}
}
