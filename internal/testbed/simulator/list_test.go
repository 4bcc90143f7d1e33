package simulator_test

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// listPath has the path of each OData list.
var listPath = listPaths()

func listPaths() map[string]string {
	paths := map[string]string{}

	for _, api := range simulator.APIs() {
		if api != simulator.SIEM {
			paths[api] = simulator.Path(api)
		}
	}

	return paths
}

// many starts a simulator with n alerts a minute apart, "a000" the oldest, that were
// all updated at 11:xx in the opposite order.
func many(t *testing.T, n int, change ...func(*simulator.Config)) fixture {
	f := start(t, change...)

	now := f.clock.Now()
	for i := range n {
		f.Add(contoso, simulator.Alert{
			ID:            fmt.Sprintf("a%03d", i),
			IncidentID:    int64(1000 + i),
			Created:       now.Add(-2*time.Hour + time.Duration(i)*time.Second),
			Updated:       now.Add(-time.Second * time.Duration(i+1)),
			Severity:      []string{"High", "Low"}[i%2],
			ServiceSource: "microsoftSentinel",
			Evidence:      []simulator.Evidence{{Type: "File", FileName: "x.exe"}},
		})
	}

	return f
}

// ids returns the ids in an answer, joined.
func (a answer) ids(t *testing.T, key string) string {
	t.Helper()

	list, ok := a.json(t)["value"].([]any)
	if !ok || a.status != 200 {
		t.Fatalf("status %d: %.300s", a.status, a.body)
	}

	return strings.Join(texts(list, key), " ")
}

// listOptions are queries of a list, and the alerts that each returns.
var listOptions = map[string]struct{ api, query, want string }{
	"newest first":          {simulator.Endpoint, "", "a004 a003 a002 a001 a000"},
	"$top":                  {simulator.Endpoint, "?$top=2", "a004 a003"},
	"$top as it is encoded": {simulator.Endpoint, "?%24top=2", "a004 a003"},
	"$top and $skip":        {simulator.Endpoint, "?$top=2&$skip=4", "a000"},
	"$top=0":                {simulator.Endpoint, "?$top=0", ""},
	"an option without its dollar is ignored": {
		simulator.Endpoint,
		"?top=2&filter=severity+eq+'High'",
		"a004 a003 a002 a001 a000",
	},
	"$orderby by update": {simulator.Endpoint, "?$orderby=lastUpdateTime+asc", "a004 a003 a002 a001 a000"},
	"$orderby down":      {simulator.Endpoint, "?$orderby=lastUpdateTime%20desc&$top=2", "a000 a001"},
	"$orderby by two": {
		simulator.Endpoint,
		"?$orderby=severity,alertCreationTime+desc",
		"a004 a002 a000 a003 a001",
	},
	"$filter with plus signs": {simulator.Endpoint, "?$filter=severity+eq+'Low'", "a003 a001"},
	"$filter, a window": {
		simulator.Graph,
		"?$orderby=lastUpdateDateTime+asc" +
			"&$filter=lastUpdateDateTime+ge+2026-03-01T11:59:57Z+and+lastUpdateDateTime+lt+2026-03-01T11:59:59Z",
		"a002 a001",
	},
	"$filter by a time and $orderby another": {
		simulator.Graph,
		"?$orderby=createdDateTime+asc&$filter=lastUpdateDateTime+ge+2026-03-01T11:59:57Z",
		"a000 a001 a002",
	},
	"Graph's enumerations are in camel case": {
		simulator.Graph,
		"?$filter=severity+eq+'high'&$orderby=createdDateTime+asc",
		"a000 a002 a004",
	},
	"an unmasked value can be filtered by": {
		simulator.Graph,
		"?$filter=serviceSource+eq+'microsoftSentinel'&$top=1",
		"a004",
	},
	"$count":             {simulator.Graph, "?$count=true&$top=1", "a004"},
	"incidents":          {simulator.Incidents, "?$filter=status+eq+'Active'&$top=2", "1004 1003"},
	"the versioned path": {simulator.Endpoint, "", "a004 a003 a002 a001 a000"},
}

