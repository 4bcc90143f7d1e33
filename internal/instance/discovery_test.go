package instance

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/partner"
	"fluent-bit-defender/internal/store"
)

const (
	homeID  = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	firstID = "99999999-8888-4777-8666-555555555551"
	otherID = "99999999-8888-4777-8666-555555555552"
)

// fakeLister answers with customers or an error, and counts how often it is asked.
type fakeLister struct {
	customers []partner.Customer
	err       error
	domains   map[string]alert.TenantID
	asked     int
}

func (f *fakeLister) Customers(context.Context) ([]partner.Customer, error) {
	f.asked++
	return f.customers, f.err
}

func (f *fakeLister) Tenant(_ context.Context, name string) (partner.Tenant, error) {
	id, ok := f.domains[name]
	if !ok {
		return partner.Tenant{}, &partner.Error{Fault: advice.Fault{Reason: advice.TenantGone}}
	}

	return partner.Tenant{ID: id}, nil
}

// documents is a store in memory.
type documents map[string][]byte

func (d documents) Document(_ context.Context, name string) ([]byte, bool, error) {
	body, ok := d[name]
	return body, ok, nil
}

func (d documents) SetDocument(_ context.Context, name string, body []byte) error {
	d[name] = body
	return nil
}

func (d documents) DocumentNames(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(d)), nil
}

// finder is a discovery with a clock of its own.
type finder struct {
	*discovery
	t     *testing.T
	at    time.Time
	lines bytes.Buffer
	lister
}

// find returns a discovery with the settings of a tenants file.
func find(t *testing.T, kept documents, list lister, discover string) *finder {
	t.Helper()
	f := &finder{t: t, at: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC), lister: list}
	f.discovery = &discovery{
		log:   slog.New(slog.NewTextHandler(&f.lines, nil)),
		store: kept,
		now:   func() time.Time { return f.at },
	}
	f.set(discover)

	return f
}

// set puts other settings in force.
func (f *finder) set(discover string) {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), "tenants.yaml")

	text := "defaults:\n  client_id: 11111111-2222-4333-8444-555555555555\n  client_secret: x\n  home_tenant_id: " +
		homeID + "\ndiscover:\n" + discover
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}

	in, _, err := config.FromPlugin(config.Map{"tenants_file": path}, config.Sources{})
	if err != nil {
		f.t.Fatal(err)
	}

	f.configure(in.Discovery, f.lister, nil)
}

// after lets time pass, and asks for a list if one is due.
func (f *finder) after(d time.Duration) *finder {
	f.at = f.at.Add(d)
	if f.begin(f.t.Context()) {
		f.run(f.t.Context())
	}

	return f
}

// names are the tenants that are wanted.
func (f *finder) names() string {
	f.t.Helper()

	list, err := f.tenants()
	if err != nil {
		f.t.Fatal(err)
	}

	var all []string
	for _, t := range list {
		all = append(all, t.TenantName)
	}

	return strings.Join(all, " ")
}

func customerOf(id, name string) partner.Customer {
	return partner.Customer{TenantID: alert.TenantID(id), Name: name, Relationships: []partner.Relationship{{}}}
}

func TestABadListChangesNothingAndSaysSoOnce(t *testing.T) {
	for name, err := range map[string]error{
		"empty": nil,
		"500":   &partner.Error{Fault: advice.Fault{Reason: advice.BadAnswer, Problem: "answered 500"}},
		"other": errors.New("unexplained"),
	} {
		t.Run(name, func(t *testing.T) {
			list := &fakeLister{customers: []partner.Customer{customerOf(firstID, "A"), customerOf(otherID, "B")}}
			f := find(t, documents{}, list, "  every: 10m\n").after(0)
			list.customers, list.err = nil, err

			for range 5 {
				f.after(10 * time.Minute)
			}

			if f.names() != "A B" || list.asked < 5 {
				t.Errorf("%q after %d lists", f.names(), list.asked)
			}

			if n := strings.Count(f.lines.String(), "cannot be listed"); n != 1 {
				t.Errorf("said %d times:\n%s", n, &f.lines)
			}

			list.customers, list.err = []partner.Customer{customerOf(firstID, "A")}, nil

			if f.after(10 * time.Minute); !strings.Contains(f.lines.String(), "listed again") {
				t.Errorf("the end is not said:\n%s", &f.lines)
			}
		})
	}
}

