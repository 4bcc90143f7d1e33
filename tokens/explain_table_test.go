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
// codeTable writes a line for each code, and checks that it can be one.
type codeTable struct {
	strings.Builder

	t   *testing.T
	app App
}

func (c *codeTable) line(name string, x explanation) {
	c.t.Helper()

	f := x.fault(c.app)
	x = x.seenFrom(c.app)

	if len(f.Problem) < 15 || len(f.Remedy) < 10 || strings.ContainsAny(f.Problem+f.Remedy, "{}\n") {
		c.t.Errorf("%s: %q; %q", name, f.Problem, f.Remedy)
	}

	if f.Scope < advice.ScopeCustomer || f.Scope > advice.ScopeService {
		c.t.Errorf("%s has no scope", name)
	}

	ends := ""

	if x.dead {
		ends = ", ends the token"
		ofChain := f.Scope == advice.ScopeChain || f.Scope == advice.ScopeCustomer || c.app.Home != ""

		if !ofChain || f.Fate != advice.NeedsSignIn || x.unreliable {
			c.t.Errorf("%s ends a refresh token, and has scope %v, fate %v", name, f.Scope, f.Fate)
		}
	}

	fmt.Fprintf(c, "%s (%v, %v, exit %d%s): %s; %s\n",
		name, f.Scope, f.Fate, f.Fate.ExitCode(), ends, f.Problem, f.Remedy)
}

// differences writes the codes that read differently with the provider's sign-in: at
// customers, and at home.
func (c *codeTable) differences(title, home string) {
	c.t.Helper()

	fmt.Fprintf(c, "\n%s:\n", title)

	c.app.Acquire = func() string { return "ACQUIRE" }
	ordinary := c.app
	c.app.Home = home

	for _, code := range KnownCodes() {
		if x := explanations[code]; !reflect.DeepEqual(x.fault(c.app), x.fault(ordinary)) {
			c.line(codeName(code), x)
		}
	}

	c.app.Home = ""
}

func TestGoldenTableOfCodes(t *testing.T) {
	c := &codeTable{t: t, app: App{
		LoginURL: "https://login.example.test",
		TenantID: "TENANT",
		ClientID: "CLIENT",
		Resource: "https://graph.example.test",
	}}

	for _, code := range KnownCodes() {
		c.line(codeName(code), explanations[code])
	}

	for _, name := range slices.Sorted(maps.Keys(oauthExplanations)) {
		c.line(name, oauthExplanations[name])
	}

	c.line("another code", unknownCode(7999999))

	for _, code := range []int{50071, 50139, 53999, 530999} {
		x, ok := family(code)
		if !ok {
			t.Errorf("%d is of no family", code)
		}

		c.line("family of "+codeName(code), x)
	}

	c.differences("at a customer that is reached with the provider's sign-in", "HOME")
	c.differences("in the provider's own tenant", c.app.TenantID)

	golden.File(t, "../testdata/tokens/codes.txt", c.String())
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
