package simulator

import (
	"strings"
	"testing"

	"fluent-bit-defender/internal/tick"
)

func mustTick(t testing.TB, s string) tick.Tick {
	t.Helper()

	n, err := tick.Parse(s)
	if err != nil {
		t.Fatal(err)
	}

	return n
}

// heldFilters are filters, and whether a row matches them.
var heldFilters = map[string]bool{
	"lastUpdateTime ge 2026-03-01T12:00:00.1234567Z":          true,
	"lastUpdateTime gt 2026-03-01T12:00:00.1234567Z":          false,
	"lastUpdateTime gt 2026-03-01T12:00:00.1234566Z":          true,
	"lastUpdateTime lt 2026-03-01T12:00:00.1234567Z":          false,
	"lastUpdateTime le 2026-03-01T12:00:00.1234567Z":          true,
	"lastUpdateTime eq 2026-03-01T12:00:00.1234567Z":          true,
	"lastUpdateTime ne 2026-03-01T12:00:00.1234567Z":          false,
	"lastUpdateTime ge 2026-03-01T13:00:00.1+01:00":           true,
	"2026-03-01T12:00:00Z lt lastUpdateTime":                  true,
	"2026-03-01T12:00:00Z ge lastUpdateTime":                  false,
	"alertCreationTime lt 2026-03-01T11:00:00.1Z":             true,
	"lastEventTime eq 2026-03-01T10:00:00.5Z":                 true,
	"severity eq 'High'":                                      true,
	"severity eq 'high'":                                      false,
	"severity ne 'Low'":                                       true,
	"severity gt 'Ha'":                                        true,
	"category eq 'it''s'":                                     true,
	"incidentId eq 4711":                                      true,
	"incidentId gt -1":                                        true,
	"incidentId lt 4711.5":                                    true,
	"assignedTo eq null":                                      true,
	"assignedTo ne null":                                      false,
	"null eq assignedTo":                                      true,
	"assignedTo eq 'x'":                                       false,
	"assignedTo ne 'x'":                                       true,
	"InvestigationId eq null":                                 true,
	"severity eq 'Low' or status eq 'New'":                    true,
	"severity eq 'Low' and status eq 'New'":                   false,
	"severity eq 'High' or status eq 'X' and status eq 'Y'":   true,
	"(severity eq 'High' or status eq 'X') and status eq 'Y'": false,
	"( (severity eq 'High') )and(status eq 'New')":            true,
	"  severity   eq   'High'  ":                              true,
}

func TestFilterHolds(t *testing.T) {
	r := &row{
		updated: mustTick(t, "2026-03-01T12:00:00.1234567Z"),
		created: mustTick(t, "2026-03-01T11:00:00Z"),
		full: []byte(
			`{"severity":"High","status":"New","incidentId":4711,"investigationId":null,"assignedTo":null,` +
				`"category":"it's","lastEventTime":"2026-03-01T10:00:00.5Z"}`,
		),
	}

	for text, want := range heldFilters {
		t.Run(text, func(t *testing.T) {
			c, err := parseFilter(text, endpointList.filter)
			if err != nil {
				t.Fatal(err)
			}

			if got := c.holds(r); got != want {
				t.Errorf("got %v", got)
			}

			from, to := bounds(c, 'u')
			if want && (r.updated < from || r.updated >= to) {
				t.Errorf("the row holds outside of the bounds %v to %v", from, to)
			}

			if from, to = bounds(c, 'c'); want && (r.created < from || r.created >= to) {
				t.Errorf("the row holds outside of the bounds %v to %v", from, to)
			}
		})
	}
}