func TestAFailedListIsShownUntilOneIsGood(t *testing.T) {
	kept := documents{}
	list := &fakeLister{err: errors.New("unexplained")}
	f := find(t, kept, list, "  every: 10m\n")

	shown := func(when string, failed bool, listed time.Time) {
		t.Helper()

		if m := f.measure(); !m.On || m.Failed != failed || !m.Listed.Equal(listed) || (f.notice() != nil) != failed {
			t.Errorf("%s: %+v, %+v", when, m, f.notice())
		}
	}

	shown("before the first list", false, time.Time{})

	f.after(0)
	began := f.at
	shown("after a list that failed", true, time.Time{})

	n := f.notice()
	if n.Reason != advice.Internal || n.Remedy == "" ||
		!strings.Contains(n.Message, "the 0 that are known stay: unexplained") ||
		!strings.Contains(string(kept[store.DiscoveryNotice]), "unexplained") {
		t.Errorf("it is shown as %+v, the store has %q", n, kept[store.DiscoveryNotice])
	}

	list.err = &partner.Error{Fault: advice.Fault{
		Reason:  advice.RoleMissing,
		Problem: "the account may not list",
		Remedy:  "sign in as another",
		Trace:   []string{"trace id 7"},
	}}

	f.after(10 * time.Minute)

	n = f.notice()
	if n.Reason != advice.RoleMissing || n.Remedy != "sign in as another" || n.Trace != "trace id 7" ||
		!strings.Contains(n.Message, began.Format(time.DateTime)) || strings.Contains(n.Message, n.Remedy) {
		t.Errorf("a second failure is shown as %+v", n)
	}

	list.customers, list.err = []partner.Customer{customerOf(firstID, "A")}, nil

	f.after(10 * time.Minute)
	good := f.at
	shown("after a good list", false, good)

	if kept[store.DiscoveryNotice] != nil {
		t.Errorf("after a good list the store has %q", kept[store.DiscoveryNotice])
	}

	list.err = errors.New("unexplained")

	f.after(10 * time.Minute)
	shown("after another failure", true, good)

	if f.configure(nil, nil, nil); f.measure().On || f.notice() != nil {
		t.Errorf("without discovery: %+v, %+v", f.measure(), f.notice())
	}
}

func TestAfterAFailureItIsTriedAgainSooner(t *testing.T) {
	list := &fakeLister{err: errors.New("x")}

	f := find(t, documents{}, list, "  every: 1h\n").after(0)
	for i, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		if f.after(wait - time.Second); list.asked != i+1 {
			t.Errorf("asked %d times before %v had passed", list.asked, wait)
		}

		if f.after(time.Second); list.asked != i+2 {
			t.Errorf("asked %d times after %v", list.asked, wait)
		}
	}

	worth := false
	f.changed = func(context.Context) bool { return worth }

	asked := list.asked
	if f.after(time.Second); list.asked != asked {
		t.Error("asked although nothing has changed")
	}

	worth = true

	if f.after(time.Second); list.asked != asked+1 {
		t.Error("a new sign-in is not tried at once")
	}
}

