package config

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// hostName is a DNS name in its ASCII form; RFC 1123 section 2.1 allows digits first.
var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*\.?$`)

// base checks an address of scheme, host and port, and gives it in its shortest form:
// lower case, without the scheme's own port and without a final slash. problem is empty
// if it is one; it never repeats the value, which may hold a password.
func base(text string) (normal, problem, remedy string) {
	const form = "write it like https://host or https://host:port"

	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return "", "has no scheme", form
	}

	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "":
		return "", "is not an address", form
	case u.User != nil || strings.Contains(rest, "@"):
		return "", "holds a user or password", form
	case strings.ContainsRune(text, '?'):
		return "", "has a query", form
	case strings.ContainsRune(text, '#'):
		return "", "has a fragment", form
	case u.Path != "" && u.Path != "/":
		return "", "has a path", "remove the path: " + form
	}

	scheme = strings.ToLower(scheme)
	host, port := strings.ToLower(u.Hostname()), u.Port()

	ip := net.ParseIP(host)
	if ip == nil && (!hostName.MatchString(host) || len(host) > 253) {
		return "", "has no valid host name", form
	}

	if n, err := strconv.ParseUint(
		port,
		10,
		16,
	); port != "" && (err != nil || n == 0) ||
		port == "" && strings.HasSuffix(u.Host, ":") {
		return "", "has no valid port", form
	}

	switch scheme {
	case "https":
	case "http":
		if !loopback(host, ip) {
			return "", "is http, which is for loopback only (localhost, 127.0.0.0/8, ::1)", "use https"
		}
	default:
		return "", "has a scheme other than https", form
	}

	if ip != nil && strings.ContainsRune(host, ':') {
		host = "[" + host + "]"
	}

	if port != "" && !(scheme == "https" && port == "443") && !(scheme == "http" && port == "80") {
		host += ":" + port
	}

	return scheme + "://" + host, "", ""
}

func loopback(host string, ip net.IP) bool {
	if host == "localhost" || host == "::1" {
		return true
	}

	return ip != nil && strings.Count(host, ".") == 3 && !strings.ContainsRune(host, ':') && ip.IsLoopback()
}

// address gives a URL option that overrides a part of the table of clouds.
func (r *reader) address(key, def string) string {
	s, v := r.text(key, 1024)
	if s == "" {
		return def
	}

	normal, problem, remedy := base(s)
	if problem == "" {
		return normal
	}

	o := option(key)
	o.Secret = o.Secret || strings.ContainsRune(s, '@')
	r.refuse(o, v, problem, remedy)

	return def
}
