package simulator_test

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"maps"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"fluent-bit-defender/internal/testbed/simulator"
)

// signer makes assertions of the client at contoso's token endpoint.
type signer struct {
	key, other  *rsa.PrivateKey
	cert        *x509.Certificate
	sum1        string // SHA-1 of the certificate, padded
	x5t, x5t256 map[string]any
}

const assertionPath = contoso + "/oauth2/v2.0/token"

func newSigner(t *testing.T) *signer {
	t.Helper()

	s := &signer{key: newKey(t), other: newKey(t)}

	now := newClock().Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "mssp"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, &s.key.PublicKey, s.key)
	if err != nil {
		t.Fatal(err)
	}

	if s.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}

	sum1, sum256 := sha1.Sum(der), sha256.Sum256(der)
	s.sum1 = base64.StdEncoding.EncodeToString(sum1[:])
	s.x5t = map[string]any{"x5t": base64.RawURLEncoding.EncodeToString(sum1[:])}
	s.x5t256 = map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum256[:])}

	return s
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}

	return key
}

// start starts a simulator that knows the certificate.
func (s *signer) start(t *testing.T) fixture {
	t.Helper()

	return start(t, func(c *simulator.Config) {
		c.Tenants[0].Apps[0].Certificates = []*x509.Certificate{s.cert}
	})
}

// assertion says in what an assertion differs from the usual one.
type assertion struct {
	method jwt.SigningMethod
	header map[string]any
	claims jwt.MapClaims // nil: the claim is absent
	key    *rsa.PrivateKey
	typ    string
	code   int // of the refusal; 0: accepted
}

// sign returns the request for a token with an assertion.
func (s *signer) sign(f fixture, a assertion) url.Values {
	f.t.Helper()

	claims := jwt.MapClaims{
		"aud": f.LoginURL() + "/" + assertionPath,
		"iss": client,
		"sub": client,
		"jti": "id-1",
		"nbf": f.clock.Now().Unix(),
		"exp": f.clock.Now().Add(10 * time.Minute).Unix(),
	}
	maps.Copy(claims, a.claims)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })

	token := jwt.NewWithClaims(a.method, claims)
	maps.Copy(token.Header, a.header)

	key := s.key
	if a.key != nil {
		key = a.key
	}

	text, err := token.SignedString(key)
	if err != nil {
		f.t.Fatal(err)
	}

	typ := cmp.Or(a.typ, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")

	return with(appV2, "client_secret", "", "client_assertion_type", typ, "client_assertion", text)
}

// ps is PS256 with a salt as long as the hash, which the service demands.
var ps = &jwt.SigningMethodRSAPSS{
	SigningMethodRSA: jwt.SigningMethodPS256.SigningMethodRSA,
	Options:          &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash},
}

// assertions are assertions that are accepted or refused.
func (s *signer) assertions() map[string]assertion {
	rs := jwt.SigningMethodRS256
	padded := map[string]any{"x5t": s.sum1}
	in := func(d time.Duration) int64 { return newClock().Now().Add(d).Unix() }
	early := jwt.MapClaims{"nbf": in(10 * time.Minute), "exp": in(20 * time.Minute)}
	late := jwt.MapClaims{"nbf": in(-20 * time.Minute), "exp": in(-10 * time.Minute)}
	fast := jwt.MapClaims{"nbf": in(4 * time.Minute), "exp": in(14 * time.Minute)}
	common := jwt.MapClaims{"aud": "https://login.microsoftonline.com/common/oauth2/v2.0/token"}

	return map[string]assertion{
		"PS256 with x5t#S256 is accepted":              {method: ps, header: s.x5t256},
		"RS256 with x5t is accepted":                   {method: rs, header: s.x5t},
		"a padded thumbprint is accepted":              {method: rs, header: padded},
		"a clock that is four minutes fast is allowed": {method: ps, header: s.x5t256, claims: fast},

		"another key is refused": {
			method: ps,
			header: s.x5t256,
			key:    s.other,
			code:   700027,
		},
		"no thumbprint is refused":                 {method: ps, code: 700027},
		"PS256 with SHA-1's thumbprint is refused": {method: ps, header: s.x5t, code: 700027},
		"another algorithm is refused":             {method: jwt.SigningMethodRS512, header: s.x5t, code: 700027},
		"another type is refused": {
			method: ps,
			header: s.x5t256,
			typ:    "jwt",
			code:   900144,
		},

		"another audience is refused":           s.withClaims(common, 700023),
		"another issuer is refused":             s.withClaims(jwt.MapClaims{"iss": public}, 700021),
		"another subject is refused":            s.withClaims(jwt.MapClaims{"iss": public, "sub": public}, 700021),
		"one that has ended is refused":         s.withClaims(late, 700024),
		"one that is still to begin is refused": s.withClaims(early, 700024),
		"one without an end is refused":         s.withClaims(jwt.MapClaims{"exp": nil}, 700024),
		"one that lives a day is refused":       s.withClaims(jwt.MapClaims{"exp": in(24 * time.Hour)}, 700024),
		"one without an id is refused":          s.withClaims(jwt.MapClaims{"jti": nil}, 50027),
	}
}

// withClaims returns an assertion that is refused for its claims.
func (s *signer) withClaims(claims jwt.MapClaims, code int) assertion {
	return assertion{
		method: ps,
		header: s.x5t256,
		claims: claims,
		code:   code,
	}
}

func TestClientAssertion(t *testing.T) {
	s := newSigner(t)

	for name, test := range s.assertions() {
		t.Run(name, func(t *testing.T) {
			f := s.start(t)
			v := s.sign(f, test)

			a := f.token(assertionPath, v)
			if test.code != 0 {
				if a.status < 400 || a.code(t) != test.code {
					t.Errorf("got %d %s, want %d", a.status, a.body, test.code)
				}

				return
			}

			if a.status != 200 {
				t.Fatalf("got %d %s", a.status, a.body)
			}

			if again := f.token(assertionPath, v); again.status != 401 || again.code(t) != 50012 {
				t.Errorf("replayed: %d %s", again.status, again.body)
			}
		})
	}
}

func TestAnAssertionIsAJWTAndStandsAlone(t *testing.T) {
	s := newSigner(t)
	f := s.start(t)
	v := s.sign(f, assertion{method: ps, header: s.x5t256})

	if a := f.token(assertionPath, with(v, "client_secret", secret)); a.code(t) != 9002313 {
		t.Errorf("a secret beside an assertion: %s", a.body)
	}

	if a := f.token(assertionPath, with(v, "client_assertion", "a.b")); a.code(t) != 50027 {
		t.Errorf("no JWT: %s", a.body)
	}
}
