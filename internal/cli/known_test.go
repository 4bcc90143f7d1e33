package cli_test

import (
	"net/url"
	"strings"
	"testing"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/partner"
	"fluent-bit-defender/internal/store/sqlite"
)

func TestADiscoveredCustomerIsFoundByName(t *testing.T) {
	w := oneSignIn(t, "contoso", "fabrikam")
	w.expect(w.run(w.acquireHome()...), 0)

	conf, _ := w.config("discover:\n  from: gdap\n  defaults:\n    tag: defender.{tenant_name}\n")

	// Before the first list the name means nobody, and the answer says so.
	r := w.expect(w.run("pull", "fabrikam", "--config", conf), 2)
	if !strings.Contains(r.err, "there is no tenant") {
		t.Error(r.err)
	}

	login, err := url.Parse(w.LoginURL())
	if err != nil {
		t.Fatal(err)
	}

	s, err := sqlite.Open(sqlite.Options{Dir: w.dir})
	if err != nil {
		t.Fatal(err)
	}

	known := partner.Known{}
	for _, c := range w.customers {
		known.Customers = append(known.Customers, partner.KnownCustomer{TenantID: alert.TenantID(c.ID), Name: c.Name})
	}

	body, err := known.Encode()
	if err != nil {
		t.Fatal(err)
	}

	name := partner.DocumentName(login.Host, alert.TenantID(w.home.ID), alert.ClientID(w.app.ClientID))
	if err := s.SetDocument(t.Context(), name, body); err != nil {
		t.Fatal(err)
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

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