func TestListOptions(t *testing.T) {
	f := many(t, 5)

	for name, test := range listOptions {
		t.Run(name, func(t *testing.T) {
			f := f
			f.t = t

			key, path := "id", listPath[test.api]
			if test.api == simulator.Incidents {
				key = "incidentId"
			}

			if name == "the versioned path" {
				path = "/api/v1.0/alerts"
			}

			if got := f.get(test.api, contoso, path+test.query).ids(t, key); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}

	a := f.get(simulator.Graph, contoso, "/V1.0/Security/Alerts_v2?$count=true&$top=1")
	if a.json(t)["@odata.count"] != 5.0 {
		t.Errorf("count: %s", a.body)
	}
}

// listRefusals are queries that are refused.
var listRefusals = map[string]struct {
	api, query, code, text string
}{
	"a quoted date at Graph": {
		simulator.Graph,
		"?$filter=lastUpdateDateTime+ge+'2026-03-01T00:00:00Z'",
		"BadRequest",
		"Invalid filter clause: A binary operator with incompatible types",
	},
	"a date without a zone": {
		simulator.Graph,
		"?$filter=lastUpdateDateTime+ge+2026-03-01T00:00:00",
		"BadRequest",
		"should be in format",
	},
	"a property that is no filter": {
		simulator.Graph,
		"?$filter=investigationState+eq+'x'",
		"BadRequest",
		"Could not find",
	},
	"severity of incidents": {
		simulator.Incidents,
		"?$filter=severity+eq+'High'",
		"ODataError",
		"Could not find",
	},
	"more than 500 skipped at Graph":   {simulator.Graph, "?$skip=501", "BadRequest", "Skip"},
	"more than 100 incidents":          {simulator.Incidents, "?$top=101", "ODataError", "'100'"},
	"more than 10000 alerts":           {simulator.Endpoint, "?$top=10001", "ODataError", "'10000'"},
	"a negative $top":                  {simulator.Endpoint, "?$top=-1", "ODataError", "$top"},
	"a $skip that is no number":        {simulator.Endpoint, "?$skip=x", "ODataError", "$skip"},
	"an option given twice":            {simulator.Endpoint, "?$top=1&$top=2", "ODataError", "more than once"},
	"an unknown option":                {simulator.Endpoint, "?$select=id", "ODataError", "$select"},
	"an expansion of something else":   {simulator.Endpoint, "?$expand=alerts", "ODataError", "expand"},
	"an expansion at Graph":            {simulator.Graph, "?$expand=evidence", "BadRequest", "expand"},
	"an order by something else":       {simulator.Endpoint, "?$orderby=title", "ODataError", "orderby"},
	"an order that is none":            {simulator.Endpoint, "?$orderby=severity+up", "ODataError", "orderby"},
	"a skip token that was not issued": {simulator.Graph, "?$skiptoken=AAAA", "BadRequest", "skip token"},
}

func TestListRefusals(t *testing.T) {
	f := many(t, 2)

	for name, test := range listRefusals {
		t.Run(name+" is refused", func(t *testing.T) {
			f := f
			f.t = t
			a := f.get(test.api, contoso, listPath[test.api]+strings.ReplaceAll(test.query, "'", "%27"))

			e, _ := a.json(t)["error"].(map[string]any)
			if a.status != 400 || e["code"] != test.code || !strings.Contains(fmt.Sprint(e["message"]), test.text) {
				t.Fatalf("got %d %s", a.status, a.body)
			}

			if test.api == simulator.Graph {
				inner := e["innerError"].(map[string]any)
				if _, err := time.Parse("2006-01-02T15:04:05", fmt.Sprint(inner["date"])); err != nil ||
					inner["request-id"] == "" {
					t.Errorf("innerError is %v", inner)
				}
			} else if target, _ := e["target"].(string); len(target) != 36 {
				t.Errorf("target is %v", e["target"])
			}
		})
	}

	for api, path := range listPath {
		a := do(t, "POST", f.APIURL(api)+path, "", "Authorization", "Bearer "+f.access(api, contoso))
		if a.status != 405 {
			t.Errorf("%s: POST gave %d", api, a.status)
		}

		if a := f.get(api, contoso, path+"x"); a.status != 404 {
			t.Errorf("%s: another path gave %d", api, a.status)
		}
	}

	f = many(t, 2, func(c *simulator.Config) { c.OrderBy = simulator.OrderRefused })
	a := f.get(simulator.Graph, contoso, listPath[simulator.Graph]+"?$orderby=lastUpdateDateTime+asc")
	if a.status != 400 {
		t.Errorf("an order, when it is refused: %d", a.status)
	}

	f = many(t, 2, func(c *simulator.Config) { c.OrderBy = simulator.OrderIgnored })
	got := f.get(simulator.Graph, contoso, listPath[simulator.Graph]+"?$orderby=createdDateTime+asc").
		ids(t, "id")
	if got != "a001 a000" {
		t.Errorf("an order, when it is ignored: %s", got)
	}
}

// walk follows links and returns all ids; it stops after most pages.
func (f fixture) walk(path string, most int) (ids []string, last answer) {
	f.t.Helper()

	next := f.APIURL(simulator.Graph) + path
	for range most {
		last = do(f.t, "GET", next, "", "Authorization", "Bearer "+f.access(simulator.Graph, contoso))
		if last.status != 200 {
			return ids, last
		}

		ids = append(ids, strings.Fields(last.ids(f.t, "id"))...)

		link, ok := last.json(f.t)["@odata.nextLink"].(string)
		if !ok {
			return ids, last
		}

		next = link
	}

	return ids, last
}

// withoutQuota starts a simulator with n alerts, in which graph answers without end.
func withoutQuota(t *testing.T, n int, change ...func(*simulator.Config)) fixture {
	t.Helper()

	quick := func(c *simulator.Config) { c.Quotas = map[string]simulator.Quota{simulator.Graph: {}} }

	return many(t, n, append(change, quick)...)
}

func TestGraphLinksLeadToEveryRowOnce(t *testing.T) {
	path := listPath[simulator.Graph]

	for name, test := range map[string]struct {
		alerts int
		query  string
		change func(*simulator.Config)
		fault  string
		rows   int
		end    string // a part of the last answer, if it is a refusal
	}{
		"a page of the default size has a link, too": {
			25, "", func(c *simulator.Config) { c.GraphPageSize = 20 }, "", 25, "",
		},
		"an empty page leads on": {
			5, "?$top=2", nil, "emptypage:every=2", 5, "",
		},
		"links by $skip end at 500": {
			620, "?$top=100", func(c *simulator.Config) { c.GraphLinks = simulator.LinkSkip }, "", 600, "Skip query",
		},
		"a link by $skiptoken is refused": {
			5, "?$top=2", nil, "link:kind=skiptoken", 2, "'SkipToken' is not allowed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := withoutQuota(t, test.alerts, func(c *simulator.Config) {
				c.Faults = test.fault
				if test.change != nil {
					test.change(c)
				}
			})

			ids, last := f.walk(path+test.query, 10)
			if slices.Sort(ids); len(slices.Compact(ids)) != test.rows || (last.status == 400) != (test.end != "") ||
				!strings.Contains(last.body, test.end) {
				t.Errorf("got %d rows, then %d %.200s", len(ids), last.status, last.body)
			}

			if kind, _, _ := strings.Cut(test.fault, ":"); kind != "" && f.Requests().Faults[kind] == 0 {
				t.Errorf("there was no %s", kind)
			}
		})
	}
}

