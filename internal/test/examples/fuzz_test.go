package examples

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/testbed/receiver"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"

	"github.com/tidwall/gjson"
)

// fuzzRow puts texts into a row of an API.
func fuzzRow(api string, a, b, c, d string) map[string]any {
	file := map[string]any{"fileName": c, "filePath": d, "sha1": a, "sha256": b}

	switch api {
	case "siem":
		return map[string]any{
			"AlertId":                   a,
			"AlertTitle":                b,
			"Description":               c,
			"CommandLine":               d,
			"IoaDefinitionId":           d,
			"Category":                  c,
			"Severity":                  a,
			"IpAddress":                 d,
			"Url":                       b,
			"FileName":                  c,
			"FilePath":                  a,
			"UserName":                  d,
			"UserDomain":                c,
			"LogOnUsers":                b,
			"Actor":                     a,
			"FullId":                    c + d,
			"AlertTime":                 b,
			"Md5":                       d,
			"LinkToMTP":                 c,
			"WasExecutingWhileDetected": a == "",
			"RemediationIsSuccess":      nil,
		}
	case "incidents":
		entities := []any{
			map[string]any{"entityType": "Ip", "ipAddress": a},
			map[string]any{"entityType": "User", "accountName": b, "domainName": c, "userSid": d},
			map[string]any{
				"entityType":         "Process",
				"processCommandLine": d,
				"fileName":           a,
			},
			map[string]any{"entityType": "File", "fileName": c, "sha1": d},
		}

		return map[string]any{
			"incidentId":   7,
			"incidentName": a,
			"severity":     b,
			"status":       c,
			"createdTime":  d,
			"alerts": []any{
				map[string]any{"category": a, "firstActivity": b, "actorName": c, "mitreTechniques": []any{a, b, a}},
				map[string]any{
					"entities":        entities,
					"devices":         []any{map[string]any{"deviceDnsName": b, "mdatpDeviceId": c}},
					"mitreTechniques": []any{b, d},
					"actorName":       d,
				},
			},
		}
	case "graph-incidents":
		return map[string]any{
			"id":              "7",
			"displayName":     a,
			"severity":        b,
			"status":          c,
			"createdDateTime": d,
			"alerts": []any{
				map[string]any{
					"category":              a,
					"firstActivityDateTime": b,
					"actorDisplayName":      c,
					"mitreTechniques":       []any{a, b, a},
				},
				fuzzRow("graph", a, b, c, d),
			},
		}
	case "graph":
		return map[string]any{
			"id":                a,
			"title":             b,
			"description":       c,
			"detectorId":        d,
			"category":          a,
			"severity":          c,
			"createdDateTime":   d,
			"alertWebUrl":       b,
			"threatDisplayName": c,
			"actorDisplayName":  d,
			"mitreTechniques":   []any{a, b},
			"evidence": []any{
				map[string]any{
					"@odata.type":        "#microsoft.graph.security.processEvidence",
					"processCommandLine": a,
					"imageFile":          file,
				},
				map[string]any{
					"@odata.type": "#microsoft.graph.security.userEvidence",
					"userAccount": map[string]any{"accountName": d, "domainName": a},
				},
				map[string]any{"@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": b},
			},
		}
	case "endpoint":
		file["entityType"] = "File"

		return map[string]any{
			"id":                a,
			"title":             b,
			"description":       c,
			"detectorId":        nil,
			"category":          d,
			"severity":          a,
			"alertCreationTime": b,
			"status":            c,
			"machineId":         d,
			"relatedUser":       map[string]any{"userName": a, "domainName": b},
			"mitreTechniques":   c,
			"evidence": []any{
				map[string]any{
					"entityType":         "Process",
					"processCommandLine": d,
					"fileName":           b,
				},
				file,
				map[string]any{"entityType": "User", "accountName": c},
				map[string]any{"entityType": "Url", "url": a},
			},
		}
	default:
		panic("fuzz_test.go: fuzzRow has no row for the API " + api)
	}
}

// FuzzCEF: for any texts in the rows of any API the encoder's line is what the standard
// allows, and what the mapping, written a second time, makes of them.
func FuzzCEF(f *testing.F) {
	for i, text := range hostile {
		f.Add(uint8(i), text, hostile[(i+7)%len(hostile)], hostile[(i+11)%len(hostile)], hostile[(i+17)%len(hostile)])
	}

	f.Add(uint8(1), "192.0.2.1", "::ffff:192.0.2.1", "2026-02-03T09:13:31.7219999Z", "fe80::1%eth0")
	f.Add(uint8(2), "HIGH", "medium", "low ", "2001:db8::1")
	f.Fuzz(roundTrip)
}

func roundTrip(t *testing.T, which uint8, a, b, c, d string) {
	apis := simulator.APIs()
	fd := unit{"t", "Tenant | \\ =", apis[int(which)%len(apis)]}

	for _, s := range []*string{&a, &b, &c, &d} {
		*s = strings.ToValidUTF8(*s, "?")
		if _, err := tick.Parse(*s); err == nil && !strings.HasSuffix(*s, "Z") {
			return // times without a zone are the encoder's own leniency
		}
	}

	row, err := json.Marshal(fuzzRow(fd.api, a, b, c, d))
	if err != nil {
		t.Fatal(err)
	}

	tenant, api := alert.TenantID(fd.tenantID), alert.API(fd.api)

	e, err := record.NewEncoder(record.Options{
		TenantID:    tenant,
		Tenant:      fd.tenant,
		API:         api,
		Format:      record.FormatCEF,
		CEFMaxBytes: 1_000_000,
	})
	if err != nil {
		t.Fatal(err)
	}

	id := alert.MakeID(tenant, api, []byte("x"), nil)

	event, err := e.Alert(nil, alert.Version{Time: 1, ID: id}, row)
	if err != nil {
		t.Fatal(err)
	}

	_, text, err := record.Decode(event)
	if err != nil {
		t.Fatal(err)
	}

	line := gjson.GetBytes(text, "cef").Str

	got, err := receiver.ParseCEF(line)
	if err != nil {
		t.Fatalf("%v\n%s\nof %s", err, line, row)
	}

	alert, err := object(row)
	if err != nil {
		t.Fatal(err)
	}

	if why := mapped(alert, id.String(), fd).differs(got); why != "" {
		t.Fatalf("%s\nof %s", why, row)
	}
}

// TestCEFOfRandomTexts does the same for texts made of what is special somewhere.
func TestCEFOfRandomTexts(t *testing.T) {
	pieces := []string{
		`\`,
		"=",
		"|",
		" ",
		"\r",
		"\n",
		"\r\n",
		"\t",
		"\x00",
		"é",
		"😀",
		"\u2028",
		"\u0085",
		"a",
		"key=",
		" cs1=",
		"n",
		"r",
		`\n`,
		"CEF:0|",
		"192.0.2.1",
		"::1",
		"High",
		"2026-02-03T09:13:31.72Z",
		strings.Repeat("x", 300),
		strings.Repeat("日", 150),
		strings.Repeat(`\=`, 400),
		strings.Repeat(" ", 60),
	}
	r := rand.New(rand.NewPCG(1, 2))

	text := func() string {
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}

		return b.String()
	}
	for i := range 3000 {
		roundTrip(t, uint8(i%4), text(), text(), text(), text())
	}
}
