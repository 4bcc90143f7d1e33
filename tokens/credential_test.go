package tokens_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/tokens"
)

// pair is a key with its certificate in PEM.
type pair struct {
	key       *rsa.PrivateKey
	der       []byte
	keyPEM    []byte
	certPEM   []byte
	notAfter  time.Time
	otherCert []byte
}

var makePair = sync.OnceValue(func() pair {
	p := pair{notAfter: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	create := func() (*rsa.PrivateKey, []byte) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}

		template := &x509.Certificate{
			SerialNumber: big.NewInt(1),
			Subject:      pkix.Name{CommonName: "collector"},
			NotBefore:    p.notAfter.AddDate(-1, 0, 0),
			NotAfter:     p.notAfter,
		}

		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}

		return key, der
	}
	_, other := create()
	p.key, p.der = create()
	p.otherCert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other})
	p.certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.der})
	p.keyPEM = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(p.key)})

	return p
})

func join(parts ...[]byte) []byte { return bytes.Join(parts, []byte("\n")) }

func TestTheAssertionIsWhatEntraDocuments(t *testing.T) {
	p, c := makePair(), newClock()

	for name, version := range map[string]tokens.Version{"v1": tokens.V1, "v2": tokens.V2} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			a := app(version)
			a.Credential = tokens.Certificate(
				func() ([]byte, error) { return join(p.otherCert, p.certPEM, p.keyPEM), nil },
			)
			cl := tokens.Client{App: a, HTTP: f.client(), Now: c.Now}
			ids := map[string]bool{}

			for range 2 {
				if _, err := cl.ClientCredentials(t.Context()); err != nil {
					t.Fatal(err)
				}

				sent := f.sent()

				form := sent[len(sent)-1].form
				if form.Has("client_secret") ||
					form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
					t.Errorf("sent %v", form)
				}

				claims := jwt.MapClaims{}

				token, err := jwt.NewParser(jwt.WithValidMethods([]string{"PS256"}), jwt.WithTimeFunc(c.Now)).
					ParseWithClaims(form.Get("client_assertion"), claims,
						func(*jwt.Token) (any, error) { return p.key.Public(), nil })
				if err != nil {
					t.Fatal(err)
				}

				sum := sha256.Sum256(p.der)
				if token.Header["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) ||
					token.Header["typ"] != "JWT" {
					t.Errorf("header %v", token.Header)
				}

				if want := loginURL + strings.SplitN(sent[len(sent)-1].path, "?", 2)[0]; claims["aud"] != want ||
					claims["iss"] != client ||
					claims["sub"] != client {
					t.Errorf("claims %v", claims)
				}

				nbf, exp := claims["nbf"].(float64), claims["exp"].(float64)
				if now := float64(c.Now().Unix()); nbf != now-60 || exp-nbf != 600 {
					t.Errorf("nbf %v, exp %v at %v", nbf, exp, now)
				}

				ids[claims["jti"].(string)] = true
			}

			if len(ids) != 2 {
				t.Error("an assertion id was used twice")
			}
		})
	}
}

func TestTheFaultsOfACertificateFileAreNamed(t *testing.T) {
	p := makePair()

	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	marshal := func(k crypto.PrivateKey) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}

		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}

	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	for name, tc := range map[string]struct {
		text []byte
		want string // in the error; empty: accepted
	}{
		"key first":           {join(p.keyPEM, p.certPEM), ""},
		"PKCS 8":              {join(p.certPEM, marshal(p.key)), ""},
		"text around":         {join([]byte("Bag Attributes\n  x: y"), p.certPEM, p.keyPEM, []byte("the end")), ""},
		"no key":              {p.certPEM, "no private key"},
		"no certificate":      {p.keyPEM, "no certificate"},
		"another's key":       {join(p.otherCert, p.keyPEM), "belongs to none"},
		"two keys":            {join(p.certPEM, p.keyPEM, p.keyPEM), "more than one"},
		"elliptic curve":      {join(p.certPEM, marshal(ec)), "not RSA"},
		"encrypted":           {join(p.certPEM, encrypted), "without a passphrase"},
		"not PEM":             {[]byte("\x30\x82binary"), "pkcs12"},
		"empty":               {nil, "pkcs12"},
		"damaged certificate": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "CERTIFICATE"},
		"damaged private key": {
			join(p.certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})),
			"cannot be read",
		},
		"classic EC key block": {pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")}), "not RSA"},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := tokens.InspectCertificate(tc.text)
			if tc.want == "" {
				if err != nil || !info.NotAfter.Equal(p.notAfter) || info.Subject != "CN=collector" ||
					len(info.Thumbprint) != 40 {
					t.Errorf("%+v, %v", info, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestACertificateFileIsReadAgain(t *testing.T) {
	p := makePair()
	f, c := &fake{}, newClock()
	cfg := appOnly(f, c)
	text, fault := p.certPEM, error(nil)
	cfg.App.Credential = tokens.Certificate(func() ([]byte, error) { return text, fault })

	s := newSource(t, cfg)
	if e := fails(t, s); e.Fate != advice.NeedsFix || !strings.Contains(e.Error(), "no private key") ||
		len(f.sent()) != 0 {
		t.Errorf("%v", e)
	}

	fault = errors.New("permission denied")
	if e := fails(t, s); !errors.Is(e, fault) {
		t.Errorf("%v", e)
	}

	text, fault = join(p.certPEM, p.keyPEM), nil

	if !s.Changed(t.Context()) {
		t.Error("a new certificate is not noticed")
	}

	token(t, s)
}
