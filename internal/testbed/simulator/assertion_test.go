package simulator_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"fluent-bit-defender/internal/testbed/simulator"
)

func TestClientAssertion(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}

	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}

	now := newClock().Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "mssp"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}

	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}

	sum1, sum256 := sha1.Sum(der), sha256.Sum256(der)
	path := contoso + "/oauth2/v2.0/token"

	type setting struct {
		method jwt.SigningMethod
		header map[string]any
		change func(jwt.MapClaims)
		key    *rsa.PrivateKey
		typ    string
	}

	s256 := map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum256[:])}
	x5t := map[string]any{"x5t": base64.RawURLEncoding.EncodeToString(sum1[:])}
	sign := func(f fixture, s setting) url.Values {
		claims := jwt.MapClaims{"aud": f.LoginURL() + "/" + path, "iss": client, "sub": client, "jti": "id-1",
			"nbf": f.clock.Now().Unix(), "exp": f.clock.Now().Add(10 * time.Minute).Unix()}
		if s.change != nil {
			s.change(claims)
		}

		token := jwt.NewWithClaims(s.method, claims)
		for k, v := range s.header {
			token.Header[k] = v
		}

		k := key
		if s.key != nil {
			k = s.key
		}

		text, err := token.SignedString(k)
		if err != nil {
			t.Fatal(err)
		}

		typ := "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
		if s.typ != "" {
			typ = s.typ
		}

		return with(appV2, "client_secret", "", "client_assertion_type", typ, "client_assertion", text)
	}
	ps, rs := jwt.SigningMethod(&jwt.SigningMethodRSAPSS{SigningMethodRSA: jwt.SigningMethodPS256.SigningMethodRSA,
		Options: &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}}), jwt.SigningMethod(jwt.SigningMethodRS256)
	claim := func(key string, value any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[key] = value } }
	without := func(key string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, key) } }

	tests := map[string]struct {
		setting
		code int // 0: accepted
	}{
		"PS256 with x5t#S256 is accepted": {setting{method: ps, header: s256}, 0},
		"RS256 with x5t is accepted":      {setting{method: rs, header: x5t}, 0},
		"a padded thumbprint is accepted": {
			setting{method: rs, header: map[string]any{"x5t": base64.StdEncoding.EncodeToString(sum1[:])}},
			0,
		},
		"a clock that is four minutes fast": {setting{method: ps, header: s256, change: func(c jwt.MapClaims) {
			c["nbf"], c["exp"] = now.Add(4*time.Minute).Unix(), now.Add(14*time.Minute).Unix()
		}}, 0},
		"another key is refused":                   {setting{method: ps, header: s256, key: other}, 700027},
		"no thumbprint is refused":                 {setting{method: ps}, 700027},
		"PS256 with SHA-1's thumbprint is refused": {setting{method: ps, header: x5t}, 700027},
		"another algorithm is refused":             {setting{method: jwt.SigningMethodRS512, header: x5t}, 700027},
		"another audience is refused": {
			setting{
				method: ps,
				header: s256,
				change: claim("aud", "https://login.microsoftonline.com/common/oauth2/v2.0/token"),
			},
			700023,
		},
		"another issuer is refused": {
			setting{method: ps, header: s256, change: claim("iss", public)},
			700021,
		},
		"another subject is refused": {
			setting{method: ps, header: s256, change: func(c jwt.MapClaims) { c["iss"], c["sub"] = public, public }},
			700021,
		},
		"one that has ended is refused": {setting{method: ps, header: s256, change: func(c jwt.MapClaims) {
			c["nbf"], c["exp"] = now.Add(-20*time.Minute).Unix(), now.Add(-10*time.Minute).Unix()
		}}, 700024},
		"one that is still to begin is refused": {setting{method: ps, header: s256, change: func(c jwt.MapClaims) {
			c["nbf"], c["exp"] = now.Add(10*time.Minute).Unix(), now.Add(20*time.Minute).Unix()
		}}, 700024},
		"one without an end is refused": {setting{method: ps, header: s256, change: without("exp")}, 700024},
		"one that lives a day is refused": {
			setting{method: ps, header: s256, change: claim("exp", now.Add(24*time.Hour).Unix())},
			700024,
		},
		"one without an id is refused": {setting{method: ps, header: s256, change: without("jti")}, 50027},
		"another type is refused":      {setting{method: ps, header: s256, typ: "jwt"}, 900144},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := start(t, func(c *simulator.Config) { c.Tenants[0].Apps[0].Certificates = []*x509.Certificate{cert} })
			v := sign(f, test.setting)

			a := f.token(path, v)
			if test.code == 0 {
				if a.status != 200 {
					t.Fatalf("got %d %s", a.status, a.body)
				}

				if again := f.token(path, v); again.status != 401 || again.code(t) != 50012 {
					t.Errorf("replayed: %d %s", again.status, again.body)
				}

				return
			}

			if a.status < 400 || a.code(t) != test.code {
				t.Errorf("got %d %s, want %d", a.status, a.body, test.code)
			}
		})
	}

	f := start(t, func(c *simulator.Config) { c.Tenants[0].Apps[0].Certificates = []*x509.Certificate{cert} })

	v := sign(f, setting{method: ps, header: s256})
	if a := f.token(path, with(v, "client_secret", secret)); a.code(t) != 9002313 {
		t.Errorf("a secret beside an assertion: %s", a.body)
	}

	if a := f.token(path, with(v, "client_assertion", "a.b")); a.code(t) != 50027 {
		t.Errorf("no JWT: %s", a.body)
	}
}
