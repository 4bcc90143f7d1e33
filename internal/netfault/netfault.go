// Package netfault says of a request that failed what may stand in a log: what kind of failure it was, and a cause that quotes nobody.
//
// Errors of net/http quote what a server sent in place of HTTP, and the address with its query; either may be what we sent: a form with a
// client secret, a token. What servers name themselves (where a redirect leads, ids) is looked at with Host and Shares before it is printed.
package netfault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Kind is what kept an answer away.
type Kind int

// The kinds of a Fault.
const (
	// Other: nothing more is known.
	Other Kind = iota
	// Proxy: the proxy could not be reached, or refuses.
	Proxy
	// Name: the name service does not know the host, or does not answer.
	Name
	// Authority: the certificate is from nobody who is trusted here.
	Authority
	// Certificate: it has expired, or may not be used for this.
	Certificate
	// WrongHost: it is for another host.
	WrongHost
	// NoTLS: what answers does not speak TLS.
	NoTLS
	// Cancelled: we were told to stop.
	Cancelled
	// Timeout: nothing came in time.
	Timeout
	// Refused: nobody listens at the port.
	Refused
	// Broke: the connection ended before the answer did.
	Broke
)

// TLS tells whether the connection failed for its certificate or for want of TLS.
func (k Kind) TLS() bool { return k == Authority || k == Certificate || k == WrongHost || k == NoTLS }

// Fault is why no answer came.
type Fault struct {
	// Kind is for programs.
	Kind Kind
	// Dialing: no connection came about.
	Dialing bool
	// Err is the cause, as far as it may be printed.
	Err error
}

// Of looks at an error of net/http, or of reading the body of an answer.
func Of(err error) Fault {
	f := Fault{Kind: Other, Err: harmless(err)}
	var dns *net.DNSError
	var op *net.OpError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var hostname x509.HostnameError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	f.Dialing = errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
	switch {
	case f.Dialing && op.Op == "proxyconnect":
		f.Kind = Proxy
	case proxyStatus(err) != "":
		f.Kind, f.Dialing = Proxy, true
	case errors.As(err, &dns):
		f.Kind = Name
	case errors.As(err, &authority):
		f.Kind = Authority
	case errors.As(err, &hostname):
		f.Kind = WrongHost
	case errors.As(err, &invalid), errors.As(err, &verify):
		f.Kind = Certificate
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		f.Kind = NoTLS
	case errors.Is(err, context.Canceled):
		f.Kind = Cancelled
	case isTimeout(err):
		f.Kind = Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Kind = Refused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		f.Kind = Broke
	}
	return f
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// errProtocol stands for an error of net/http that may quote what the server sent.
var errProtocol = errors.New("it does not speak proper HTTP")

// harmless gives the part of an error of net/http that may be printed: those of the system, the name service and certificates. Others quote the
// address, whose query may name devices, or what the server sent, which may be our own secret.
func harmless(err error) error {
	var op *net.OpError
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var number syscall.Errno
	var t interface{ Timeout() bool }
	switch {
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("it does not answer in TLS")
	case errors.As(err, &verify):
		return verify
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &op):
		if errors.As(op.Err, &number) {
			return op
		}
		if op.Timeout() {
			return errors.New(op.Op + ": timeout")
		}
		return errors.New(op.Op + " failed")
	case errors.As(err, &number):
		return number
	case proxyStatus(err) != "":
		return errors.New("the proxy answers: " + proxyStatus(err))
	}
	for _, known := range []error{io.ErrUnexpectedEOF, io.EOF, context.DeadlineExceeded, context.Canceled, net.ErrClosed} {
		if errors.Is(err, known) {
			return known
		}
	}
	if errors.As(err, &t) && t.Timeout() {
		return errors.New("timeout")
	}
	return errProtocol
}

// proxyStatus is what a proxy answered to CONNECT, if it is one of HTTP's own phrases: net/http makes an error of the phrase alone, and
// another one is the proxy's own text.
func proxyStatus(err error) string {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	if err == nil {
		return ""
	}
	text := err.Error()
	for code := http.StatusBadRequest; code <= http.StatusNetworkAuthenticationRequired; code++ {
		if phrase := http.StatusText(code); phrase != "" && strings.EqualFold(phrase, text) {
			return phrase
		}
	}
	return ""
}
