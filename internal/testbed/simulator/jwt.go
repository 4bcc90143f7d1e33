package simulator

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"time"
)

func base64URL(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}

	return base64.RawURLEncoding.EncodeToString(b)
}

// compact joins header, claims and signature (RFC 7515 section 7.1).
func compact(header string, claims map[string]any, signature string) string {
	b, err := json.Marshal(claims)
	if err != nil {
		panic(err) // claims are strings and numbers
	}

	e := base64.RawURLEncoding

	return e.EncodeToString([]byte(header)) + "." + e.EncodeToString(b) + "." + signature
}

// accessJWT makes the text of an access token. It looks like Entra's, with a signature
// that is none: clients must treat it as opaque, and the simulator knows its tokens by
// heart. the caller holds s.mu.
func (s *Simulator) accessJWT(t *accessToken, g *grant, now time.Time) string {
	s.issued++
	r := random(s.cfg.Seed, "access", s.issued)

	claims := map[string]any{
		"aud": t.aud,
		"tid": t.tenant.ID,
		"iat": now.Unix(),
		"nbf": now.Unix(),
		"exp": t.expires.Unix(),
		"uti": base64URL(r, 16),
	}
	if t.v2 && !t.resource.serves(Graph) { // the resource chooses the version of its tokens; Graph takes 1.0
		claims["iss"] = "https://login.microsoftonline.com/" + t.tenant.ID + "/v2.0"
		claims["azp"] = t.client
		claims["ver"] = "2.0"
	} else {
		claims["iss"] = "https://sts.windows.net/" + t.tenant.ID + "/"
		claims["appid"] = t.client
		claims["ver"] = "1.0"
	}

	if t.appOnly {
		if len(t.granted) > 0 {
			claims["roles"] = t.granted
		}
	} else {
		scp := ""

		for i, p := range t.permissions() {
			if i > 0 {
				scp += " "
			}

			scp += p
		}

		claims["scp"], claims["upn"] = scp, g.user

		claims["amr"] = []string{"pwd"}
		if g.mfa {
			claims["amr"] = []string{"pwd", "mfa"}
		}
	}

	return compact(`{"typ":"JWT","alg":"RS256","kid":"simulated"}`, claims, base64URL(r, 48))
}

// idJWT makes an id_token, which is not signed.
func (s *Simulator) idJWT(t *accessToken, g *grant, now time.Time) string {
	claims := map[string]any{
		"aud":  t.client,
		"tid":  t.tenant.ID,
		"iat":  now.Unix(),
		"nbf":  now.Unix(),
		"exp":  now.Add(time.Hour).Unix(),
		"name": "SOC " + t.tenant.Name,
		"iss":  "https://login.microsoftonline.com/" + t.tenant.ID + "/v2.0",
	}
	if t.v2 {
		claims["preferred_username"] = g.user
	} else {
		claims["upn"], claims["unique_name"] = g.user, g.user
	}

	return compact(`{"typ":"JWT","alg":"none"}`, claims, "")
}
