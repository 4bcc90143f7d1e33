package tokens

import (
	"net/http"
	"net/url"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/netfault"
)

// Remedies for faults between us and the sign-in service.
const (
	checkNetwork  = "check the network, the firewall and proxy"
	checkLogin    = "check login_url and proxy"
	proxyPassword = "put them into proxy or HTTPS_PROXY, as http://user:password@host:port"
	inspectingCA  = "if a proxy inspects TLS, give its CA in ca_file"
)

// networkFaults are the texts for each kind of failure: the words before and behind the
// host's name, and the remedy.
var networkFaults = map[netfault.Kind]struct{ before, behind, remedy string }{
	netfault.Proxy:       {"there is no way through the proxy to ", "", "check proxy (or HTTPS_PROXY)"},
	netfault.ProxySignIn: {"the proxy on the way to ", " asks for a user and a password", proxyPassword},
	netfault.Reset: {
		"", " broke the request off (an HTTP/2 reset)",
		"if it lasts, check whether a proxy or firewall on the way limits requests",
	},
	netfault.Name:      {"the name ", " cannot be resolved", "check login_url, DNS and proxy"},
	netfault.Authority: {"the certificate of ", " is from an unknown authority", inspectingCA},
	netfault.Certificate: {
		"the certificate of ", " is not valid",
		"check this machine's clock, and ca_file if a proxy inspects TLS",
	},
	netfault.WrongHost: {"the certificate shown is not for ", "", checkLogin},
	netfault.NoTLS:     {"", " does not speak TLS", checkLogin},
	netfault.Timeout:   {"", " did not answer in time", checkNetwork},
	netfault.Refused:   {"", " refused the connection", "check login_url, the firewall and proxy"},
	netfault.Broke:     {"the connection to ", " broke", checkNetwork},
	netfault.Other:     {"", " cannot be reached", "check the network, login_url, the firewall and proxy"},
}

// networkError explains why no answer came. It quotes nothing that a server sent, which
// may be what we sent.
func networkError(err error, host string) *Error {
	fault := netfault.Of(err)
	if fault.Kind == netfault.Cancelled {
		return newError(advice.Unreachable, advice.TryAgain, "the sign-in was cancelled", "", fault.Err)
	}

	text, ok := networkFaults[fault.Kind]
	if !ok {
		text = networkFaults[netfault.Other]
	}

	reason := advice.Unreachable
	if fault.Kind == netfault.Timeout && !fault.Dialing {
		reason = advice.TooSlow
	}

	return newError(reason, advice.TryAgain, text.before+host+text.behind, text.remedy, fault.Err)
}

// unexpected explains an answer that is not JSON of the sign-in service: a page of a
// gateway or proxy, or a part of an answer.
func (w *wire) unexpected() *Error {
	host := w.host
	reason := advice.BadAnswer
	fate := advice.NeedsFix
	problem := "the answer of " + host + " is not the sign-in service's"
	remedy := "check login_url, and whether a proxy or firewall answers instead"

	switch status := w.status; {
	case status >= 300 && status < 400:
		problem = host + " redirects to " + w.redirectTarget() + ", which is not followed"
		remedy = checkLogin
	case status == http.StatusTooManyRequests:
		reason = advice.Throttled
		fate = advice.TryAgain
		problem = "the sign-in service " + host + " asks for fewer requests"
		remedy = tryLater
	case status >= 500, status == http.StatusRequestTimeout:
		fate = advice.TryAgain
		problem = "the sign-in service " + host + " is not available"
		remedy = tryLater
	case status == http.StatusProxyAuthRequired:
		reason = advice.Unreachable
		problem = "the proxy asks for authentication"
		remedy = "put user and password into proxy"
	case status == http.StatusNotFound:
		problem = host + " has no sign-in endpoint at this address"
		remedy = "check login_url and tenant_id"
	case status >= 200 && status < 300:
		fate = advice.TryAgain
		remedy = "check login_url, and whether a proxy or portal answers instead"
	}

	e := newError(reason, fate, problem, remedy, nil)
	e.Refusal.Status = w.status

	return e
}

// redirectTarget says where a redirect leads. net/http would send the form, with its
// secrets, to wherever a 307 or 308 points.
func (w *wire) redirectTarget() string {
	u, err := url.Parse(w.header.Get("Location"))

	switch {
	case err != nil:
		return "another address"
	case u.Host != "":
		if to := netfault.Host(u); !w.holdsSecret(to) {
			return to
		}

		return "another address"
	case u.Path != "":
		return "another path of the same host"
	}

	return "another address"
}
