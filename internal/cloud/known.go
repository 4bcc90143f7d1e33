package cloud

import (
	"net"
	"net/url"
	"slices"
	"strings"
)

// otherLogins are Microsoft's sign-in hosts that are not in the table: old names that
// still work, and the cloud in China.
//
// https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
var otherLogins = []string{
	"login.windows.net",
	"login.microsoft.com",
	"sts.windows.net",
	"login.partner.microsoftonline.cn",
	"login.chinacloudapi.cn",
}

// KnownLogin reports whether an address is that of a sign-in service of Microsoft, or of
// this machine. Secrets and refresh tokens are sent to the configured host, so a caller
// warns if it is not known.
func KnownLogin(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}

	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return true
	}

	if port := u.Port(); port != "" && port != "443" {
		return false
	}

	if slices.Contains(otherLogins, host) {
		return true
	}

	return slices.ContainsFunc(Table(), func(r Row) bool {
		login, err := url.Parse(r.LoginURL)
		return err == nil && login.Hostname() == host
	})
}
