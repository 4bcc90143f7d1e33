package tokens

import (
	"net/http"
	"net/url"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/netfault"
)

// networkError explains why no answer came. Nothing that a server sent is in it: it may
// be what we sent.
func networkError(err error, host string) *Error {
	fault := netfault.Of(err)

	e := newError(advice.TryAgain, "", "", fault.Err)
	switch fault.Kind {
	case netfault.Proxy:
		e.Problem, e.Remedy = "there is no way through the proxy to "+host, "check proxy (or HTTPS_PROXY)"
	case netfault.ProxySignIn:
		e.Problem = "the proxy on the way to " + host + " asks for a user and a password"
		e.Remedy = "put them into proxy or HTTPS_PROXY, as http://user:password@host:port"
	case netfault.Reset:
		e.Problem = host + " broke the request off (an HTTP/2 reset)"
		e.Remedy = "if it lasts, check whether a proxy or firewall on the way limits requests"
	case netfault.Name:
		e.Problem, e.Remedy = "the name "+host+" cannot be resolved", "check login_url, DNS and proxy"
	case netfault.Authority:
		e.Problem, e.Remedy = "the certificate of "+host+" is from an unknown authority", "if a proxy inspects TLS, give its CA in ca_file"
	case netfault.Certificate:
		e.Problem, e.Remedy = "the certificate of "+host+" is not valid", "check this machine's clock, and ca_file if a proxy inspects TLS"
	case netfault.WrongHost:
		e.Problem, e.Remedy = "the certificate shown is not for "+host, "check login_url and proxy"
	case netfault.NoTLS:
		e.Problem, e.Remedy = host+" does not speak TLS", "check login_url and proxy"
	case netfault.Cancelled:
		e.Problem = "the sign-in was cancelled"
	case netfault.Timeout:
		e.Problem, e.Remedy = host+" did not answer in time", "check the network, the firewall and proxy"
	case netfault.Refused:
		e.Problem, e.Remedy = host+" refused the connection", "check login_url, the firewall and proxy"
	case netfault.Broke:
		e.Problem, e.Remedy = "the connection to "+host+" broke", "check the network, the firewall and proxy"
	default:
		e.Problem, e.Remedy = host+" cannot be reached", "check the network, login_url, the firewall and proxy"
	}

	return e
}

// strange explains an answer that is not the sign-in service's JSON: a gateway's page, a
// proxy's, or a cut one.
func (w *wire) strange(status int, header http.Header) *Error {
	e, host := newError(advice.NeedsFix, "", "", nil), w.host
	e.Refusal.Status = status
	switch {
	case status >= 300 && status < 400:
		// net/http would send the form, secret and all, to wherever a 307 or 308 points.
		target := "another address"

		if u, err := url.Parse(header.Get("Location")); err == nil && u.Host != "" {
			if to := netfault.Host(u); !w.sentOut(to) {
				target = to
			}
		} else if err == nil && u.Path != "" {
			target = "another path of the same host"
		}

		e.Problem, e.Remedy = host+" redirects to "+target+", which is not followed", "check login_url and proxy"
	case status == http.StatusTooManyRequests, status >= 500, status == http.StatusRequestTimeout:
		e.Fate = advice.TryAgain

		e.Problem, e.Remedy = "the sign-in service "+host+" is not available", tryLater
		if status == http.StatusTooManyRequests {
			e.Problem = "the sign-in service " + host + " asks for fewer requests"
		}
	case status == http.StatusProxyAuthRequired:
		e.Problem, e.Remedy = "the proxy asks for authentication", "put user and password into proxy"
	case status == http.StatusNotFound:
		e.Problem, e.Remedy = host+" has no sign-in endpoint at this address", "check login_url and tenant_id"
	case status >= 200 && status < 300:
		e.Fate = advice.TryAgain
		e.Problem, e.Remedy = "the answer of "+host+" is not the sign-in service's", "check login_url, and whether a proxy or portal answers instead"
	default:
		e.Problem, e.Remedy = "the answer of "+host+" is not the sign-in service's", "check login_url, and whether a proxy or firewall answers instead"
	}

	return e
}
