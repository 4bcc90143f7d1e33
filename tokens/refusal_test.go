package tokens

import (
	"reflect"
	"testing"

	"fluent-bit-defender/internal/advice"
)

func TestMarksOfOlderVersionsAreRead(t *testing.T) {
	cases := map[string]int{
		"":                  0,
		"AADSTS700082":      700082,
		"AADSTS50133":       50133,
		"AADSTS700003":      0, // no grounds to end a token, though an older version did
		"AADSTS70000":       0,
		"AADSTS90099":       0,
		"AADSTS7999999":     0,
		"invalid_grant":     0,
		"refused":           0,
		"AADSTS":            0,
		"AADSTS-1":          0,
		`{"codes":[50173]}`: 50173,
		`{"codes":[65001]}`: 0,
		`{"codes":"x"}`:     0,
	}

	for text, code := range cases {
		var g Refusal
		if err := g.UnmarshalText([]byte(text)); err != nil || g.Code() != code || g.IsZero() != (code == 0) {
			t.Errorf("%q: %+v, %v; want code %d", text, g, err, code)
		}
	}
}

// FuzzStoredRefusal: whatever is in the store, what is read of it ends a token by a
// code of the closed list, prints as one plain line, and is the same when it is written
// and read again.
func FuzzStoredRefusal(f *testing.F) {
	for _, text := range []string{
		"AADSTS700082",
		"invalid_grant",
		`{"codes":[70002,700082],"error":"invalid_grant","suberror":"token_expired","status":400,` +
			`"trace_id":"0a0a0a0a-0000"}`,
		`{"codes":[50173,-1,99999999999],"error":"<script>","correlation_id":"x\u001b[0m"}`,
	} {
		f.Add([]byte(text))
	}

	f.Fuzz(func(t *testing.T, text []byte) {
		var g, again Refusal
		if err := g.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}

		e := g.Explain(App{TenantID: "T", ClientID: "C"})
		oneLine(t, e.Error(), advice.MaxLine)

		if !g.IsZero() && (!e.dead || !explanations[e.Code].dead || e.Fate != advice.NeedsSignIn) {
			t.Fatalf("dead by %v", e)
		}

		written, err := g.MarshalText()
		if err != nil || len(written) > maxRefusal {
			t.Fatalf("%d bytes, %v", len(written), err)
		}

		if err := again.UnmarshalText(written); err != nil || !reflect.DeepEqual(g, again) {
			t.Fatalf("%+v became %+v (%v)", g, again, err)
		}
	})
}
