package tokens

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// networkError explains why no answer came. The addresses in these errors hold no secret: tokens travel in bodies only.
func networkError(err error, host string) *Error {
	e := &Error{Fate: Transient, Exit: ExitFailed, Err: plain(err)}
	var dns *net.DNSError
	var op *net.OpError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var hostname x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect" || strings.Contains(err.Error(), "proxyconnect"):
		e.Sentence, e.Remedy = "the proxy cannot be reached", "check proxy (or HTTPS_PROXY)"
	case errors.As(err, &dns):
		e.Sentence, e.Remedy = "the name "+host+" cannot be resolved", "check login_url, DNS and proxy"
	case errors.As(err, &authority):
		e.Sentence, e.Remedy = "the certificate of "+host+" is from an unknown authority", "if a proxy inspects TLS, give its CA in ca_file"
	case errors.As(err, &invalid):
		e.Sentence, e.Remedy = "the certificate of "+host+" is not valid", "check this machine's clock, and ca_file if a proxy inspects TLS"
	case errors.As(err, &hostname):
		e.Sentence, e.Remedy = "the certificate shown is not for "+host, "check login_url and proxy"
	case errors.As(err, &record):
		e.Sentence, e.Remedy = host+" does not speak TLS", "check login_url and proxy"
	case errors.Is(err, context.Canceled):
		e.Sentence = "the sign-in was cancelled"
	case isTimeout(err):
		e.Sentence, e.Remedy = host+" did not answer in time", "check the network, the firewall and proxy"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Sentence, e.Remedy = host+" refused the connection", "check login_url, the firewall and proxy"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		e.Sentence, e.Remedy = "the connection to "+host+" broke", "check the network, the firewall and proxy"
	default:
		e.Sentence, e.Remedy = host+" cannot be reached", "check the network, login_url, the firewall and proxy"
	}
	return e
}

// plain drops the wrapping of net/http, which repeats method and address.
func plain(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// strange explains an answer that is not the sign-in service's JSON: a gateway's page, a proxy's, or a cut one.
func strange(status int, header http.Header, host string) *Error {
	e := &Error{Fate: Config, Exit: ExitFailed, Status: status}
	switch {
	case status >= 300 && status < 400:
		// net/http would send the form, secret and all, to wherever a 307 or 308 points.
		target := "another address"
		if u, err := url.Parse(header.Get("Location")); err == nil && u.Host != "" {
			target = cleaned(u.Scheme+"://"+u.Host, 200)
		} else if err == nil && u.Path != "" {
			target = "another path of the same host"
		}
		e.Sentence, e.Remedy = host+" redirects to "+target+", which is not followed", "check login_url and proxy"
	case status == http.StatusTooManyRequests, status >= 500, status == http.StatusRequestTimeout:
		e.Fate = Transient
		e.Sentence, e.Remedy = "the sign-in service "+host+" is not available", wait
		if status == http.StatusTooManyRequests {
			e.Sentence = "the sign-in service " + host + " asks for fewer requests"
		}
	case status == http.StatusProxyAuthRequired:
		e.Sentence, e.Remedy = "the proxy asks for authentication", "put user and password into proxy"
	case status == http.StatusNotFound:
		e.Sentence, e.Remedy = host+" has no sign-in endpoint at this address", "check login_url and tenant_id"
	case status >= 200 && status < 300:
		e.Fate = Transient
		e.Sentence, e.Remedy = "the answer of "+host+" is not the sign-in service's", "check login_url, and whether a proxy or portal answers instead"
	default:
		e.Sentence, e.Remedy = "the answer of "+host+" is not the sign-in service's", "check login_url, and whether a proxy or firewall answers instead"
	}
	return e
}

// maxRetryAfter bounds what is believed; the caller has its own, shorter limit.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads seconds or an HTTP date (RFC 9110 section 10.2.3); 0 when absent, past or unreadable. A date counts from the
// answer's own Date, so that a wrong local clock does not matter.
func retryAfter(h http.Header, now time.Time) time.Duration {
	s := strings.TrimSpace(h.Get("Retry-After"))
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if !(n > 0) {
			return 0
		}
		return time.Duration(min(n, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	if d, err := http.ParseTime(h.Get("Date")); err == nil {
		now = d
	}
	return min(max(t.Sub(now), 0), maxRetryAfter)
}
