package tokens

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"fluent-bit-defender/internal/clientcert"
	"fluent-bit-defender/internal/secret"
)

// Credential proves to the sign-in service that we are the application. Secret and
// Certificate make one.
type Credential interface {
	// prove adds to form what a token request to tokenURL needs.
	prove(form url.Values, tokenURL, clientID string, now time.Time) error
	// accepted is called with the form of a request that the service accepted.
	accepted(form url.Values)
	// another adds to form, in place of what the service refused in it, another value
	// that it may accept; ok is false if there is none. tried are the values refused
	// before; old says that the value is not the configured one any more.
	another(form url.Values, tried []string) (old, ok bool)
	// fingerprint changes when the secret or certificate behind it does.
	fingerprint() ([32]byte, error)
}

// Secret returns an application (client) secret. read is called for every request, so
// that a file may change while the program runs. White space around the value is
// dropped: Entra refuses a pasted line break (AADSTS7000215).
//
// While a secret is rotated, the file may hold the new one before the service knows it,
// or the old one a moment longer than the service does. So a value that is refused is
// read again, and the last one that was accepted is tried too.
func Secret(read func() (secret.Text, error)) Credential { return &secretCredential{read: read} }

type secretCredential struct {
	read func() (secret.Text, error)

	mu   sync.Mutex
	good secret.Text // the last one that the service accepted
}

const secretField = "client_secret"

func (c *secretCredential) accepted(form url.Values) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.good = secret.New(form.Get(secretField))
}

func (c *secretCredential) another(form url.Values, tried []string) (old, ok bool) {
	c.mu.Lock()
	good := c.good
	c.mu.Unlock()

	now, _ := c.value() // a file that cannot be read has no other value

	for i, t := range []secret.Text{now, good} {
		if !t.IsZero() && !slices.Contains(tried, t.Reveal()) {
			form.Set(secretField, t.Reveal())
			return i > 0, true
		}
	}

	return false, false
}

func (c *secretCredential) value() (secret.Text, error) {
	t, err := c.read()
	if err != nil {
		return secret.Text{}, fmt.Errorf("client secret: %w", err)
	}

	t = secret.New(strings.TrimSpace(t.Reveal()))
	if t.IsZero() {
		return secret.Text{}, errors.New("client secret is empty")
	}

	return t, nil
}

func (c *secretCredential) prove(form url.Values, _, _ string, _ time.Time) error {
	t, err := c.value()
	if err == nil {
		form.Set(secretField, t.Reveal())
	}

	return err
}

func (c *secretCredential) fingerprint() ([32]byte, error) {
	t, err := c.value()
	return t.Fingerprint(), err
}

// String returns what it is, without its value.
func (c *secretCredential) String() string { return "client secret" }

// GoString returns the same, for %#v.
func (c *secretCredential) GoString() string { return c.String() }

// Certificate returns a credential that signs a client assertion with the key of a
// certificate. read returns PEM with both. It is called for every request, so that a
// file may change while the program runs.
//
// Format: https://learn.microsoft.com/entra/identity-platform/certificate-credentials
func Certificate(read func() ([]byte, error)) Credential {
	return &certificateCredential{read: read, cache: &parsedPEM{}}
}

func (c *certificateCredential) accepted(url.Values) {}

// another always reports false: the service knows a new certificate before the file is
// replaced.
func (c *certificateCredential) another(url.Values, []string) (old, ok bool) { return false, false }

type certificateCredential struct {
	read  func() ([]byte, error)
	cache *parsedPEM
}

// parsedPEM keeps the last parsed file: parsing an RSA key checks its primes, which is
// slow.
type parsedPEM struct {
	mu   sync.Mutex
	sum  [32]byte
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func (c *certificateCredential) load() (*rsa.PrivateKey, *x509.Certificate, [32]byte, error) {
	text, err := c.read()
	if err != nil {
		return nil, nil, [32]byte{}, fmt.Errorf("client certificate: %w", err)
	}

	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()

	sum := sha256.Sum256(text)
	if c.cache.key == nil || c.cache.sum != sum {
		key, cert, err := clientcert.Parse(text)
		if err != nil {
			return nil, nil, sum, fmt.Errorf("client certificate: %w", err)
		}

		c.cache.key = key
		c.cache.cert = cert
		c.cache.sum = sum
	}

	return c.cache.key, c.cache.cert, sum, nil
}

// backdated is how far before now an assertion begins to be valid, and assertionLife
// how long it is valid. A clock that is a little fast must not put the beginning into
// the service's future (AADSTS700024).
const (
	backdated     = time.Minute
	assertionLife = 10 * time.Minute
)

func (c *certificateCredential) prove(form url.Values, tokenURL, clientID string, now time.Time) error {
	key, cert, _, err := c.load()
	if err != nil {
		return err
	}

	token := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.MapClaims{
		"aud": tokenURL,
		"iss": clientID,
		"sub": clientID,
		"jti": newGUID(),
		"nbf": now.Add(-backdated).Unix(),
		"iat": now.Add(-backdated).Unix(),
		"exp": now.Add(assertionLife - backdated).Unix(),
	})
	thumbprint := sha256.Sum256(cert.Raw)
	token.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(thumbprint[:])

	signed, err := token.SignedString(key)
	if err != nil {
		return fmt.Errorf("client certificate: signing the assertion: %w", err)
	}

	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", signed)

	return nil
}

func (c *certificateCredential) fingerprint() ([32]byte, error) {
	_, _, sum, err := c.load()
	return sum, err
}

// String returns what it is, without its value.
func (c *certificateCredential) String() string { return "client certificate" }

// GoString returns the same, for %#v.
func (c *certificateCredential) GoString() string { return c.String() }

// CertificateInfo is what may be shown of a client certificate.
type CertificateInfo struct {
	// Subject is its distinguished name.
	Subject string
	// NotBefore and NotAfter bound its validity.
	NotBefore, NotAfter time.Time
	// Thumbprint is the SHA-1 of the certificate in upper-case hex, as the Entra portal
	// shows it.
	Thumbprint string
}

// InspectCertificate checks PEM with certificate and private key as a sign-in will use
// it, and returns what may be shown of the certificate.
func InspectCertificate(text []byte) (CertificateInfo, error) {
	_, cert, err := clientcert.Parse(text)
	if err != nil {
		return CertificateInfo{}, err
	}

	return CertificateInfo{
		Subject:    cert.Subject.String(),
		NotBefore:  cert.NotBefore,
		NotAfter:   cert.NotAfter,
		Thumbprint: sha1Hex(cert.Raw),
	}, nil
}

// newGUID returns a random (version 4) UUID:
// https://www.rfc-editor.org/rfc/rfc9562#section-5.4
func newGUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, crypto/rand ends the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80

	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
