package alert

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fluent-bit-defender/internal/testbed/simulator"
)

// Every fact of every API is there, or its absence has a reason.
func TestEveryAPIHasEveryFact(t *testing.T) {
	for _, api := range APIs() {
		facts, err := api.Descriptor()
		if err != nil {
			t.Fatal(err)
		}

		for name, empty := range fieldsOf(reflect.ValueOf(*facts), "") {
			reason, excused := facts.Absent[name]
			switch {
			case empty && !excused:
				t.Errorf("%s: %s is empty, and Absent does not say why", api, name)
			case !empty && excused:
				t.Errorf("%s: %s is there, but Absent has a reason why not", api, name)
			case excused && reason == "":
				t.Errorf("%s: Absent has no reason for %s", api, name)
			}
		}

		for name := range facts.Absent {
			if _, known := fieldsOf(reflect.ValueOf(*facts), "")[name]; !known {
				t.Errorf("%s: Absent names %s, which is no field", api, name)
			}
		}
	}
}

// fieldsOf reports for every field, those of structs inside too, whether it is empty.
func fieldsOf(v reflect.Value, prefix string) map[string]bool {
	fields := map[string]bool{}

	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Name
		switch f := v.Field(i); {
		case name == "Absent":
		case f.Kind() == reflect.Struct:
			for inner, empty := range fieldsOf(f, name+".") {
				fields[inner] = empty
			}
		default:
			fields[name] = f.IsZero()
		}
	}

	return fields
}

// Tests that go through simulator.APIs() cover an API only if the simulator has it.
func TestTheSimulatorHasEveryAPI(t *testing.T) {
	has := simulator.APIs()
	for _, api := range APIs() {
		if !slices.Contains(has, string(api)) {
			t.Errorf("the simulator's dataAPIs (dataapi.go) have no row for the API %s", api)
		}
	}

	if len(has) != len(APIs()) {
		t.Errorf("the simulator has %s; the APIs are %s", strings.Join(has, ", "), strings.Join(APINames(), ", "))
	}
}

// The simulator grants and consents for what the descriptors name, so that sign-in and
// `tenants consent` can be tested with every API.
func TestTheSimulatorHasEveryPermission(t *testing.T) {
	for _, api := range APIs() {
		facts, err := api.Descriptor()
		if err != nil {
			t.Fatal(err)
		}

		p := facts.Permission
		if p.AppID == "" {
			continue
		}

		roles, scopes := simulator.Permissions(p.AppID)
		if !slices.Contains(roles, p.Application) || !slices.Contains(scopes, p.Delegated) {
			t.Errorf("the simulator's resources (resource.go): application %s of the API %s has the permissions %q "+
				"and, delegated, %q, but not %s and %s", p.AppID, api, roles, scopes, p.Application, p.Delegated)
		}
	}
}

func TestAnUnknownAPIIsAnError(t *testing.T) {
	for _, name := range []string{"grape", "graph ", ""} {
		var unknown *UnknownError
		if _, err := API(name).Descriptor(); !errors.As(err, &unknown) || unknown.Key != "api" {
			t.Errorf("%q has a descriptor: %v", name, err)
		}

		if _, err := NewDescriber(API(name)); err == nil {
			t.Errorf("%q has a Describer", name)
		}

		if _, err := NewIdentifier(Rules{API: API(name)}); err == nil {
			t.Errorf("%q has an Identifier", name)
		}
	}

	_, err := ParseAPI("grape")

	want := `api: unknown API "grape"; use one of ` + strings.Join(APINames(), ", ")
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNamesAreReadInAnyCase(t *testing.T) {
	for _, a := range APIs() {
		if got, err := ParseAPI(strings.ToUpper(string(a))); got != a || err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}

	for _, f := range TimeFields() {
		if got, err := ParseTimeField(strings.ToUpper(string(f))); got != f || err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}

	if a, err := ParseAPI(""); a != Graph || err != nil {
		t.Error("graph is not the default")
	}

	if f, err := ParseTimeField(""); f != TimeUpdated || err != nil {
		t.Error("updated is not the default")
	}

	if _, err := ParseTimeField("later"); err == nil {
		t.Error("an unknown time field is accepted")
	}

	if !slices.Equal(TimeFieldNames(), []string{"updated", "created", "now"}) {
		t.Error(TimeFieldNames())
	}
}

func TestAPermissionThatAllowsReadingIsFound(t *testing.T) {
	for _, test := range []struct {
		api        API
		permission string
		want       bool
	}{
		{Graph, "SecurityAlert.Read.All", true},
		{Graph, "securityalert.readwrite.all", true},
		{Graph, "SecurityIncident.Read.All", false},
		{Endpoint, "Alert.Read", true},
		{Endpoint, "Alert.Write", false},
		{Incidents, "Incident.ReadWrite", true},
		{SIEM, "Alert.Read", false},
		{SIEM, ".Read", false},
	} {
		facts, err := test.api.Descriptor()
		if err != nil {
			t.Fatal(err)
		}

		if got := facts.Permission.Allows(test.permission); got != test.want {
			t.Errorf("%s, %s: %t", test.api, test.permission, got)
		}
	}
}
