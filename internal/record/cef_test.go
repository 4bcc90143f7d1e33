package record

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
)

// cefLine encodes a row as cef and returns the line, which the strict reader has to
// accept, and the parsed line.
func cefLine(t *testing.T, o Options, raw string) (string, *parsedCEF) {
	t.Helper()

	o.Format = FormatCEF
	e := newEncoder(t, o)

	event, err := e.Alert(nil, alert.Version{Time: 1, ID: alert.MakeID("t", o.API, []byte("x"), nil)}, []byte(raw))
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}

	_, text, err := Decode(event)
	if err != nil {
		t.Fatal(err)
	}

	keys := gjson.GetBytes(text, "@keys").String()
	if keys != `["mssp","cef"]` {
		t.Errorf("the record has the keys %s", keys)
	}

	line := gjson.GetBytes(text, "cef").Str

	p, err := parseCEF(line)
	if err != nil {
		t.Fatalf("%s\n%v", line, err)
	}

	return line, p
}

// cefValue is an alert, and the part of its CEF line that a value becomes.
type cefValue struct{ promise, api, raw, key, want string }

func cefValues() []cefValue {
	graph := func(s string) string { return `{"id":"1",` + s + `}` }
	const file = `"evidence":[{"entityType":"Process","fileName":"p.exe","sha1":"p1"},{"entityType":"File",` +
		`"fileName":"f.exe","filePath":"C:\\f","sha1":"f1","sha256":"f2"}]`

	return []cefValue{
		{"an escaped title", "graph", graph(`"title":"a|b\\c=d\r\ne 😀"`), "name", `a|b\c=d e 😀`},
		{"a title of 5000 characters", "graph", graph(`"title":"` + strings.Repeat("é", 5000) + `"`), "name",
			strings.Repeat("é", 256)},
		{"no title", "graph", graph(`"x":1`), "name", "Untitled alert"},
		{"no class", "graph", graph(`"x":1`), "class", "alert"},
		{"category for a class", "graph", graph(`"detectorId":"","category":"Malware"`), "class", "Malware"},
		{"severity in any case", "graph", graph(`"severity":"HIGH"`), "severity", "8"},
		{"informational", "siem", graph(`"Severity":"Informational"`), "severity", "1"},
		{"low", "graph", graph(`"severity":"low"`), "severity", "3"},
		{"medium", "graph", graph(`"severity":"medium"`), "severity", "6"},
		{"an unknown severity", "graph", graph(`"severity":"unknownFutureValue"`), "severity", "Unknown"},
		{"line breaks in a value", "graph", graph(`"description":"a\r\nb\nc=d|e\\f"`), "msg", "a\r\nb\nc=d|e\\f"},
		{"other control characters dropped", "graph", graph(`"description":"a\tb\u0000c\u007fd\u0085e"`), "msg",
			"abcde"},
		{"spaces at the ends", "graph", graph(`"description":"  a b  "`), "msg", "a b"},
		{"nothing but spaces", "graph", graph(`"description":"   "`), "msg", ""},
		{"null", "graph", graph(`"description":null`), "msg", ""},
		{"a number for a text", "graph", graph(`"description":12345678901234567890`), "msg", "12345678901234567890"},
		{"cut at 1023 bytes, between characters", "graph", graph(`"description":"` + strings.Repeat("é", 600) + `"`),
			"msg", strings.Repeat("é", 511)},
		{"cut at a space", "graph", graph(`"description":"` + strings.Repeat("a", 1020) + `   bc"`), "msg",
			strings.Repeat("a", 1020)},
		{"cut before escaping", "graph", graph(`"description":"` + strings.Repeat(`\\`, 1100) + `"`), "msg",
			strings.Repeat(`\`, 1023)},
		{"milliseconds", "graph", graph(`"createdDateTime":"2026-02-03T09:13:31.7219999Z"`), "rt", "1770110011721"},
		{"no time that means never", "graph", graph(`"createdDateTime":"9999-12-31T23:59:59.9999999Z"`), "rt", ""},
		{"no time that means unknown", "graph", graph(`"createdDateTime":"0001-01-01T00:00:00Z"`), "rt", ""},
		{"no time", "graph", graph(`"createdDateTime":"soon"`), "rt", ""},
		{"the beginning of time in .NET", "graph", graph(`"createdDateTime":"0001-01-01T00:00:00Z"`), "rt", ""},
		{"an IPv4 address", "siem", `{"IpAddress":"192.0.2.1"}`, "src", "192.0.2.1"},
		{"an IPv6 address is no src", "siem", `{"IpAddress":"2001:DB8:0::1"}`, "src", ""},
		{"an IPv6 address", "siem", `{"IpAddress":"2001:DB8:0::1"}`, "c6a2", "2001:db8::1"},
		{"its label", "siem", `{"IpAddress":"2001:DB8:0::1"}`, "c6a2Label", "Source IPv6 Address"},
		{"a name is no address", "siem", `{"IpAddress":"example.org"}`, "src", ""},
		{"a short id is not repeated", "graph", graph(`"x":1`), "cs2", ""},
		{"nor one that just fits", "graph", `{"id":"` + strings.Repeat("i", 40) + `"}`, "cs2", ""},
		{"a longer one is", "endpoint", `{"id":"` + strings.Repeat("i", 41) + `"}`, "cs2", strings.Repeat("i", 41)},
		{"true is 1", "siem", `{"WasExecutingWhileDetected":true}`, "cn1", "1"},
		{"false is 0", "siem", `{"RemediationIsSuccess":false}`, "cn2", "0"},
		{"unknown is nothing", "siem", `{"RemediationIsSuccess":null}`, "cn2", ""},
		{"the second link", "siem", `{"LinkToWDATP":"","LinkToMTP":"m"}`, "flexString1", "m"},
		{"the file before the process", "endpoint", graph(file), "fname", "f.exe"},
		{"its own hash", "endpoint", graph(file), "fileHash", "f1"},
		{"the user's evidence", "endpoint",
			graph(`"relatedUser":null,"evidence":[{"entityType":"User","accountName":null},` +
				`{"entityType":"User","accountName":"u","domainName":"d"}]`), "suser", "u"},
		{"techniques as a text", "endpoint", graph(`"mitreTechniques":"T1, T2"`), "cs5", "T1, T2"},
		{"evidence that is no array", "graph", graph(`"evidence":{"a":1},"mitreTechniques":{"a":1}`), "cs5", ""},
		{"an incident without alerts", "incidents", `{"incidentId":1,"alerts":[]}`, "cnt", "0"},
		{"an incident's class", "incidents", `{"incidentId":1}`, "class", "incident"},
		{"alerts that are none", "incidents", `{"incidentId":1,"alerts":7}`, "cnt", ""},
		{"the tenant", "siem", `{}`, "flexString2", "Contoso | Ltd = 1"},
	}
}

func TestCEFValues(t *testing.T) {
	for _, c := range cefValues() {
		line, p := cefLine(t, Options{TenantID: "t", Tenant: "Contoso | Ltd = 1", API: alert.API(c.api)}, c.raw)

		got := p.ext[c.key]
		switch c.key {
		case "class":
			got = p.header[4]
		case "name":
			got = p.header[5]
		case "severity":
			got = p.header[6]
		}

		if got != c.want {
			t.Errorf("%s: %s is %q in %s; want %q", c.promise, c.key, got, line, c.want)
		}
	}
}

func TestLongLinesAreShortenedInOrder(t *testing.T) {
	fill := func(s string) string { return strings.Repeat(s+"=", 450) }
	raw := fmt.Sprintf(
		`{"AlertTitle":"%s","AlertTime":"2026-02-03T09:10:11Z","AlertId":"%s","Description":"%s","CommandLine":"%s",`+
			`"Url":"%s","FilePath":"%s","LogOnUsers":"%s","Actor":"%s","MachineName":"host","Category":"cat",`+
			`"Sha1":"abc","ThreatName":"%s","FullId":"full"}`,
		strings.Repeat("n", 512),
		strings.Repeat("i", 40),
		fill("m"),
		fill("s"),
		fill("r"),
		fill("p"),
		fill("u"),
		fill("a"),
		strings.Repeat("t", 1000),
	)
	o := Options{
		TenantID:    "t",
		Tenant:      "tenant",
		API:         "siem",
		CEFMaxBytes: 1 << 20,
	}
	whole, full := cefLine(t, o, raw)
	order := []string{"msg", "sproc", "request", "filePath", "suid", "cs4", "cs2", "cs1", "fileHash", "shost", "cat"}

	for limit := len(whole); limit > 100; limit -= 7 {
		o.CEFMaxBytes = limit

		line, p := cefLine(t, o, raw)
		for _, key := range []string{"externalId", "cs3", "cs3Label", "flexString2", "flexString2Label", "rt"} {
			if p.ext[key] != full.ext[key] {
				t.Fatalf("limit %d: %s is %q", limit, key, p.ext[key])
			}
		}

		if p.header != full.header {
			t.Fatalf("limit %d: the header became %q", limit, p.header)
		}

		intact := false

		for k, key := range order {
			v, was := p.ext[key], full.ext[key]
			if intact && v != was {
				t.Fatalf("limit %d: %s was shortened before %s was gone", limit, key, order[k-1])
			}

			intact = intact || v != ""
			if k > 5 && v != "" && v != was || !strings.HasPrefix(was, v) {
				t.Fatalf("limit %d: %s was cut to %q", limit, key, v)
			}
		}

		if len(line) > limit && intact {
			t.Fatalf("limit %d: the line has %d bytes", limit, len(line))
		}

		if intact && p.ext["cs4"] != "" && len(line) < limit-16 { // a key that goes takes its name along
			t.Fatalf("limit %d: the line has only %d bytes", limit, len(line))
		}
	}
}

func TestLabelsFollowTheirValue(t *testing.T) {
	_, p := cefLine(t, Options{TenantID: "t", API: "siem"}, string(testdata(t, "siem.json")))
	for i, key := range p.order {
		if base, ok := strings.CutSuffix(key, "Label"); ok && p.order[i-1] != base {
			t.Errorf("%s follows %s", key, p.order[i-1])
		}
	}
}

func TestBothFormatsInOneRecord(t *testing.T) {
	e := newEncoder(t, Options{TenantID: "t", API: "graph", Format: FormatJSONCEF})

	event, err := e.Alert([]byte{}, alert.Version{
		Time: 1,
		ID:   alert.ID{},
	}, []byte(`{"id":"1","title":"x","cef":"own"}`))
	if err != nil {
		t.Fatal(err)
	}

	_, text, err := Decode(event)
	if got := gjson.GetBytes(text, "@keys").String(); err != nil || got != `["mssp","cef","id","title","cef_"]` {
		t.Errorf("keys %s in %s, %v", got, text, err)
	}

	if _, err := parseCEF(gjson.GetBytes(text, "cef").Str); err != nil {
		t.Error(err)
	}
}

func TestHealthAndRawRecords(t *testing.T) {
	at := time.Date(2026, 2, 3, 9, 10, 11, 500, time.UTC)
	bad := []byte("\xff{\"a\":")

	for _, format := range []Format{FormatJSON, FormatCEF, FormatJSONCEF} {
		e := newEncoder(t, Options{
			TenantID: "tid",
			Tenant:   "contoso",
			API:      "siem",
			Format:   format,
		})
		id := alert.MakeID("tid", "siem", bad, nil)
		batch := e.Health(nil, Health{
			State:       health.OK,
			LastSuccess: at,
			LagSeconds:  12.3,
			At:          at,
		})
		batch = e.Health(batch, Health{
			State: health.Failing,
			Trouble: health.Trouble{
				Reason:  advice.TokenDead,
				Message: "expired\n",
				Remedy:  "sign in = again",
				Trace:   "trace id 1",
			},
			RelationshipEnd: at,
			At:              at,
		})
		batch = e.Raw(batch, 1, id, bad)
		batch = e.Raw(batch, 1, id, []byte(`{"a":01}`))

		var got []string

		for len(batch) > 0 {
			event, rest, err := Next(batch)
			if err != nil {
				t.Fatal(err)
			}

			_, text, err := Decode(event)
			if err != nil {
				t.Fatal(err)
			}

			if line := gjson.GetBytes(text, "cef"); line.Exists() != (format != FormatJSON) {
				t.Errorf("%s: cef is %q", format, line)
			} else if line.Exists() {
				if _, err := parseCEF(line.Str); err != nil {
					t.Errorf("%s: %v", line.Str, err)
				}

				text = []byte(strings.Replace(string(text), `,"cef":`+line.Raw, "", 1))
				got = append(got, line.Str)
			}

			got, batch = append(got, string(text)), rest
		}

		prefix := func(kind string, id alert.ID) string {
			return `{"mssp":{"kind":"` + kind + `","tenant_id":"tid","tenant":"contoso","api":"siem","record_id":"` +
				id.String() + `"},`
		}
		health := alert.HealthID("tid", "siem", 17701098110000005)

		want := []string{
			`CEF:0|Microsoft|Microsoft Defender ATP|2.0|health|Defender tenant ok|1|flexString2=contoso ` +
				`flexString2Label=Tenant`,
			prefix("health", health) + `"status":"ok","reason":"","message":"","remedy":"","trace":"",` +
				`"last_success":"2026-02-03T09:10:11.0000005Z","lag_seconds":12.3}`,
			`CEF:0|Microsoft|Microsoft Defender ATP|2.0|health|Defender tenant failing|8|reason=token_dead ` +
				`msg=expired\n; sign in \= again flexString2=contoso flexString2Label=Tenant`,
			prefix("health", health) + `"status":"failing","reason":"token_dead","message":"expired\n",` +
				`"remedy":"sign in = again",` +
				`"trace":"trace id 1","last_success":null,"lag_seconds":0.0,"relationship_end":"2026-02-03T09:10:11Z"}`,
			`CEF:0|Microsoft|Microsoft Defender ATP|2.0|raw|Row not decodable|6|cs3=` + id.String() +
				` cs3Label=RecordId flexString2=contoso flexString2Label=Tenant`,
			prefix("raw", id) + `"raw":"/3siYSI6"}`,
			`CEF:0|Microsoft|Microsoft Defender ATP|2.0|raw|Row not decodable|6|cs3=` + id.String() +
				` cs3Label=RecordId flexString2=contoso flexString2Label=Tenant`,
			prefix("raw", id) + `"raw":"{\"a\":01}"}`,
		}
		if format == FormatJSON {
			want = []string{want[1], want[3], want[5], want[7]}
		}

		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", format, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// FuzzCEF: whatever the alert says, the line is CEF by the strict reader, as short as
// asked for where it can be, and the texts come back as they were but for what the
// rules take away.
func FuzzCEF(f *testing.F) {
	f.Add("a|b\\c=d\r\ne", "title | \\ = \n", "C:\\x =", uint16(8192))
	f.Add("a", "b", "c", uint16(0))
	f.Add(strings.Repeat("é ", 900), strings.Repeat(`\`, 600), "   ", uint16(300))
	f.Fuzz(func(t *testing.T, msg, title, path string, limit uint16) {
		if limit == 0 { // the encoder's default
			limit = DefaultCEFMaxBytes
		}

		for _, s := range []*string{&msg, &title, &path} {
			*s = strings.ToValidUTF8(*s, "?")
		}

		raw := string(appendQuoted([]byte(`{"Description":`), []byte(msg)))
		raw = string(appendQuoted([]byte(raw+`,"AlertTitle":`), []byte(title)))
		raw = string(appendQuoted([]byte(raw+`,"FilePath":`), []byte(path))) + "}"

		line, p := cefLine(t, Options{TenantID: "t", API: "siem", CEFMaxBytes: int(limit)}, raw)
		if want := headerText(title, 512); p.header[5] != want && want != "" {
			t.Errorf("title %q becomes %q", want, p.header[5])
		}

		for key, was := range map[string]string{"msg": msg, "filePath": path} {
			got, want := p.ext[key], extensionText(was, 1023)
			if int(limit) > 6000 && got != want || !strings.HasPrefix(want, got) || !utf8.ValidString(got) {
				t.Errorf("%s %q becomes %q", key, want, got)
			}
		}

		if len(line) > int(limit) && (p.ext["msg"] != "" || p.ext["filePath"] != "") {
			t.Errorf("the line has %d bytes, %d are allowed", len(line), limit)
		}
	})
}

func TestAnEncoderKeepsNothingOfALargeAlert(t *testing.T) {
	e := newEncoder(t, Options{TenantID: "x", API: "graph", Format: FormatJSONCEF})

	raw := []byte(
		`{"id":"x","title":"t","severity":"low","description":"d","evidence":[{"@odata.type":"#x.deviceEvidence",` +
			`"deviceDnsName":"h"}],"big":"` + strings.Repeat("x", 8<<20) + `"}`,
	)
	if _, err := e.Alert(nil, alert.Version{Time: 1, ID: alert.ID{}}, raw); err != nil {
		t.Fatal(err)
	}

	for _, p := range e.cef.pairs[:cap(e.cef.pairs)] { // a value is a part of the copy of the row, and keeps all of it
		if p != (cefPair{}) {
			t.Errorf("%s is kept", p.key)
		}
	}

	for i, field := range append(e.cef.fields, e.cef.entities.found...) {
		if field.Exists() {
			t.Errorf("field %d is kept", i)
		}
	}

	for _, entity := range e.cef.entities.list[:cap(e.cef.entities.list)] {
		if entity != (candidate{}) {
			t.Error("an entity is kept")
		}
	}

	if cap(e.cef.line)+cap(e.cef.move) > 8*DefaultCEFMaxBytes {
		t.Errorf("%d bytes are kept", cap(e.cef.line)+cap(e.cef.move))
	}
}
