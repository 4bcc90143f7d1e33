// Package netfault explains why a request failed in a way that is safe to log: the kind
// of the failure, and a cause that quotes no other machine.
//
// Errors of net/http quote the address with its query, and what a server sent that is
// not HTTP. Either may hold what we sent: a form with a client secret, a token. Check
// what a server names itself (the host of a redirect, ids) with Host and Shares before
// printing it.
package netfault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
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
		t      interface{ Timeout() bool }
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

	if errors.As(err, &t) && t.Timeout() {
		return errors.New("timeout")
	}

	return errProtocol
}

// ProxyError is a proxy's refusal to make a connection.
type ProxyError struct {
	// Status is the HTTP status that it answered to CONNECT.
	Status int
}

// Error implements error. It quotes nothing of the proxy's text.
func (e *ProxyError) Error() string {
	text := fmt.Sprintf("the proxy answers: %d %s", e.Status, http.StatusText(e.Status))
	return strings.TrimSpace(text)
}

// CheckProxy returns a ProxyError for every answer to CONNECT except 200. It is for
// http.Transport.OnProxyConnectResponse: without it the error of net/http has only the
// text of the status line, which a proxy may choose freely.
func CheckProxy(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}

	return &ProxyError{Status: res.StatusCode}
}

// proxyStatus returns the status with which a proxy answered to CONNECT, 0 if err is
// something else. Without CheckProxy it recognises only the standard texts of HTTP,
// since the error of net/http is the text of the status line.
func proxyStatus(err error) int {
	var refusal *ProxyError
	if errors.As(err, &refusal) {
		return refusal.Status
	}

	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}

	if err == nil {
		return 0
	}

	text := err.Error()
	for code := http.StatusBadRequest; code <= http.StatusNetworkAuthenticationRequired; code++ {
		if phrase := http.StatusText(code); phrase != "" && strings.EqualFold(phrase, text) {
			return code
		}
	}

	return 0
}

// streamReset receives the error of net/http's HTTP/2 for a stream that was reset:
// errors.As fills in any struct that has these fields.
type streamReset struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error, for errors.As.
func (e streamReset) Error() string { return resetName(e.Code) }

// resetNames are the codes of RFC 9113 section 7.
var resetNames = []string{
	"NO_ERROR",
	"PROTOCOL_ERROR",
	"INTERNAL_ERROR",
	"FLOW_CONTROL_ERROR",
	"SETTINGS_TIMEOUT",
	"STREAM_CLOSED",
	"FRAME_SIZE_ERROR",
	"REFUSED_STREAM",
	"CANCEL",
	"COMPRESSION_ERROR",
	"CONNECT_ERROR",
	"ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY",
	"HTTP_1_1_REQUIRED",
}

// resetName returns the name of an HTTP/2 error code.
func resetName(code uint32) string {
	if int(code) < len(resetNames) {
		return "HTTP/2 " + resetNames[code]
	}

	return fmt.Sprintf("HTTP/2 code %d", code)
}

// resetCode names the code with which an HTTP/2 server ended a request; it returns "" if
// err is something else. The error of a whole connection has no exported type: the
// beginning of its text identifies it. The rest is not used, since it quotes the server.
func resetCode(err error) string {
	var reset streamReset
	if errors.As(err, &reset) {
		return resetName(reset.Code)
	}

	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		switch text := inner.Error(); {
		case strings.HasPrefix(text, "http2: server sent GOAWAY"):
			return "HTTP/2 GOAWAY"
		case strings.HasPrefix(text, "http2: client connection lost"):
			return "HTTP/2 connection lost"
		case strings.HasPrefix(text, "connection error: "):
			return "HTTP/2 connection error"
		}
	}

	return ""
}
