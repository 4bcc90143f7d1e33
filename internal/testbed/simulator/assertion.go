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

// assertionLife is how long before its end an assertion may have begun, at most; the
// documents say 5 to 10 minutes.
const assertionLife = time.Hour

// clockTolerance is what the service allows for a client's clock.
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
// endpoint, within its time, used once. s.mu is held.
func (in *signIn) assertion() *refusal {
	text := in.form.Get("client_assertion")
	if in.form.Get("client_assertion_type") != assertionType {
		return refused(900144, "client_assertion_type")
	}

	if text == "" {
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
	if cert == nil {
		return refused(700027)
	}

	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return refused(700027)
	}

	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))

	switch h.Alg {
	case "RS256":
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
	case "PS256":
		err = rsa.VerifyPSS(
			key,
			crypto.SHA256,
			sum[:],
			signature,
			&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash},
		)
	default:
		return refused(700027)
	}

	now := in.x.now
	nbf, exp := time.Unix(c.Nbf, 0), time.Unix(c.Exp, 0)

	replay := in.client + " " + c.Jti
	switch {
	case err != nil, now.Before(cert.NotBefore), now.After(cert.NotAfter):
		return refused(700027)
	case c.Iss != c.Sub || !strings.EqualFold(c.Sub, in.client):
		return refused(700021)
	case !in.audience(c.Aud):
		return refused(700023)
	case c.Exp == 0 || c.Nbf == 0 || now.Add(clockTolerance).Before(nbf) || now.Add(-clockTolerance).After(exp) || exp.Sub(nbf) > assertionLife:
		return refused(700024)
	case c.Jti == "":
		return refused(50027)
	case !in.x.sim.jtis[replay].IsZero():
		return refused(50012)
	}

	for id, end := range in.x.sim.jtis {
		if now.After(end) {
			delete(in.x.sim.jtis, id)
		}
	}

	in.x.sim.jtis[replay] = exp.Add(clockTolerance)

	return nil
}

// audience is the token endpoint that was called, as this host or as Microsoft's.
func (in *signIn) audience(aud string) bool {
	path := in.x.r.URL.Path

	return aud == "http://"+in.x.r.Host+path || aud == "https://"+in.x.r.Host+path ||
		aud == "https://login.microsoftonline.com"+path
}

// certificate finds the registered certificate by its thumbprint. Which thumbprint goes
// with which algorithm is the documents'; clients in the field write it in any dialect
// of base64.
func (in *signIn) certificate(h assertionHeader) *x509.Certificate {
	for _, cert := range in.app.Certificates {
		sum1, sum256 := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw) //#nosec G401 -- see the import
		if h.Alg == "RS256" && h.X5t != "" && sameBase64(h.X5t, sum1[:]) ||
			h.S256 != "" && sameBase64(h.S256, sum256[:]) {
			return cert
		}
	}

	return nil
}

func sameBase64(text string, want []byte) bool {
	text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=")
	return text == base64.RawURLEncoding.EncodeToString(want)
}

func decodePart(part string, to any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, to) == nil
}
