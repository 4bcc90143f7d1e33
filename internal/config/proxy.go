package config

import (
	"net/url"
	"strings"
)

// proxyRemedy says how the address of a proxy is written.
const proxyRemedy = "write it like http://host:port"

// proxyAddress returns the address of a proxy with a scheme. Like net/http it accepts
// http, https and socks5, and host:port alone. problem is empty if the address can be
// used.
func proxyAddress(text string) (address, problem string) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}

	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return "", "is not an address"
	}

	if u.Port() != "" && !isPort(u.Port()) {
		return "", "has no valid port"
	}

	switch strings.ToLower(u.Scheme) {
	case "http", "https", "socks5", "socks5h":
	default:
		return "", "has a scheme other than http, https or socks5"
	}

	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return "", "has more than scheme, user, host and port"
	}

	return text, ""
}

// proxy returns the key `proxy`, empty if the environment's is to be used.
func (r *reader) proxy() string {
	text, v := r.text("proxy", 1024)
	if text == "" {
		r.checkProxyVariable()
		return ""
	}

	address, problem := proxyAddress(text)
	if problem != "" {
		r.refuse(option("proxy"), v, problem, proxyRemedy)
	}

	return address
}

// checkProxyVariable reports a proxy in the environment that cannot be used: net/http
// would silently connect without it. Like net/http it uses the first of the two
// variables that is set. HTTP_PROXY is never used, since http:// leads to this machine
// only.
func (r *reader) checkProxyVariable() {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		text, _ := r.sources.env(name)
		if text == "" {
			continue
		}

		if _, problem := proxyAddress(text); problem != "" {
			r.fault(name, value{inherited: true}, problem,
				"the environment variable "+name+" of Fluent Bit and defenderctl: "+proxyRemedy+", or unset it")
		}

		return
	}
}
