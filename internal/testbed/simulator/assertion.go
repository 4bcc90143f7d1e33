package simulator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //#nosec G505 -- x5t is a SHA-1 thumbprint by RFC 7515 section 4.1.7
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionLife is the longest time for which an assertion may be valid; the documents
// say 5 to 10 minutes.
const assertionLife = time.Hour

// clockTolerance is how wrong a client's clock may be.
const clockTolerance = 5 * time.Minute

type assertionHeader struct {
	Alg  string `json:"alg"`
	Typ  string `json:"typ"`
	X5t  string `json:"x5t"`
	S256 string `json:"x5t#S256"`
}

type assertionClaims struct {
	Aud string `json:"aud"`
	Iss string `json:"iss"`
	Sub string `json:"sub"`
	Jti string `json:"jti"`
	Nbf int64  `json:"nbf"`
	Exp int64  `json:"exp"`
}

// assertion checks a signed client assertion (RFC 7523 section 3; entra-docs,
// certificate-credentials.md): RS256 with x5t or PS256 with x5t#S256, for this token
// endpoint, within its time, used once. The caller holds s.mu.
func (in *signIn) assertion() *refusal {
	text := in.form.Get("client_assertion")

	switch {
	case in.form.Get("client_assertion_type") != assertionType:
		return refused(900144, "client_assertion_type")
	case text == "":
		return refused(900144, "client_assertion")
	}

	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return refused(50027)
	}

	var (
		h assertionHeader
		c assertionClaims
	)

	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !decodePart(parts[0], &h) || !decodePart(parts[1], &c) || !strings.EqualFold(h.Typ, "JWT") {
		return refused(50027)
	}

	cert := in.certificate(h)
	if cert == nil || !signed(cert, h.Alg, parts[0]+"."+parts[1], signature) {
		return refused(700027)
	}

	if now := in.x.now; now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return refused(700027)
	}

	if bad := in.checkClaims(c); bad != nil {
		return bad
	}

	return in.useOnce(c)
}

// signed reports whether a signature of text is valid by the key of cert.
func signed(cert *x509.Certificate, algorithm, text string, signature []byte) bool {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return false
	}

	sum := sha256.Sum256([]byte(text))

	switch algorithm {
	case "RS256":
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case "PS256":
		options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		return rsa.VerifyPSS(key, crypto.SHA256, sum[:], signature, options) == nil
	}

	return false
}

// checkClaims checks for whom and when an assertion is valid.
func (in *signIn) checkClaims(c assertionClaims) *refusal {
	now := in.x.now
	begin, end := time.Unix(c.Nbf, 0), time.Unix(c.Exp, 0)

	switch {
	case c.Iss != c.Sub || !strings.EqualFold(c.Sub, in.client):
		return refused(700021)
	case !in.audience(c.Aud):
		return refused(700023)
	case c.Exp == 0 || c.Nbf == 0 || end.Sub(begin) > assertionLife,
		now.Add(clockTolerance).Before(begin), now.Add(-clockTolerance).After(end):
		return refused(700024)
	case c.Jti == "":
		return refused(50027)
	}

	return nil
}

// useOnce refuses an assertion that was used before.
func (in *signIn) useOnce(c assertionClaims) *refusal {
	used := in.x.sim.jtis

	id := in.client + " " + c.Jti
	if !used[id].IsZero() {
		return refused(50012)
	}

	for old, end := range used {
		if in.x.now.After(end) {
			delete(used, old)
		}
	}

	used[id] = time.Unix(c.Exp, 0).Add(clockTolerance)

	return nil
}

// audience reports whether aud is the token endpoint that was called, by this host's
// name or by Microsoft's.
func (in *signIn) audience(aud string) bool {
	path := in.x.r.URL.Path

	return aud == "http://"+in.x.r.Host+path || aud == "https://"+in.x.r.Host+path ||
		aud == "https://login.microsoftonline.com"+path
}

// certificate finds the registered certificate by its thumbprint: x5t goes with RS256,
// x5t#S256 with any algorithm. Clients write it in several kinds of base64.
func (in *signIn) certificate(h assertionHeader) *x509.Certificate {
	for _, cert := range in.registered.Certificates {
		sum1, sum256 := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw) //#nosec G401 -- see the import
		if h.Alg == "RS256" && h.X5t != "" && sameBase64(h.X5t, sum1[:]) ||
			h.S256 != "" && sameBase64(h.S256, sum256[:]) {
			return cert
		}
	}

	return nil
}

// sameBase64 reports whether text is want in any kind of base64.
func sameBase64(text string, want []byte) bool {
	text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=")
	return text == base64.RawURLEncoding.EncodeToString(want)
}

// decodePart decodes the header or the claims of an assertion.
func decodePart(part string, to any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, to) == nil
}
