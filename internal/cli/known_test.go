package cli_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/partner"
	"fluent-bit-defender/internal/store/sqlite"
)

// keeps writes a list of the customers, and of more, as an input keeps it.
func (w *homeWorld) keeps(more ...partner.KnownCustomer) {
	w.t.Helper()

	var known partner.Known

	login, err := url.Parse(w.LoginURL())
	if err != nil {
		w.t.Fatal(err)
	}

	s, err := sqlite.Open(sqlite.Options{Dir: w.dir})
	if err != nil {
		w.t.Fatal(err)
	}

	for _, c := range w.customers {
		known.Customers = append(known.Customers, partner.KnownCustomer{TenantID: alert.TenantID(c.ID), Name: c.Name})
	}

	known.Customers = append(known.Customers, more...)

	body, err := known.Encode()
	if err != nil {
		w.t.Fatal(err)
	}

	name := partner.DocumentName(login.Host, alert.TenantID(w.home.ID), alert.ClientID(w.app.ClientID))
	if err := s.SetDocument(w.t.Context(), name, body); err != nil {
		w.t.Fatal(err)
	}

	if err := s.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// An input goes on with customers that are gone, and status shows them failing.
func TestCheckShowsCustomersThatAreGone(t *testing.T) {
	w := oneSignIn(t, "contoso", "fabrikam")
	w.expect(w.run(w.acquireHome()...), 0)
	w.EndRelationships(w.customers[1].ID) // nobody can sign in there any more

	// Nobody is the provider's own customer, and the sign-in works.
	w.keeps(partner.KnownCustomer{TenantID: alert.TenantID(w.home.ID), Name: "own"})

	const discover = "discover:\n  from: gdap\n  defaults:\n    tag: defender.{tenant_name}\n"

	listed := fmt.Sprintf("tenants:\n  - tenant_id: %s\n    tenant_name: own\n", w.home.ID)

	type result struct {
		Tenants []struct {
			Tenant  string `json:"tenant"`
			SignIn  string `json:"sign_in"`
			Problem string `json:"problem"`
			Code    int    `json:"exit_code"`
		} `json:"tenants"`
	}

	for _, test := range []struct {
		name, discover string
		faults         bool // the list of customers cannot be read
		code           int
		want           []string
	}{
		{"kept", discover, false, 4, []string{"contoso ok 0", "fabrikam refused 4", "own ok 4"}},
		{"stopped", discover + "  on_vanish: stop\n", false, 0, []string{"contoso ok 0"}},
		{"listed in the file", discover + listed, false, 4, []string{"own ok 0", "contoso ok 0", "fabrikam refused 4"}},
		{"no list", discover, true, 4, []string{"contoso ok 0", "fabrikam refused 4", "own ok 0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf, _ := w.config(test.discover)

			if test.faults {
				if err := w.SetFaults("503:api=discovery"); err != nil {
					t.Fatal(err)
				}
			}

			checked := parse[result](t, w.expect(w.run("check", conf, "--json"), test.code).out)

			var got []string

			for _, v := range checked.Tenants {
				got = append(got, fmt.Sprintf("%s %s %d", v.Tenant, v.SignIn, v.Code))

				gone := strings.Contains(v.Problem, "no relationship in force leads to the customer")
				if gone != (v.SignIn == "ok" && v.Code == 4) {
					t.Errorf("%s: %s", v.Tenant, v.Problem)
				}
			}

			if !slices.Equal(got, test.want) {
				t.Errorf("checked are %q, want %q", got, test.want)
			}
		})
	}
}

func TestADiscoveredCustomerIsFoundByName(t *testing.T) {
	w := oneSignIn(t, "contoso", "fabrikam")
	w.expect(w.run(w.acquireHome()...), 0)

	conf, _ := w.config("discover:\n  from: gdap\n  defaults:\n    tag: defender.{tenant_name}\n")

	// Before the first list the name means nobody, and the answer says so.
	r := w.expect(w.run("pull", "fabrikam", "--config", conf), 2)
	if !strings.Contains(r.err, "there is no tenant") {
		t.Error(r.err)
	}

	w.keeps()

	for _, asked := range []string{"fabrikam", w.customers[1].ID} {
		r := w.expect(w.run("pull", asked, "--config", conf, "--since", "7d"), 0)
		if !strings.Contains(r.out, `"tenant":"fabrikam"`) || strings.Contains(r.out, "contoso") {
			t.Errorf("%s: %.400s", asked, r.out)
		}
	}

	r = w.expect(w.run("pull", "fabrikan", "--config", conf), 2)
	if !strings.Contains(r.err, "contoso") {
		t.Errorf("the answer names none that is known: %s", r.err)
	}
}
