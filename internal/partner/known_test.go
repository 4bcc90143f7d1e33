package partner

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
)

func customer(id, name string) Customer {
	return Customer{TenantID: alert.TenantID(id), Name: name, Relationships: []Relationship{{Roles: []string{reader}}}}
}

// comparison is a series of lists, each compared with what is known from those before.
type comparison struct {
	lists [][]Customer
	keep  func(*KnownCustomer) bool
	want  string // of the last list; a minus stands for vanished
	then  Change // by the last list
}

func comparisons() map[string]comparison {
	always := func(*KnownCustomer) bool { return true }
	never := func(*KnownCustomer) bool { return false }

	return map[string]comparison{
		"the first":     {[][]Customer{{customer(contoso, "C")}}, always, "C", Change{New: []string{"C"}}},
		"the same":      {[][]Customer{{customer(contoso, "C")}, {customer(contoso, "C")}}, always, "C", Change{}},
		"another name":  {[][]Customer{{customer(contoso, "C")}, {customer(contoso, "D")}}, always, "D", Change{}},
		"one vanished":  {[][]Customer{{customer(contoso, "C")}, {}}, always, "-C", Change{Vanished: []string{"C"}}},
		"for long":      {[][]Customer{{customer(contoso, "C")}, {}, {}}, always, "-C", Change{}},
		"and forgotten": {[][]Customer{{customer(contoso, "C")}, {}}, never, "", Change{Vanished: []string{"C"}}},
		"and back": {
			[][]Customer{{customer(contoso, "C")}, {}, {customer(contoso, "C")}},
			always,
			"C",
			Change{Back: []string{"C"}},
		},
		"one more": {
			[][]Customer{{customer(contoso, "C")}, {customer(fabrikam, "B"), customer(contoso, "C")}},
			always,
			"B C",
			Change{New: []string{"B"}},
		},
	}
}

func TestAListIsComparedWithTheOneBefore(t *testing.T) {
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)

	for name, c := range comparisons() {
		t.Run(name, func(t *testing.T) {
			var (
				known Known
				last  Change
			)
			for _, list := range c.lists {
				known, last = known.Update(list, at, c.keep)

				body, err := known.Encode()
				if err != nil {
					t.Fatal(err)
				}

				if known, err = DecodeKnown(body); err != nil {
					t.Fatal(err)
				}
			}

			var got []string

			for _, k := range known.Customers {
				if k.Gone() {
					k.Name = "-" + k.Name
				}

				got = append(got, k.Name)
			}

			if strings.Join(got, " ") != c.want || !reflect.DeepEqual(last, c.then) || !known.Listed.Equal(at) {
				t.Errorf("got %q, %+v", got, last)
			}
		})
	}
}

// FuzzKnown: what a store returns is a list of one-line names with GUIDs, or an error.
func FuzzKnown(f *testing.F) {
	f.Add([]byte(`{"listed":"2027-01-02T03:04:05Z","customers":[{"tenant_id":"` + contoso + `","tenant_name":"C"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		k, err := DecodeKnown(body)
		if err != nil {
			return
		}

		for _, c := range k.Customers {
			if !alert.IsGUID(string(c.TenantID)) || c.Name == "" || strings.ContainsAny(c.Name, "\n\x1b") {
				t.Errorf("%+v", c)
			}
		}
	})
}
