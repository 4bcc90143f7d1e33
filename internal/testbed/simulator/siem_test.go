package simulator_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

func (a answer) rows(t *testing.T) []any {
	t.Helper()

	var rows []any
	if err := json.Unmarshal([]byte(a.body), &rows); err != nil || a.status != 200 {
		t.Fatalf("status %d: %v in %.300q", a.status, err, a.body)
	}

	return rows
}

func siemStart(t *testing.T, change ...func(*simulator.Config)) fixture {
	f := start(t, change...)

	now := f.clock.Now()
	for i, id := range []string{"old", "b", "c", "d"} {
		at := now.Add(-3*time.Hour + time.Duration(i)*time.Hour).Add(100 * time.Nanosecond)
		f.Add(contoso, simulator.Alert{
			ID:           id,
			Title:        "t",
			Created:      at,
			MachineGroup: []string{"A", "B"}[i%2],
			RegistryTags: "x",
			PortalTags:   id,
		})
	}

	f.clock.Advance(time.Minute)

	return f
}

func TestSIEMParameters(t *testing.T) {
	f := siemStart(t)

	tests := map[string]struct {
		query string
		want  string
	}{
		"nothing means the last two hours": {"", "c d"},
		"since reaches further back":       {"?sinceTimeUtc=2026-03-01T09:00:00.000", "b c d old"},
		"since with a zone":                {"?sinceTimeUtc=2026-03-01T09:00:00Z", "b c d old"},
		"until cuts the end": {
			"?sinceTimeUtc=2026-03-01T09:00:00.000&untilTimeUtc=2026-03-01T10:30:00.000",
			"b old",
		},
		"ago is a duration":                       {"?ago=PT2H5M", "b c d"},
		"ago in days":                             {"?ago=P1D", "b c d old"},
		"limit keeps the most recent":             {"?ago=P1D&limit=2", "c d"},
		"machinegroups":                           {"?ago=P1D&machinegroups=B", "b d"},
		"machinegroups may be repeated":           {"?ago=P1D&machinegroups=B&machinegroups=A", "b c d old"},
		"registry tags":                           {"?ago=P1D&DeviceCreatedMachineTags=x", "b c d old"},
		"portal tags":                             {"?ago=P1D&CloudCreatedMachineTags=c", "c"},
		"an empty window is an empty array":       {"?sinceTimeUtc=2027-03-01T09:00:00.000", ""},
		"since is inclusive unless set otherwise": {"?sinceTimeUtc=2026-03-01T11:00:00.0000001", "c d"},
		"the path may end in a slash":             {"/?ago=PT2H5M", "b c d"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rows := f.get(simulator.SIEM, contoso, "/api/alerts"+test.query).rows(t)
			ids := texts(rows, "AlertId")
			slices.Sort(ids)

			if got := strings.Join(ids, " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSIEMRefusals(t *testing.T) {
	f := siemStart(t)
	for name, query := range map[string]string{
		"a quoted time":                 `?sinceTimeUtc="2026-03-01T09:00:00.000"`,
		"no time":                       "?sinceTimeUtc=yesterday",
		"an unknown parameter":          "?since=2026-03-01T09:00:00.000",
		"an OData option":               "?$top=1",
		"a parameter given twice":       "?limit=1&limit=2",
		"a negative limit":              "?limit=-1",
		"no limit at all":               "?limit=0",
		"ago beside since":              "?ago=PT1H&sinceTimeUtc=2026-03-01T09:00:00.000",
		"ago as a Go duration":          "?ago=1h",
		"ago without a value":           "?ago=P",
		"a query that is badly encoded": "?limit=%zz",
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			query := strings.ReplaceAll(query, `"`, "%22")
			if a := f.get(simulator.SIEM, contoso, "/api/alerts"+query); a.status != 400 ||
				a.json(t)["Message"] == "" {
				t.Errorf("got %d %s", a.status, a.body)
			}
		})
	}

	for _, method := range []string{"POST", "HEAD", "PUT", "DELETE"} {
		t.Run(method+" is refused", func(t *testing.T) {
			a := do(t, method, f.APIURL(simulator.SIEM)+"/api/alerts", "", "Authorization",
				"Bearer "+f.access(simulator.SIEM, contoso))
			if a.status != 405 || a.header.Get("Allow") != "GET" {
				t.Errorf("got %d %v", a.status, a.header)
			}
		})
	}

	f = siemStart(t, func(c *simulator.Config) { c.SIEMUnknownParameters, c.SIEMRefusalStatus = true, 401 })
	if a := f.get(simulator.SIEM, contoso, "/api/alerts?since=x"); a.status != 200 {
		t.Errorf("unknown parameters, when they are let pass: %d", a.status)
	}

	if a := f.get(simulator.SIEM, contoso, "/api/alerts?ago=x"); a.status != 401 {
		t.Errorf("malformed requests, when they are 401: %d", a.status)
	}
}

func TestSIEMBounds(t *testing.T) {
	for bounds, want := range map[string]int{"[)": 1, "[]": 2, "()": 0, "(]": 1} {
		f := start(t, func(c *simulator.Config) { c.SIEMBounds = bounds })
		now := f.clock.Now()
		f.Add(contoso, simulator.Alert{Created: now.Add(-20 * time.Minute)})
		f.Add(contoso, simulator.Alert{Created: now.Add(-10 * time.Minute)})

		rows := f.get(simulator.SIEM, contoso,
			"/api/alerts?sinceTimeUtc=2026-03-01T11:40:00.000&untilTimeUtc=2026-03-01T11:50:00.000").rows(t)
		if len(rows) != want {
			t.Errorf("%s: %d rows, want %d", bounds, len(rows), want)
		}
	}

	if _, err := simulator.New(simulator.Config{SIEMBounds: "[["}); err == nil {
		t.Error("bounds that are none were accepted")
	}
}

func TestAPIsCheckTheToken(t *testing.T) {
	f := start(t)

	for _, api := range simulator.APIs() {
		path := simulator.Path(api)
		get := func(token string) int {
			return do(t, "GET", f.APIURL(api)+path, "", "Authorization", token).status
		}

		got := do(t, "GET", f.APIURL(api)+path, "")
		if got.status != 401 || got.header.Get("WWW-Authenticate") == "" ||
			!strings.HasPrefix(got.body, "{") {
			t.Errorf("%s without a token: %d %s", api, got.status, got.body)
		}

		if got := get("Bearer forged"); got != 401 {
			t.Errorf("%s with a forged token: %d", api, got)
		}

		if got := get("Basic " + f.access(api, contoso)); got != 401 {
			t.Errorf("%s with another scheme: %d", api, got)
		}

		for _, other := range simulator.APIs() {
			want := 401
			if simulator.ResourceOf(other) == simulator.ResourceOf(api) {
				want = 200
			}

			if got := get("Bearer " + f.access(other, contoso)); got != want {
				t.Errorf("%s with a token for %s: %d", api, other, got)
			}
		}
	}

	v2 := f.token(contoso+"/oauth2/v2.0/token", with(appV2, "scope", "https://graph.windows.net/.default"))

	a := do(t, "GET", f.APIURL(simulator.SIEM)+"/api/alerts", "", "Authorization", "Bearer "+v2.token())
	if a.status != 401 {
		t.Errorf("siem with a v2 token: %d", a.status)
	}
}

func TestAnAccessTokenThatEndedIsRefused(t *testing.T) {
	f := start(t)
	old := f.access(simulator.Graph, contoso)
	f.clock.Advance(time.Hour)

	a := do(t, "GET", f.APIURL(simulator.Graph)+simulator.Path(simulator.Graph), "", "Authorization", "Bearer "+old)
	if a.status != 401 || !strings.Contains(a.body, "InvalidAuthenticationToken") {
		t.Errorf("with an expired token: %d %s", a.status, a.body)
	}

	old = f.access(simulator.Graph, contoso)
	f.EndAccessTokens(contoso)

	a = do(t, "GET", f.APIURL(simulator.Graph)+simulator.Path(simulator.Graph), "", "Authorization", "Bearer "+old)
	if a.status != 401 {
		t.Errorf("with an ended token: %d", a.status)
	}
}

func TestAPIsCheckPermissions(t *testing.T) {
	f := start(t)
	if a := f.get(simulator.SIEM, fabrikam, "/api/alerts"); a.status != 403 {
		t.Errorf("siem without the step on the MSSP tab: %d", a.status)
	}

	f.SetMSSPAuthorised(fabrikam, true)

	if a := f.get(simulator.SIEM, fabrikam, "/api/alerts"); a.status != 200 {
		t.Errorf("siem after the step on the MSSP tab: %d", a.status)
	}

	f.SetApp(contoso, client, func(a *simulator.App) { a.Roles = []string{} })

	a := f.get(simulator.Graph, contoso, "/v1.0/security/alerts_v2")
	if a.status != 403 ||
		!strings.Contains(
			a.body,
			"Missing application roles. API required roles: "+
				"SecurityAlert.Read.All,SecurityAlert.ReadWrite.All,"+
				"SecurityIncident.Read.All,SecurityIncident.ReadWrite.All, "+
				"application roles: .",
		) {
		t.Errorf("graph without a role: %d %s", a.status, a.body)
	}

	f.SetApp(contoso, client, func(a *simulator.App) { a.Scopes = []string{"Alert.Read"} })

	if a := f.token(contoso+"/oauth2/v2.0/token", refreshV2); a.status != 400 || a.code(t) != 65001 {
		t.Errorf("a permission without consent: %d %s", a.status, a.body)
	}
}

func TestTheTokensTenantDecides(t *testing.T) {
	f := start(t)
	f.SetMSSPAuthorised(fabrikam, true)
	f.Add(contoso, simulator.Alert{ID: "ours", Created: f.clock.Now()})
	f.Add(fabrikam, simulator.Alert{ID: "theirs", Created: f.clock.Now()})
	f.clock.Advance(time.Second)

	for tenant, want := range map[string]string{contoso: "ours", fabrikam: "theirs"} {
		for _, api := range simulator.APIs() {
			a := f.get(api, tenant, simulator.WholePath(api))
			if a.status != 200 || strings.Contains(a.body, "ours") != (want == "ours") ||
				strings.Contains(a.body, "theirs") != (want == "theirs") {
				t.Errorf("%s of %s: %d %s", api, tenant, a.status, a.body)
			}
		}
	}
}