func TestFilterRefusals(t *testing.T) {
	tests := map[string]string{
		"":                                   "Syntax error",
		"severity":                           "Syntax error",
		"severity eq":                        "Syntax error",
		"severity eq High":                   "Could not find a property",
		"severity EQ 'High'":                 "Syntax error",
		"severity = 'High'":                  "Syntax error",
		"severity eq 'High":                  "unterminated",
		"severity eq \"High\"":               "Could not find a property",
		"severity eq 'High' and":             "Syntax error",
		"severity eq 'High' status eq 'New'": "Syntax error",
		"(severity eq 'High'":                "Syntax error",
		"severity eq 'High')":                "Syntax error",
		"title eq 'x'":                       "Could not find a property",
		"Severity eq 'High'":                 "Could not find a property",
		"severity eq 5":                      "incompatible types",
		"severity eq status":                 "One operand",
		"'a' eq 'a'":                         "One operand",
		"lastUpdateTime gt null":             "null",
		"not severity eq 'High'":             "Could not find a property",
		"contains(title,'x')":                "Could not find a property",
		"lastUpdateTime ge '2026-03-01T12:00:00Z'": "Found operand types 'Edm.DateTimeOffset' and 'Edm.String' " +
			"for operator kind 'GreaterThanOrEqual'",
		"lastUpdateTime ge 2026-03-01T12:00:00": "should be in format " +
			"'yyyy-mm-ddThh:mm:ss('.'s+)?(zzzzzz)?'",
		"lastUpdateTime ge 2026-03-01T12:00:00.5": "should be in format",
		// a plus sign that was not encoded
		"lastUpdateTime ge 2026-03-01T12:00:00 05:00":                         "should be in format",
		"lastUpdateTime ge 2026-03-01 12:00:00Z":                              "",
		"lastUpdateTime ge 2026-02-30T12:00:00Z":                              "should be in format",
		"lastUpdateTime ge 2026-03-01T12:00:00.12345678Z":                     "should be in format",
		"lastUpdateTime ge 2026-03-01T12:00:00z":                              "should be in format",
		"incidentId eq 0x10":                                                  "not valid",
		"incidentId eq 1_000":                                                 "not valid",
		strings.Repeat("(", 60) + "severity eq 'a'" + strings.Repeat(")", 60): "recursion",
		strings.Repeat("severity eq 'a' or ", 40) + "severity eq 'a'":         "node count",
	}

	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			_, err := parseFilter(text, endpointList.filter)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"lastUpdateTime ge 2026-03-01T12:00:00Z and (severity eq 'it''s' or incidentId lt 5)", "((", "'",
		"a eq 2026-03-01T", "null eq null",
	} {
		f.Add(s)
	}

	r := &row{
		updated: mustTick(f, "2026-03-01T12:00:00Z"),
		created: mustTick(f, "2026-03-01T12:00:00Z"),
		full:    []byte(`{"severity":"it's","incidentId":3}`),
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseFilter(text, endpointList.filter)
		if err != nil {
			return
		}

		if from, to := bounds(c, 'u'); c.holds(r) && (r.updated < from || r.updated >= to) {
			t.Errorf("%q holds outside of its bounds", text)
		}

		again, err := parseFilter("("+text+") and ("+text+")", endpointList.filter)
		if err != nil && !strings.Contains(err.Error(), "limit") {
			t.Errorf("%q cannot be combined: %v", text, err)
		}

		if err == nil && again.holds(r) != c.holds(r) {
			t.Errorf("%q and itself differ", text)
		}
	})
}

func FuzzListing(f *testing.F) {
	for _, s := range []string{
		"$top=5&$skip=1", "%24filter=severity+eq+'x'&$orderby=lastUpdateTime%20desc,severity", "$skiptoken=AAAA",
		"top=1&$top=x", "$count=true&$expand=evidence",
	} {
		f.Add(s)
	}

	s, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}

	f.Fuzz(func(t *testing.T, query string) {
		for _, api := range dataAPIs {
			a := api.list
			if a == nil {
				continue
			}

			l, problem := s.parseListing(a, query)
			if problem == "" && (l.top < 0 || l.top > a.maxTop || l.skip < 0) {
				t.Errorf("%s: %q gave top %d, skip %d", api.name, query, l.top, l.skip)
			}
		}
	})
}
