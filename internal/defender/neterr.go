package defender

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

func isDNS(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}

func isTLS(err error) bool {
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	return errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &record) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

// errProtocol stands for an error of net/http that may quote what the server sent.
var errProtocol = errors.New("it does not speak proper HTTP")

// harmless gives the part of an error of net/http that may be printed: those of the system, the name service and certificates. Others quote the
// address, whose query may name devices, or what the server sent, which may be our own token.
func harmless(err error) error {
	var op *net.OpError
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var number syscall.Errno
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
	}
	for _, known := range []error{io.ErrUnexpectedEOF, io.EOF, context.DeadlineExceeded, context.Canceled, net.ErrClosed} {
		if errors.Is(err, known) {
			return known
		}
	}
	return errProtocol
}
