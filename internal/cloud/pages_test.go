package cloud

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"text/template"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/golden"
)

// page compares a page of docs with what its template makes of values.
func page(t *testing.T, name string, values map[string]string) {
	t.Helper()

	tmpl, err := template.ParseFiles("../../testdata/cloud/" + name + ".tmpl")
	if err != nil {
		t.Fatal(err)
	}

	var b strings.Builder
	if err := tmpl.Execute(&b, values); err != nil {
		t.Fatal(err)
	}

	golden.File(t, "../../docs/"+name+".md", b.String())
}

// firewall is a host with what it is reached for, in which clouds.
type firewall struct{ host, port, what, clouds string }

// firewalls are all hosts of the table, each once.
func firewalls(t *testing.T) []firewall {
	t.Helper()

	type use struct{ whats, clouds []string }

	uses := map[string]*use{}

	var order []string

	add := func(address, what string, c Cloud) {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" {
			t.Fatalf("%q: %v", address, err)
		}

		host := u.Hostname() + " " + cmp.Or(u.Port(), "443")
		if uses[host] == nil {
			uses[host] = &use{}
			order = append(order, host)
		}

		if !slices.Contains(uses[host].whats, what) {
			uses[host].whats = append(uses[host].whats, what)
		}

		if !slices.Contains(uses[host].clouds, string(c)) {
			uses[host].clouds = append(uses[host].clouds, string(c))
		}
	}
	for _, r := range Table() {
		add(r.LoginURL, "sign-in", r.Cloud)
	}

	for _, r := range Table() {
		what := "`api " + string(r.API) + "`"
		if r.Region != "" {
			what += ", `region " + r.Region + "`"
		}

		add(r.APIURL, what, r.Cloud)
	}

	for _, c := range Clouds() {
		add(GraphURL(c), "lists of customers (`discover`)", c)
	}

	add(PartnerURL, "consent for customers (`tenants consent`)", Commercial)

	var list []firewall

	for _, host := range order {
		name, port, _ := strings.Cut(host, " ")
		list = append(list, firewall{
			host:   name,
			port:   port,
			what:   strings.Join(uses[host].whats, "; "),
			clouds: strings.Join(uses[host].clouds, ", "),
		})
	}

	return list
}

func TestGoldenInstallPage(t *testing.T) {
	var rows strings.Builder
	for _, f := range firewalls(t) {
		fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", f.host, f.port, f.what, f.clouds)
	}

	page(t, "install", map[string]string{"Hosts": rows.String()})
}

func TestTheFirewallTableHasEveryHost(t *testing.T) {
	listed := map[string]bool{}
	for _, f := range firewalls(t) {
		if listed[f.host] {
			t.Errorf("%s is there twice", f.host)
		}

		listed[f.host] = true
	}

	for _, r := range Table() {
		for _, address := range []string{r.LoginURL, r.APIURL} {
			if u, err := url.Parse(address); err != nil || !listed[u.Hostname()] {
				t.Errorf("%s is not listed (%v)", address, err)
			}
		}
	}
}

func TestGoldenAPIsPage(t *testing.T) {
	var (
		rows, fields strings.Builder
		current      []string
	)

	for _, a := range alert.APIs() {
		d, err := a.Descriptor()
		if err != nil {
			t.Fatal(err)
		}

		if d.Deprecation == "" {
			current = append(current, "`"+string(a)+"`")
		}

		var budget []string
		if d.PerMinute > 0 {
			budget = append(budget, fmt.Sprintf("%d a minute", d.PerMinute))
		}

		if d.PerHour > 0 {
			budget = append(budget, fmt.Sprintf("%d an hour", d.PerHour))
		}

		size := "all at once"
		if d.MaxPage > 0 {
			size = fmt.Sprint(d.MaxPage)
		}

		p := d.Permission
		fmt.Fprintf(&rows, "| `%s` | `%s` | %s | %s | %s | %s | %s |\n", a, d.Path, orPortal(p, p.Delegated),
			orPortal(p, p.Application), size, cmp.Or(strings.Join(budget, ", "), "not published"),
			cmp.Or(d.Deprecation, "current"))
		fmt.Fprintf(&fields, "| `%s` | `%s` | `%s` | `%s` |\n", a, d.Row.Identity, d.Row.Updated, d.Row.Created)
	}

	page(t, "apis", map[string]string{
		"APIs":    rows.String(),
		"Fields":  fields.String(),
		"Current": strings.Join(current, ", "),
	})
}

// The table in the README and the first one of docs/apis.md are written by hand.
func TestThePagesNameEveryAPI(t *testing.T) {
	const readme = "../../README.md"

	for _, path := range []string{readme, "../../testdata/cloud/apis.tmpl"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}

		for _, api := range alert.APIs() {
			facts, err := api.Descriptor()
			if err != nil {
				t.Fatal(err)
			}

			_, row, found := strings.Cut(string(text), "\n| `"+string(api)+"` |")
			if !found {
				t.Errorf("%s: the table of the APIs has no row of `%s`", path, api)
				continue
			}

			row, _, _ = strings.Cut(row, "\n")

			permission := facts.Permission.Delegated
			if path == readme && permission != "" && !strings.Contains(row, "`"+permission+"`") {
				t.Errorf("%s: the row of `%s` does not name its permission, %s", path, api, permission)
			}
		}
	}
}

// orPortal returns a permission, or the page of the portal where an API has none.
func orPortal(p alert.Permission, name string) string {
	if name == "" {
		return "none: the customer's portal, " + p.Portal
	}

	return "`" + name + "`"
}
