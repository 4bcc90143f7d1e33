// Package clientcert reads the file of a client certificate. The check of a
// configuration and the sign-in both use it, so that a file that passes the check can
// be used to sign in.
package clientcert

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"

	"fluent-bit-defender/internal/advice"
)

// Error says what is wrong with a file. It quotes nothing of the file, which contains
// the private key.
type Error struct {
	// Fault is about "the file".
	advice.Fault
	// Defect is the Problem without its subject, such as "has no private key", for a
	// message that names the file itself.
	Defect string
}

func newError(defect, remedy string) *Error {
	return &Error{
		Fault: advice.Fault{
			Reason:  advice.CredentialWrong,
			Problem: "the file " + defect,
			Remedy:  remedy,
			Fate:    advice.NeedsFix,
			Scope:   advice.ScopeCredential,
		},
		Defect: defect,
	}
}

// errNotRSA is about a key of another kind:
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials
var errNotRSA = newError(
	"has a private key that is not RSA",
	"make a certificate with an RSA key: Entra takes assertions signed with RSA only",
)

// Parse returns the private key in PEM text, and the certificate that belongs to it;
// the order in the text does not matter. Its errors are *Error.
func Parse(text []byte) (*rsa.PrivateKey, *x509.Certificate, error) {
	key, certs, err := readBlocks(bytes.TrimSpace(text))

	switch {
	case err != nil:
		return nil, nil, err
	case key == nil && len(certs) == 0:
		return nil, nil, newError(
			"has neither a certificate nor a private key in PEM form",
			"convert a .pfx with: openssl pkcs12 -in FILE.pfx -nodes -out FILE.pem",
		)
	case key == nil:
		return nil, nil, newError("has no private key", "append its PEM")
	case len(certs) == 0:
		return nil, nil, newError("has no certificate", "append its PEM")
	}

	for _, cert := range certs {
		if key.PublicKey.Equal(cert.PublicKey) {
			return key, cert, nil
		}
	}

	return nil, nil, newError(
		"has a private key that belongs to none of its certificates",
		"put in the certificate that was made for the key",
	)
}

// readBlocks returns the key and the certificates in PEM text. key is nil if there is
// none.
func readBlocks(text []byte) (key *rsa.PrivateKey, certs []*x509.Certificate, err error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return key, certs, nil
		}

		text = rest

		switch {
		case block.Type == "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, newError("has a CERTIFICATE block that cannot be read", "export the certificate again")
			}

			certs = append(certs, cert)
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, nil, newError(
				"has an encrypted private key",
				"write it without a passphrase (openssl pkey -in KEY) into a file with mode 0600",
			)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if key != nil {
				return nil, nil, newError(
					"has more than one private key",
					"keep the one that belongs to the certificate",
				)
			}

			key, err = parseKey(block)
			if err != nil {
				return nil, nil, err
			}
		}
	}
}

// parseKey returns the RSA key of a block in PKCS #1 or PKCS #8 form.
func parseKey(block *pem.Block) (*rsa.PrivateKey, error) {
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}

	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil && block.Type != "EC PRIVATE KEY" {
		return nil, newError("has a private key that cannot be read", "export the key again")
	}

	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errNotRSA
	}

	return key, nil
}
