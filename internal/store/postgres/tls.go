package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// protection says how well a connection is protected on its way to another machine.
type protection int

const (
	// unencrypted allows a connection that everybody on the way can read.
	unencrypted protection = iota
	// unverified encrypts, but accepts any server.
	unverified
	// authority accepts every certificate of a trusted authority (sslmode=verify-ca).
	authority
	// verified accepts only a certificate for the host name (sslmode=verify-full).
	verified
)

// String returns the text that `defenderctl check --json` prints.
func (p protection) String() string {
	return [...]string{"off", "unverified", "authority", "verified"}[p]
}

// protectionOf returns what the settings of a connection guarantee.
func protectionOf(c *tls.Config) protection {
	switch {
	case c == nil:
		return unencrypted
	case !c.InsecureSkipVerify:
		return verified
	case c.VerifyPeerCertificate != nil:
		return authority
	default:
		return unverified
	}
}

// endpoint is one of the servers that a connection string names.
type endpoint struct {
	host  string
	port  uint16
	least protection // the weakest of all ways to connect that are tried
}

// endpoints returns the servers that are tried, in their order.
func endpoints(c *pgx.ConnConfig) (list []endpoint) {
	add := func(host string, port uint16, t *tls.Config) {
		at := slices.IndexFunc(list, func(e endpoint) bool { return e.host == host && e.port == port })
		if at < 0 {
			list = append(list, endpoint{host, port, protectionOf(t)})
			return
		}

		list[at].least = min(list[at].least, protectionOf(t))
	}

	add(c.Host, c.Port, c.TLSConfig)

	for _, f := range c.Fallbacks {
		add(f.Host, f.Port, f.TLSConfig)
	}

	return list
}

// name returns the name of a server for people.
func (e endpoint) name() string {
	if strings.HasPrefix(e.host, "/") {
		return e.host
	}

	return net.JoinHostPort(e.host, strconv.Itoa(int(e.port)))
}

// isLocal reports whether a host is reached without a network.
func isLocal(host string) bool {
	ip := net.ParseIP(host)

	return strings.HasPrefix(host, "/") || strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// tlsWarning says what others on the way to a server could do with the settings of the
// connection. It returns "" if the servers are verified, or on this machine.
func tlsWarning(c *pgx.ConnConfig) string {
	const remedy = "add sslmode=verify-full to the connection string of the store, and sslrootcert with the file of " +
		"the authority that signed the server's certificate"

	var plain, open []string

	for _, e := range endpoints(c) {
		switch {
		case isLocal(e.host):
		case e.least == unencrypted:
			plain = append(plain, e.name())
		case e.least == unverified:
			open = append(open, e.name())
		}
	}

	switch {
	case len(plain) > 0:
		return fmt.Sprintf("the connection to %s may go without encryption, so that what is stored, and perhaps the "+
			"password, can be read on the way: %s", strings.Join(plain, ", "), remedy)
	case len(open) > 0:
		return fmt.Sprintf("the connection to %s is encrypted, but anybody could be at its other end: %s",
			strings.Join(open, ", "), remedy)
	default:
		return ""
	}
}

// tlsRemedy says what to do about a connection that failed because of TLS. It returns
// "" if that was not the reason.
func tlsRemedy(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate was signed by an authority that this machine does not trust: set sslrootcert to the " +
			"file with the certificate of that authority"
	}

	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "its certificate is for other names: write one of them into the connection string, or have a " +
			"certificate made for this one"
	}

	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "its certificate has expired, or is not valid yet: renew it on the server, and check the clock " +
				"of this machine"
		}

		return "its certificate is not valid: have a new one made for the server"
	}

	text := err.Error()

	switch {
	case strings.Contains(text, "server refused TLS connection"):
		return "it has no TLS, which sslmode asks for: set ssl = on in postgresql.conf"
	case strings.Contains(text, "remote error: tls: "):
		return "it does not accept the TLS of this client: check the certificate in sslcert, and the authorities in " +
			"ssl_ca_file of the server"
	case strings.Contains(text, "tls: "), strings.Contains(text, "x509: "):
		return "TLS with it is not possible: check sslmode, sslrootcert and the certificate of the server"
	default:
		return ""
	}
}
