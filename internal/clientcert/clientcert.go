// Package clientcert reads the file of a client certificate. Who checks a configuration
// and who signs in judge a file by the same rules, so that what passes the start also
// signs in.
package clientcert

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
)

// Error says what is wrong with a file. It quotes nothing of it: it holds the key.
type Error struct {
	// Problem follows the file's name: "has no private key". Mend is what to do.
	Problem, Mend string
}

// Error is one line.
func (e *Error) Error() string { return "the file " + e.Problem + "; " + e.Mend }

// notRSA: https://learn.microsoft.com/entra/identity-platform/certificate-credentials
var notRSA = &Error{
	"has a private key that is not RSA",
	"make a certificate with an RSA key: Entra takes assertions signed with RSA only",
}

// Parse finds the private key, and the certificate that belongs to it wherever it
// stands. Errors are *Error.
func Parse(text []byte) (*rsa.PrivateKey, *x509.Certificate, error) {
	var (
		key   *rsa.PrivateKey
		certs []*x509.Certificate
	)

	for rest := bytes.TrimSpace(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}

		switch {
		case block.Type == "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, &Error{"has a CERTIFICATE block that cannot be read", "export the certificate again"}
			}

			certs = append(certs, cert)
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, nil, &Error{
				"has an encrypted private key",
				"write it without a passphrase (openssl pkey -in KEY) into a file with mode 0600",
			}
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if key != nil {
				return nil, nil, &Error{
					"has more than one private key",
					"keep the one that belongs to the certificate",
				}
			}

			k, err := parseKey(block)
			if err != nil {
				return nil, nil, err
			}

			key = k
		}
	}

	switch {
	case key == nil && len(certs) == 0:
		return nil, nil, &Error{
			"has neither a certificate nor a private key in PEM form",
			"convert a .pfx with: openssl pkcs12 -in FILE.pfx -nodes -out FILE.pem",
		}
	case key == nil:
		return nil, nil, &Error{"has no private key", "append its PEM"}
	case len(certs) == 0:
		return nil, nil, &Error{"has no certificate", "append its PEM"}
	}

	for _, cert := range certs {
		if key.PublicKey.Equal(cert.PublicKey) {
			return key, cert, nil
		}
	}

	return nil, nil, &Error{
		"has a private key that belongs to none of its certificates",
		"put in the certificate that was made for the key",
	}
}

func parseKey(block *pem.Block) (*rsa.PrivateKey, error) {
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, nil
	}

	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if block.Type == "EC PRIVATE KEY" {
			return nil, notRSA
		}

		return nil, &Error{"has a private key that cannot be read", "export the key again"}
	}

	rsaKey, ok := k.(*rsa.PrivateKey)
	if !ok {
		return nil, notRSA
	}

	return rsaKey, nil
}
