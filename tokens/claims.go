package tokens

import (
	"cmp"
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
	// Amr is how the user proved to be who they are: mfa among them where it was by
	// more than one factor.
	Amr []string
}

var errNotJWT = errors.New("the token is not a JWT that can be read")

// Inspect reads the claims of a token. It returns an error for a token that is not a
// JWT; an API may accept such a token all the same.
func Inspect(token secret.Text) (Claims, error) {
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 || len(parts[1]) > maxBody {
		return Claims{}, errNotJWT
	}

	body, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return Claims{}, errNotJWT
	}

	var set claimSet
	if json.Unmarshal(body, &set) != nil {
		return Claims{}, errNotJWT
	}

	return Claims{
		Tid:   set.text("tid"),
		Aud:   strings.Join(set.list("aud"), " "),
		Iss:   set.text("iss"),
		AppID: set.text("appid", "azp"),
		Roles: set.list("roles"),
		Scp:   set.list("scp"),
		Exp:   set.time("exp"),
		Nbf:   set.time("nbf"),
		Upn:   set.text("upn", "preferred_username", "unique_name", "email"),
		Name:  set.text("name"),
		Oid:   set.text("oid"),
		Amr:   set.list("amr"),
	}, nil
}

// claimSet is the body of a JWT. A claim of another type than expected reads as
// missing.
type claimSet map[string]json.RawMessage

// text returns the first of the claims that is there.
func (c claimSet) text(names ...string) string {
	for _, name := range names {
		var s string
		if json.Unmarshal(c[name], &s) == nil && s != "" {
			return plain.Line(s, 200)
		}
	}

	return ""
}

// list returns a claim that is an array, or a text with blanks between its items.
func (c claimSet) list(name string) []string {
	var (
		one  string
		many []string
	)

	switch raw := c[name]; {
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

// time returns a claim in seconds since 1970.
func (c claimSet) time(name string) time.Time {
	s, ok := seconds(c[name])
	if !ok {
		return time.Time{}
	}

	return time.Unix(int64(s/time.Second), 0).UTC()
}

// Account returns the user's sign-in name, else the display name; nothing for an
// application's token.
func (c Claims) Account() string {
	return cmp.Or(c.Upn, c.Name)
}

// String returns one line for a log when an API refuses the token, for example for a
// wrong audience or a missing role.
func (c Claims) String() string {
	return plain.Line(fmt.Sprintf("aud=%s tid=%s appid=%s roles=%s scp=%s exp=%s", c.Aud, c.Tid, c.AppID,
		strings.Join(c.Roles, ","), strings.Join(c.Scp, ","), c.Exp.Format(time.RFC3339)), 600)
}
