package simulator_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/simulator"
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
		f.Add(contoso, simulator.Alert{ID: id, Title: "t", Created: at, MachineGroup: []string{"A", "B"}[i%2], RegistryTags: "x", PortalTags: id})
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
		"nothing means the last two hours":        {"", "c d"},
		"since reaches further back":              {"?sinceTimeUtc=2026-03-01T09:00:00.000", "b c d old"},
		"since with a zone":                       {"?sinceTimeUtc=2026-03-01T09:00:00Z", "b c d old"},
		"until cuts the end":                      {"?sinceTimeUtc=2026-03-01T09:00:00.000&untilTimeUtc=2026-03-01T10:30:00.000", "b old"},
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
