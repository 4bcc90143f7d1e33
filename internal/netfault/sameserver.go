package netfault

import (
	"cmp"
	"net/url"
	"strings"
)

// SameServer reports whether two addresses have the same scheme, host and port, so that a
// token for one may be sent to the other. A port may be left out if it is the default of
// the scheme.
func SameServer(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) &&
		strings.EqualFold(a.Hostname(), b.Hostname()) &&
		portOf(a) == portOf(b)
}

// portOf returns the port of an address, or else the default of its scheme.
func portOf(u *url.URL) string {
	standard := "80"
	if strings.EqualFold(u.Scheme, "https") {
		standard = "443"
	}

	return cmp.Or(u.Port(), standard)
}