func TestGraphLinksKeepOrderAndFilter(t *testing.T) {
	f := withoutQuota(t, 25)

	ids, _ := f.walk(
		listPath[simulator.Graph]+"?$top=10&$orderby=lastUpdateDateTime+asc&$filter=severity+eq+'high'", 10)
	if len(ids) != 13 || ids[0] != "a024" || ids[12] != "a000" {
		t.Errorf("got %v", ids)
	}
}

func TestGraphClampsALargerTopWithoutAWord(t *testing.T) {
	f := withoutQuota(t, 1001)

	a := f.get(simulator.Graph, contoso, listPath[simulator.Graph]+"?$top=5000")
	if n := len(strings.Fields(a.ids(t, "id"))); n != 1000 || a.json(t)["@odata.nextLink"] == nil {
		t.Errorf("got %d rows", n)
	}
}

func TestAGraphLinkIsForItsOwnQueryOnly(t *testing.T) {
	f := withoutQuota(t, 5)
	first := f.get(simulator.Graph, contoso, listPath[simulator.Graph]+"?$top=2")

	u, err := url.Parse(first.json(t)["@odata.nextLink"].(string))
	if err != nil {
		t.Fatal(err)
	}

	a := f.get(simulator.Graph, contoso, strings.Replace(u.RequestURI(), "$top=2", "$top=3", 1))
	if a.status != 400 {
		t.Errorf("with another query: %d", a.status)
	}
}

// TestRowsMoveWhileGraphPagesAreRead: the first alert leaves the window after the second
// page, so the one in the middle is passed over.
func TestRowsMoveWhileGraphPagesAreRead(t *testing.T) {
	f := withoutQuota(t, 6, func(c *simulator.Config) { c.Faults = "move:count=1" })
	f.clock.Advance(time.Minute)

	ids, _ := f.walk(
		listPath[simulator.Graph]+
			"?$top=2&$orderby=lastUpdateDateTime+asc&$filter=lastUpdateDateTime+lt+2026-03-01T12:00:30Z",
		10,
	)
	if got := strings.Join(ids, " "); got != "a005 a004 a002 a001 a000" {
		t.Errorf("got %s", got)
	}
}

func TestFaultyGraphLinks(t *testing.T) {
	for fault, want := range map[string]string{
		"link:kind=repeat":    "$top=2",
		"link:kind=nodollar":  "top=2&$skip=2",
		"link:kind=otherhost": "graph.attacker.example",
	} {
		t.Run(fault, func(t *testing.T) {
			f := withoutQuota(t, 5, func(c *simulator.Config) { c.Faults = fault })
			a := f.get(simulator.Graph, contoso, listPath[simulator.Graph]+"?$top=2")

			link, _ := a.json(t)["@odata.nextLink"].(string)
			if !strings.Contains(link, want) ||
				strings.Contains(link, "$skiptoken") != (fault == "link:kind=otherhost") {
				t.Errorf("the link is %s", link)
			}
		})
	}
}

