package simulator

import (
	"net"
	"net/url"
	"slices"
	"strings"
)

// redirectAllowed applies the rules for reply addresses (entra-docs, reply-url.md): the
// text must be a registered one, but for the port of a loopback address. [::1] is not
// supported, and localhost is not 127.0.0.1.
func redirectAllowed(a *App, uri string) bool {
	registered := a.RedirectURIs
	if registered == nil {
		registered = []string{"http://localhost"}
	}

	return len(uri) <= 256 && !strings.ContainsAny(uri, "!$'(),;#*") &&
		slices.ContainsFunc(registered, func(r string) bool { return sameRedirect(r, uri) })
}

func sameRedirect(registered, sent string) bool {
	r, err1 := url.Parse(registered)

	u, err2 := url.Parse(sent)
	if err1 != nil || err2 != nil || u.User != nil || u.Scheme != r.Scheme || u.RawQuery != r.RawQuery {
		return false
	}

	path := func(u *url.URL) string { return first(u.EscapedPath(), "/") }
	if path(r) != path(u) {
		return false
	}

	if !loopback(u.Hostname()) {
		return u.Scheme == "https" && strings.EqualFold(u.Host, r.Host)
	}

	return u.Hostname() == r.Hostname()
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.To4() != nil && ip.IsLoopback()
}
