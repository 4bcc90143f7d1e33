package metrics

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// authorised passes requests on to next that may read: if a token is configured, those
// that have it; otherwise those that name the server by an address, by localhost or by
// a name of Settings.Hosts. A browser that a foreign page has sent here with DNS
// rebinding names the host of that page, and is refused.
func (v *server) authorised(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case v.settings.Token == nil && !v.knows(r.Host):
			refuseName(w)
		case v.settings.Token != nil && !v.hasToken(r):
			w.Header().Add("WWW-Authenticate", `Bearer realm="metrics"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="metrics: the token is the password", charset="UTF-8"`)
			http.Error(w, "the token of metrics_token_file is required, as a bearer token or as a password",
				http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// named passes probes on to next. They need no token, but without it they have to name
// the server by an address, by localhost or by a name of Settings.Hosts.
func (v *server) named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !v.knows(r.Host) && !v.hasToken(r) {
			refuseName(w)
			return
		}

		next.ServeHTTP(w, r)
	})
}

// refuseName answers a request for a host name that is not allowed.
func refuseName(w http.ResponseWriter) {
	http.Error(
		w,
		"this host name is not allowed: use an address or localhost, or list the name in metrics_hosts",
		http.StatusForbidden,
	)
}

// hasToken reports whether a request has the token; false if none is configured.
func (v *server) hasToken(r *http.Request) bool {
	if v.settings.Token == nil {
		return false
	}

	want, err := v.settings.Token()
	if err != nil {
		v.log.Error("metrics_token_file: " + err.Error())
	}

	got, ok := bearer(r.Header.Get("Authorization"))
	if !ok { // browsers cannot send a bearer token, but ask their user for a password
		_, got, ok = r.BasicAuth()
	}

	return ok && !want.IsZero() && equal(got, want.Reveal())
}

// knows reports whether a Host header names the server by an address, by localhost or
// by a name of Settings.Hosts.
func (v *server) knows(header string) bool {
	host := hostOf(header)
	if host == "" || host == "localhost" { // HTTP/1.0 needs no Host, and no browser leaves it out
		return true
	}

	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}

	return host == hostOf(v.settings.Address) || slices.Contains(v.settings.Hosts, host)
}

// hostOf returns the host of host:port, or of a host alone, in lower case.
func hostOf(s string) string {
	host, _, err := net.SplitHostPort(s)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	}

	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// bearer returns the token in an Authorization header (RFC 6750, section 2.1).
func bearer(header string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(header, " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// equal compares two texts in a time that does not depend on where they differ.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
