package tokens

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/secret"
)

// Claims is what an access or id token says about itself, for diagnostics only: the
// signature is not checked, and an access token is opaque to its bearer by contract
// (https://learn.microsoft.com/entra/identity-platform/access-tokens).
type Claims struct {
	// Tid is the tenant, Aud the API (App ID URI or its GUID), Iss the issuer, AppID
	// the application (appid or azp).
	Tid, Aud, Iss, AppID string
	// Roles are application permissions, Scp delegated ones.
	Roles, Scp []string
	// Exp and Nbf bound its validity.
	Exp, Nbf time.Time
	// Upn, Name and Oid are the user's.
	Upn, Name, Oid string
}

var errNotJWT = errors.New("the token is not a JWT that can be read")

// Inspect reads the claims of a token. An opaque one gives an error, which says nothing
// about its being usable.
func Inspect(token secret.Text) (Claims, error) {
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 || len(parts[1]) > maxBody {
		return Claims{}, errNotJWT
	}

	body, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return Claims{}, errNotJWT
	}

	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return Claims{}, errNotJWT
	}

	list := func(name string) []string {
		var (
			one  string
			many []string
		)
		switch raw := m[name]; {
		case json.Unmarshal(raw, &one) == nil && raw != nil:
			many = strings.Fields(one)
		case json.Unmarshal(raw, &many) != nil:
			return nil
		}

		many = many[:min(len(many), 64)]
		for i := range many {
			many[i] = plain.Line(many[i], 200)
		}

		return many
	}
	text := func(names ...string) string {
		for _, name := range names {
			var s string
			if json.Unmarshal(m[name], &s) == nil && s != "" {
				return plain.Line(s, 200)
			}
		}

		return ""
	}
	at := func(name string) time.Time {
		s, ok := seconds(m[name])
		if !ok {
			return time.Time{}
		}

		return time.Unix(int64(s/time.Second), 0).UTC()
	}

	return Claims{
		Tid:   text("tid"),
		Aud:   strings.Join(list("aud"), " "),
		Iss:   text("iss"),
		AppID: text("appid", "azp"),
		Roles: list("roles"),
		Scp:   list("scp"),
		Exp:   at("exp"),
		Nbf:   at("nbf"),
		Upn:   text("upn", "preferred_username", "unique_name", "email"),
		Name:  text("name"),
		Oid:   text("oid"),
	}, nil
}

// Account is what to call the user: the sign-in name, else the display name; empty for
// an application's token.
func (c Claims) Account() string {
	if c.Upn != "" {
		return c.Upn
	}

	return c.Name
}

// String is one line for a log when an API refuses the token (T20: wrong audience,
// missing role).
func (c Claims) String() string {
	return plain.Line(fmt.Sprintf("aud=%s tid=%s appid=%s roles=%s scp=%s exp=%s", c.Aud, c.Tid, c.AppID,
		strings.Join(c.Roles, ","), strings.Join(c.Scp, ","), c.Exp.Format(time.RFC3339)), 600)
}