func TestTheLastGoodListServesARestart(t *testing.T) {
	kept := documents{}
	list := &fakeLister{customers: []partner.Customer{customerOf(firstID, "A"), customerOf(otherID, "B")}}
	find(t, kept, list, "  every: 1h\n").after(0)

	if f := find(t, kept, &fakeLister{err: errors.New("down")}, "  exclude: [B]\n").after(0); f.names() != "A" {
		t.Errorf("%q", f.names())
	}

	if f := find(t, kept, list, "  defaults: {client_id: 11111111-2222-4333-8444-666666666666}\n"); f.names() != "" {
		t.Errorf("the list of another application is used: %q", f.names())
	}

	for name := range kept {
		kept[name] = []byte("{")
	}

	if f := find(t, kept, list, ""); f.names() != "" || !strings.Contains(f.lines.String(), "not used") {
		t.Errorf("%q\n%s", f.names(), &f.lines)
	}
}

func TestAVanishedCustomerIsKeptOrStopped(t *testing.T) {
	both := []partner.Customer{customerOf(firstID, "A"), customerOf(otherID, "B")}

	for how, want := range map[string]string{"keep": "A B", "stop": "A"} {
		t.Run(how, func(t *testing.T) {
			list := &fakeLister{customers: both}
			f := find(t, documents{}, list, "  on_vanish: "+how+"\n").after(0)
			list.customers = both[:1]

			if f.after(time.Hour); f.names() != want {
				t.Errorf("%q", f.names())
			}

			unit := &config.Tenant{TenantID: otherID, HomeTenantID: homeID}

			got := f.relationship(unit).Trouble
			if how == "keep" && (got.Reason != advice.GDAPEnded || got.Remedy == "") {
				t.Errorf("%+v", got)
			}

			list.customers = both

			if f.after(time.Hour); f.names() != "A B" || f.relationship(unit).Trouble.Reason != "" {
				t.Errorf("back: %q", f.names())
			}

			list.customers = both[:1]

			f.after(time.Hour)
			f.set("  on_vanish: " + how + "\n  exclude: [B]\n")

			if f.after(time.Hour); f.names() != "A" || f.relationship(unit).Trouble.Reason != "" {
				t.Errorf("removed: %q", f.names())
			}
		})
	}
}

func TestATenantListedByItsDomainIsNotPolledTwice(t *testing.T) {
	list := &fakeLister{
		customers: []partner.Customer{customerOf(firstID, "A"), customerOf(otherID, "B")},
		domains:   map[string]alert.TenantID{"a.example": firstID},
	}

	f := find(t, documents{}, list, "  every: 1h\ntenants:\n  - tenant_id: a.example\n"+
		"  - tenant_id: gone.example\n").after(0)
	if f.names() != "B" {
		t.Errorf("%q", f.names())
	}
}

func TestARefusedCustomerMakesTheNextListComeSoon(t *testing.T) {
	list := &fakeLister{customers: []partner.Customer{customerOf(firstID, "A")}}
	f := find(t, documents{}, list, "  every: 1h\n").after(0)
	f.hurry()

	if f.after(retrySoon - time.Second); list.asked != 1 {
		t.Error("sooner than a minute after the last one")
	}

	if f.after(time.Second); list.asked != 2 {
		t.Error("not asked again")
	}
}

func TestTheEndOfARelationshipIsKnown(t *testing.T) {
	c := customerOf(firstID, "A")
	c.Relationships[0].Ends = time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
	f := find(t, documents{}, &fakeLister{customers: []partner.Customer{c}}, "").after(0)

	unit := &config.Tenant{TenantID: firstID, HomeTenantID: homeID}
	if got := f.relationship(unit); !got.Ends.Equal(c.Relationships[0].Ends) || got.Trouble.Reason != "" {
		t.Errorf("%+v", got)
	}

	if got := f.endsSoon(f.at); len(got) != 1 || got[0] != "A (2027-02-01)" {
		t.Errorf("%q", got)
	}

	if got := f.relationship(&config.Tenant{TenantID: firstID}); !got.Ends.IsZero() {
		t.Error("a tenant with a sign-in of its own is not reached by a relationship")
	}
}

func TestOneCustomerIsListedInTheSingular(t *testing.T) {
	for n, want := range []string{"0 customers are listed", "1 customer is listed", "2 customers are listed"} {
		if got := listedText(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
