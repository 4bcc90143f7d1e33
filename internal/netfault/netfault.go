// Package netfault explains why a request failed in a way that is safe to log: the kind
// of the failure, and a cause that quotes no other machine.
//
// Errors of net/http quote the address with its query, and what a server sent that is
// not HTTP. Either may hold what we sent: a form with a client secret, a token. Texts
// that a server chose (the host of a redirect, ids) are checked with Host and Shares
// before they are printed.
package netfault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
)

// Kind is why no answer came.
type Kind int

// The kinds of a Fault.
const (
	// Other: nothing more is known.
	Other Kind = iota
	// Proxy: the proxy cannot be reached, or refuses.
	Proxy
	// ProxySignIn: the proxy asks for a user and a password (407).
	ProxySignIn
	// Name: the name service does not know the host, or does not answer.
	Name
	// Authority: the certificate's issuer is not trusted here.
	Authority
	// Certificate: the certificate has expired, or must not be used for a server.
	Certificate
	// WrongHost: the certificate is for another host.
	WrongHost
	// NoTLS: the server does not speak TLS.
	NoTLS
	// Cancelled: the caller told us to stop.
	Cancelled
	// Timeout: nothing came in time.
	Timeout
	// Refused: nothing listens at the port.
	Refused
	// Broke: the connection ended before the answer did.
	Broke
	// Reset: an HTTP/2 server ended the request, or the whole connection, with a code.
	Reset
)

// TLS reports whether the certificate, or missing TLS, made the connection fail.
func (k Kind) TLS() bool { return k == Authority || k == Certificate || k == WrongHost || k == NoTLS }

// Fault is why no answer came.
type Fault struct {
	// Kind is the kind of the failure.
	Kind Kind
	// Dialing says that there was no connection.
	Dialing bool
	// Err is the part of the cause that may be printed.
	Err error
}

// Of explains an error of net/http, or of reading the body of an answer.
func Of(err error) Fault {
	var op *net.OpError

	f := Fault{Err: harmless(err)}

	f.Dialing = errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
	switch {
	case f.Dialing && op.Op == "proxyconnect":
		f.Kind = Proxy
	case proxyStatus(err) == http.StatusProxyAuthRequired:
		f.Kind, f.Dialing = ProxySignIn, true
	case proxyStatus(err) != 0:
		f.Kind, f.Dialing = Proxy, true
	default:
		f.Kind = kindOf(err)
	}

	return f
}

// kindOf returns the kind of a failure that is not the proxy's.
func kindOf(err error) Kind {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		hostname  x509.HostnameError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &dns):
		return Name
	case errors.As(err, &authority):
		return Authority
	case errors.As(err, &hostname):
		return WrongHost
	case errors.As(err, &invalid), errors.As(err, &verify):
		return Certificate
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return NoTLS
	case errors.Is(err, context.Canceled):
		return Cancelled
	case resetCode(err) != "":
		return Reset
	case isTimeout(err):
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	}

	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, end) {
			return Broke
		}
	}

	return Other
}

// isTimeout reports whether err says that time ran out.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// errProtocol replaces an error of net/http that may quote what the server sent.
var errProtocol = errors.New("it does not answer in valid HTTP")

// harmless returns the part of an error of net/http that may be printed: errors of the
// system, the name service and certificates. Others quote the address, whose query may
// name devices, or what the server sent, which may be our own secret.
func harmless(err error) error {
	var (
		op     *net.OpError
		dns    *net.DNSError
		record tls.RecordHeaderError
		verify *tls.CertificateVerificationError
		number syscall.Errno
	)

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
	case proxyStatus(err) != 0:
		return &ProxyError{Status: proxyStatus(err)}
	case resetCode(err) != "":
		return errors.New(resetCode(err))
	}

	for _, known := range []error{
		io.ErrUnexpectedEOF, io.EOF, context.DeadlineExceeded, context.Canceled, net.ErrClosed,
	} {
		if errors.Is(err, known) {
			return known
		}
	}

	if isTimeout(err) {
		return errors.New("timeout")
	}

	return errProtocol
}
