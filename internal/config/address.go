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

// baseForm says how an address is written.
const baseForm = "write it like https://host or https://host:port"

// base checks an address of scheme, host and port, and returns it in its shortest form:
// lower case, without the scheme's own port and without a final slash. problem is empty
// if the address is good. It never repeats the value, which may hold a password.
func base(text string) (normal, problem, remedy string) {
	u, problem, remedy := hostOnly(text)
	if problem != "" {
		return "", problem, remedy
	}

	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()

	ip := net.ParseIP(host)

	switch {
	case ip == nil && (!hostName.MatchString(host) || len(host) > 253):
		return "", "has no valid host name", baseForm
	case strings.HasSuffix(u.Host, ":") || port != "" && !isPort(port):
		return "", "has no valid port", baseForm
	case scheme == "http" && !loopback(host, ip):
		return "", "is http, which is for loopback only (localhost, 127.0.0.0/8, ::1)", "use https"
	case scheme != "http" && scheme != "https":
		return "", "has a scheme other than https", baseForm
	}

	if strings.ContainsRune(host, ':') {
		host = "[" + host + "]"
	}

	if port != "" && port != ownPort[scheme] {
		host += ":" + port
	}

	return scheme + "://" + host, "", ""
}

// ownPort is the port of a scheme, which an address need not name.
var ownPort = map[string]string{"https": "443", "http": "80"}

// hostOnly parses an address that has nothing but a scheme, a host and a port.
func hostOnly(text string) (u *url.URL, problem, remedy string) {
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, "has no scheme", baseForm
	}

	u, err := url.Parse(text)

	switch {
	case err != nil || u.Opaque != "":
		return nil, "is not an address", baseForm
	case u.User != nil || strings.Contains(rest, "@"):
		return nil, "holds a user or password", baseForm
	case strings.ContainsRune(text, '?'):
		return nil, "has a query", baseForm
	case strings.ContainsRune(text, '#'):
		return nil, "has a fragment", baseForm
	case u.Path != "" && u.Path != "/":
		return nil, "has a path", "remove the path: " + baseForm
	}

	return u, "", ""
}

// isPort reports whether a text is the number of a port.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)

	return err == nil && n > 0
}

// loopback reports whether a host is this machine, without asking the resolver.
func loopback(host string, ip net.IP) bool {
	if host == "localhost" || host == "::1" {
		return true
	}

	return ip != nil && strings.Count(host, ".") == 3 && !strings.ContainsRune(host, ':') && ip.IsLoopback()
}

// address returns the value of a URL option, or def, which comes from the table of
// clouds.
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