func TestEndpointHasNoLinks(t *testing.T) {
	f := many(t, 5)
	for _, query := range []string{"", "?$top=2"} {
		if a := f.get(simulator.Endpoint, contoso, "/api/alerts"+query); strings.Contains(a.body, "nextLink") {
			t.Errorf("%q: %s", query, a.body)
		}
	}
}

func TestEndpointLinksWhenAskedFor(t *testing.T) {
	f := many(t, 5, func(c *simulator.Config) { c.EndpointLinks = true })
	if a := f.get(simulator.Endpoint, contoso, "/api/alerts?$top=2"); strings.Contains(a.body, "nextLink") {
		t.Errorf("there is a link beside $top: %s", a.body)
	}

	if a := f.get(simulator.Endpoint, contoso, "/api/alerts"); strings.Contains(a.body, "nextLink") {
		t.Errorf("there is a link behind the last page: %s", a.body)
	}
}

func TestEvidenceNeedsExpand(t *testing.T) {
	f := many(t, 1)
	if a := f.get(simulator.Endpoint, contoso, "/api/alerts"); !strings.Contains(a.body, `"evidence":[]}]`) {
		t.Errorf("without: %s", a.body)
	}

	a := f.get(simulator.Endpoint, contoso, "/api/alerts?$expand=evidence")
	if !strings.Contains(a.body, `"evidence":[{"entityType":"File"`) {
		t.Errorf("with: %s", a.body)
	}
}

func TestUnknownMembersAreMasked(t *testing.T) {
	f := many(t, 1)
	a := f.get(simulator.Graph, contoso, listPath[simulator.Graph])
	if a.ids(t, "serviceSource") != "unknownFutureValue" {
		t.Errorf("without the preference: %s", a.body)
	}

	a = f.get(simulator.Graph, contoso, listPath[simulator.Graph], "Prefer",
		"odata.maxpagesize=5, include-unknown-enum-members")
	if a.ids(t, "serviceSource") != "microsoftSentinel" || a.header.Get("Preference-Applied") == "" {
		t.Errorf("with it: %s", a.body)
	}
}

func TestOneAlert(t *testing.T) {
	f := many(t, 2)
	ids := map[string]string{simulator.Incidents: "1001", simulator.GraphIncidents: "1001"}
	for api := range listPath {
		id := cmp.Or(ids[api], "a001")

		a := f.get(api, contoso, listPath[api]+"/"+id)
		if a.status != 200 || !strings.Contains(a.body, id) {
			t.Errorf("%s: %d %s", api, a.status, a.body)
		}

		if a := f.get(api, contoso, listPath[api]+"/none"); a.status != 404 {
			t.Errorf("%s: one that is not there: %d", api, a.status)
		}
	}
}

func TestQuotas(t *testing.T) {
	f := start(t)
	for api, most := range map[string]int{simulator.Endpoint: 100, simulator.Graph: 150, simulator.Incidents: 50} {
		token := "Bearer " + f.access(api, contoso)

		get := func() answer { return do(t, "GET", f.APIURL(api)+listPath[api], "", "Authorization", token) }
		for range most {
			if a := get(); a.status != 200 {
				t.Fatalf("%s: %d %s", api, a.status, a.body)
			}
		}

		f.clock.Advance(20 * time.Second)

		if a := get(); a.status != 429 || a.header.Get("Retry-After") != "40" ||
			!strings.Contains(a.body, `"code":"TooManyRequests"`) {
			t.Fatalf("%s beyond the quota: %d %v %s", api, a.status, a.header, a.body)
		}

		if got := f.Requests(); got.OverQuota[api] != 1 || got.Early[api] != 0 {
			t.Errorf("%s: counted %v, early %v", api, got.OverQuota, got.Early)
		}

		if a := get(); a.status != 429 || f.Requests().Early[api] != 1 {
			t.Errorf("%s, too early: %d %v", api, a.status, f.Requests().Early)
		}

		if a := f.get(api, fabrikam, listPath[api]); a.status != 200 {
			t.Errorf("%s: another tenant has its own quota: %d", api, a.status)
		}

		f.clock.Advance(40 * time.Second)

		if a := get(); a.status != 200 {
			t.Errorf("%s in the next minute: %d", api, a.status)
		}
	}

	f = start(t)

	for i := range 1501 { // 1500 an hour
		if i%60 == 0 {
			f.clock.Advance(time.Minute)
		}

		a := f.get(simulator.Endpoint, contoso, "/api/alerts")
		if want := 200 + 229*(i/1500); a.status != want {
			t.Fatalf("call %d: %d", i, a.status)
		}
	}
}
