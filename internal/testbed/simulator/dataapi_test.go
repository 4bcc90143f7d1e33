package simulator

import (
	"slices"
	"strings"
	"testing"
)

// Every data API has all of its facts. A missing one would show as an answer of 404 or a
// broken connection, which names no reason.
func TestEveryDataAPIIsWhole(t *testing.T) {
	for _, a := range dataAPIs {
		if !strings.HasPrefix(a.path, "/") || a.path != strings.ToLower(a.path) {
			t.Errorf("dataapi.go: the path of %s is %q; want one in small letters", a.name, a.path)
		}

		owners := slices.DeleteFunc(slices.Clone(resources), func(r resource) bool { return !r.serves(a.name) })
		if len(owners) != 1 {
			t.Errorf("resource.go: tokens of %d resources are for %s; want 1", len(owners), a.name)
			continue
		}

		if a.name == SIEM {
			continue // it lists detections, in one piece
		}

		permissions := slices.Concat(owners[0].roles, owners[0].scopes)
		if !slices.ContainsFunc(permissions, func(p string) bool { return strings.HasPrefix(p, a.needs) }) {
			t.Errorf("resource.go: no permission of %s begins with %q", a.name, a.needs)
		}

		if (a.alertRow == nil) == (a.incidentRow == nil) {
			t.Errorf("dataapi.go: %s needs an alertRow or an incidentRow, and not both", a.name)
		}

		if (a.incidentRow == nil) != (a.alertUpdated == "") {
			t.Errorf("dataapi.go: %s has an alertUpdated only if it lists incidents", a.name)
		}

		if a.identity == "" || a.updated == "" {
			t.Errorf("dataapi.go: %s lacks its identity or its updated", a.name)
		}

		if a.quota == (Quota{}) {
			t.Errorf("dataapi.go: %s has no quota", a.name)
		}

		a.checkList(t)
	}
}

// checkList reports what is missing in the options of a list.
func (a *dataAPI) checkList(t *testing.T) {
	t.Helper()

	if a.list == nil {
		t.Errorf("dataapi.go: %s has no list of OData options (odatalist.go)", a.name)
		return
	}

	if a.list.maxTop == 0 || a.list.context == "" || a.list.code == "" {
		t.Errorf("odatalist.go: %s lacks its maxTop, its context or its code", a.name)
	}

	isUpdated := func(p property) bool { return p.name == a.updated && p.role == 'u' && p.kind == propTime }
	if !slices.ContainsFunc(a.list.filter, isUpdated) {
		t.Errorf("odatalist.go: %s has no filter by the time %s with the role 'u'", a.name, a.updated)
	}
}
