package tokens_test

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

func jwtOf(claims string) secret.Text {
	return secret.New("eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig")
}

func TestClaimsOfBothTokenVersionsAreRead(t *testing.T) {
	exp := time.Date(2026, 2, 3, 10, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		claims string
		want   tokens.Claims
	}{
		"v1, application": {`{"aud":"https://graph.example.test","iss":"https://sts.example.test/t/","tid":"t",` +
			`"appid":"a","roles":["SecurityAlert.Read.All"],"exp":1770112800}`,
			tokens.Claims{
				Aud:   "https://graph.example.test",
				Iss:   "https://sts.example.test/t/",
				Tid:   "t",
				AppID: "a",
				Roles: []string{"SecurityAlert.Read.All"},
				Exp:   exp,
			}},
		"v2, user": {`{"aud":["x","y"],"azp":"a","scp":"Alert.Read openid",` +
			`"preferred_username":"soc@contoso.test","name":"S O C","exp":"1770112800","amr":["pwd","mfa"]}`,
			tokens.Claims{
				Aud:   "x y",
				AppID: "a",
				Scp:   []string{"Alert.Read", "openid"},
				Upn:   "soc@contoso.test",
				Name:  "S O C",
				Exp:   exp,
				Amr:   []string{"pwd", "mfa"},
			}},
		"odd types": {`{"aud":7,"roles":{"a":1},"exp":"soon","tid":null,"upn":"a\u0007b"}`, tokens.Claims{Upn: "ab"}},
	} {
		got, err := tokens.Inspect(jwtOf(tc.claims))
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s:\n got %+v\nwant %+v, %v", name, got, tc.want, err)
		}
	}

	for _, s := range []string{"", "opaque", "a.b", "a.!!.c", "a.W10.c"} {
		if c, err := tokens.Inspect(secret.New(s)); err == nil || strings.Contains(err.Error(), "opaque") {
			t.Errorf("%q: %+v, %v", s, c, err)
		}
	}
}

func TestTheAccountOfASignInIsTakenFromItsIDToken(t *testing.T) {
	f := &fake{answer: func(asked) (int, string) {
		id := jwtOf(`{"preferred_username":"soc@contoso.test"}`).Reveal()

		return 200, `{"access_token":"opaque","refresh_token":"r","id_token":"` + id + `"}`
	}}

	got, err := tokens.Client{
		App:  app(tokens.V2),
		HTTP: f.client(),
	}.Exchange(t.Context(), secret.New("c"), "https://r.test", "v")
	if err != nil || got.Account != "soc@contoso.test" {
		t.Errorf("%q, %v", got.Account, err)
	}
}
