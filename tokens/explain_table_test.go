package tokens

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/test/golden"
)

// The golden file is the whole table as people meet it: code, scope, fate, exit code,
// whether the code ends a refresh token, sentence, remedy.
func TestGoldenTableOfCodes(t *testing.T) {
	app := App{
		LoginURL: "https://login.example.test",
		TenantID: "TENANT",
		ClientID: "CLIENT",
		Resource: "https://graph.example.test",
	}

	var b strings.Builder

	line := func(name string, x explanation) {
		f := x.fault(app)
		x = x.seenFrom(app)

		if len(f.Problem) < 15 || len(f.Remedy) < 10 || strings.ContainsAny(f.Problem+f.Remedy, "{}\n") {
			t.Errorf("%s: %q; %q", name, f.Problem, f.Remedy)
		}

		if f.Scope < advice.ScopeCustomer || f.Scope > advice.ScopeService {
			t.Errorf("%s has no scope", name)
		}

		ofChain := f.Scope == advice.ScopeChain || f.Scope == advice.ScopeCustomer
		if x.dead && (!ofChain && app.Home == "" || f.Fate != advice.NeedsSignIn || x.unreliable) {
			t.Errorf("%s ends a refresh token, and has scope %v, fate %v", name, f.Scope, f.Fate)
		}

		ends := ""
		if x.dead {
			ends = ", ends the token"
		}

		fmt.Fprintf(&b, "%s (%v, %v, exit %d%s): %s; %s\n", name, f.Scope, f.Fate, f.Fate.ExitCode(), ends, f.Problem,
			f.Remedy)
	}

	for _, code := range KnownCodes() {
		line(codeName(code), explanations[code])
	}

	for _, name := range slices.Sorted(maps.Keys(oauthExplanations)) {
		line(name, oauthExplanations[name])
	}

	line("another code", unknownCode(7999999))

	for _, code := range []int{50071, 50139, 53999, 530999} {
		x, ok := family(code)
		if !ok {
			t.Errorf("%d is of no family", code)
		}

		line("family of "+codeName(code), x)
	}

	// What reads differently with the provider's sign-in: at customers, and at home.
	for _, home := range []struct{ title, home string }{
		{"at a customer that is reached with the provider's sign-in", "HOME"},
		{"in the provider's own tenant", app.TenantID},
	} {
		fmt.Fprintf(&b, "\n%s:\n", home.title)

		ordinary := app
		ordinary.Acquire = func() string { return "ACQUIRE" }
		app.Acquire = ordinary.Acquire
		app.Home = home.home

		for _, code := range KnownCodes() {
			if x := explanations[code]; !reflect.DeepEqual(x.fault(app), x.fault(ordinary)) {
				line(codeName(code), x)
			}
		}

		app.Home = ""
	}

	golden.File(t, "../testdata/tokens/codes.txt", b.String())
}

// A refusal by one customer's tenant must not be taken for the end of a chain that
// others use too.
func TestEachCodeSaysWhomItConcerns(t *testing.T) {
	for scope, codes := range map[advice.Scope][]int{
		advice.ScopeCustomer: {
			90099, 700016, 65001, 650051, 65002, 65004, 90093, 90094, // consent
			50020, 50034, 50177, 90072, // no role, no guest
			50178, 50158, 53003, 530003, 530036, 53000, // policies
			50076, 50078, 50079, 70043, // MFA: at the chain's own tenant it is the chain's
			5000224, 5000225, 90002, // gone
			500011, 50105, 90055,
		},
		advice.ScopeChain: {700082, 70008, 700084, 50173, 50132, 50133, 70000, 50057, 50196, 9002313, 900421,
			700003},
		advice.ScopeCredential:  {7000215, 7000222, 700027, 50012, 700024, 70002, 7000218},
		advice.ScopeApplication: {50011, 50194, 650057, 700025, 9002327, 70011, 901002},
		advice.ScopeService:     {90033, 50000, 90006},
	} {
		for _, code := range codes {
			e := Refusal{OAuth: "invalid_grant", AADSTS: []int{code}, Status: 400}.Explain(App{})
			if explanations[code].scope != scope || e.Scope != scope && code != 70002 {
				t.Errorf("AADSTS%d: scope %v, want %v", code, e.Scope, scope)
			}
		}
	}

	unknown := Refusal{OAuth: "invalid_grant", AADSTS: []int{7999999}, Status: 400}
	if e := unknown.Explain(App{}); e.Scope != advice.ScopeCustomer {
		t.Errorf("an unknown code has scope %v", e.Scope)
	}

	outage := Refusal{OAuth: "invalid_grant", AADSTS: []int{700082}, Status: 503}
	if e := outage.Explain(App{}); e.Scope != advice.ScopeService {
		t.Errorf("an outage has scope %v", e.Scope)
	}
}
