package alert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
)

// plain is a row, read in the obvious way.
type plain struct{ raw []byte }

func (p plain) field(name string) gjson.Result {
	if r := gjson.GetBytes(p.raw, name); r.Exists() || name == "" {
		return r
	}

	var found gjson.Result

	gjson.ParseBytes(p.raw).ForEach(func(k, v gjson.Result) bool {
		if strings.EqualFold(k.Str, name) {
			found = v
		}

		return !found.Exists()
	})

	return found
}

// text returns a string, or a number as it is written.
func (p plain) text(name string) []byte {
	switch r := p.field(name); {
	case r.Type == gjson.String && r.Str != "":
		return []byte(r.Str)
	case r.Type == gjson.Number:
		return []byte(r.Raw)
	}

	return nil
}

// time returns 0 for what is no time.
func (p plain) time(name string) tick.Tick {
	r := p.field(name)
	if r.Type != gjson.String {
		return 0
	}

	t, err := tick.Parse(r.Str)
	if err != nil {
		return 0
	}

	return t
}

// newest returns the newest time of an incident and of the alerts in it, and how many
// alerts there are.
func (p plain) newest(updated, alertUpdated string) (newest tick.Tick, alerts int) {
	newest = p.time(updated)

	list := p.field("alerts")
	if !list.IsArray() {
		return newest, 0
	}

	for _, a := range list.Array() {
		alerts++

		if a.IsObject() {
			newest = max(newest, plain{[]byte(a.Raw)}.time(alertUpdated))
		}
	}

	return newest, alerts
}

// plainly describes a row in the obvious way, field by field. Describe must agree with
// it.
func plainly(api API, raw []byte) Row {
	facts, err := api.Descriptor()
	if err != nil {
		panic(err)
	}

	names := facts.Row
	p := plain{raw}

	r := Row{
		Identity: p.text(names.Identity),
		Updated:  p.time(names.Updated),
		Created:  p.time(names.Created),
	}
	if names.Tenant != "" {
		r.Tenant = TenantID(strings.ToLower(p.field(names.Tenant).String()))
	}

	switch api {
	case SIEM:
		id, part, processed := p.text("AlertId"), p.text("AlertPart"), p.text("LastProcessedTimeUtc")
		if r.Identity == nil && id != nil && part != nil && processed != nil {
			r.Identity = bytes.Join([][]byte{id, part, processed}, []byte(":"))
		}
	case Incidents, GraphIncidents:
		if newest, alerts := p.newest(names.Updated, names.AlertUpdated); newest != 0 {
			r.Version = fmt.Appendf(nil, "%d:%d", newest, alerts)
		}
	default:
		if r.Updated != 0 {
			r.Version = strconv.AppendInt(nil, int64(r.Updated), 10)
		}
	}

	if r.Identity == nil {
		sum := sha256.Sum256(raw)
		r.Identity, r.Version = []byte(hex.EncodeToString(sum[:])), nil
	}

	r.Whole = r.Version == nil && api != SIEM

	return r
}

func newDescriber(t testing.TB, api API) *Describer {
	t.Helper()

	d, err := NewDescriber(api)
	if err != nil {
		t.Fatal(err)
	}

	return d
}

// describe is Describe for a single row.
func describe(t testing.TB, api API, raw []byte) Row {
	t.Helper()
	return newDescriber(t, api).Describe(raw)
}

func same(a, b Row) bool {
	return bytes.Equal(a.Identity, b.Identity) && bytes.Equal(a.Version, b.Version) &&
		(a.Version == nil) == (b.Version == nil) &&
		a.Updated == b.Updated && a.Created == b.Created && a.Tenant == b.Tenant && a.Whole == b.Whole
}

// Identity and version are as docs/contract.md has them, also for the oddities that were
// seen in answers (internal/defender/doc.go).
func TestDescribeFindsIdentityAndVersion(t *testing.T) {
	hash := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
	for _, test := range []struct {
		api               API
		raw               string
		identity, version string
		tenant            TenantID
		whole             bool
	}{
		{Graph, `{"id":"a","lastUpdateDateTime":"2026-01-01T00:00:00.5Z","tenantId":"ABC"}`, "a", "17672256005000000",
			"abc", false},
		{Graph, `{"id":"a","lastUpdateDateTime":"2026-01-01T00:00:00.5000000+00:00"}`, "a", "17672256005000000", "",
			false},
		{Graph, `{"id":"a"}`, "a", "", "", true},
		{Graph, `{"id":"a","lastUpdateDateTime":null}`, "a", "", "", true},
		{Graph, `{"ID":"b","LastUpdateDateTime":"2026-01-01T00:00:00Z"}`, "b", "17672256000000000", "", false},
		{Graph, `{"Id":"b","id":"a","iD":"c"}`, "a", "", "", true},
		{Graph, `{"\u0069d":"a\/\u00e9"}`, "a/é", "", "", true},
		{Graph, ` { "x" : [{"id":"inner"},"]"] , "id" : 17 , "lastUpdateDateTime":"2026-01-01T00:00:00Z"} `, "17",
			"17672256000000000", "", false},
		{Graph, `{"id":"","lastUpdateDateTime":"2026-01-01T00:00:00Z"}`,
			hash(`{"id":"","lastUpdateDateTime":"2026-01-01T00:00:00Z"}`), "", "", true},
		{Graph, `{"id":{"a":1}}`, hash(`{"id":{"a":1}}`), "", "", true},
		{Graph, `[1]`, hash(`[1]`), "", "", true},
		{Graph, ``, hash(``), "", "", true},
		{Endpoint, `{"id":"da1_-2","lastUpdateTime":"2026-01-01 00:00:00","aadTenantId":null}`, "da1_-2",
			"17672256000000000", "", false},
		{Endpoint, `{"id":"null","lastUpdateTime":"yesterday"}`, "null", "", "", true},
		{SIEM, `{"FullId":"a:b","LastProcessedTimeUtc":"2026-01-01T00:00:00Z"}`, "a:b", "", "", false},
		{SIEM, `{"FullId":"","AlertId":"x","AlertPart":0,"LastProcessedTimeUtc":"2026-01-01T00:00:00.1Z"}`,
			"x:0:2026-01-01T00:00:00.1Z", "", "", false},
		{SIEM, `{"AlertId":"x","AlertPart":0}`, hash(`{"AlertId":"x","AlertPart":0}`), "", "", false},
		{Incidents, `{"incidentId":18446744073709551615,"lastUpdateTime":"2026-01-01T00:00:00Z",` +
			`"alerts":[{"lastUpdatedTime":"2026-01-01T00:00:01Z"},{}]}`,
			"18446744073709551615", "17672256010000000:2", "", false},
		{Incidents, `{"incidentId":1,"lastUpdateTime":"2026-01-01T00:00:00Z","alerts":null}`, "1",
			"17672256000000000:0", "", false},
		{Incidents, `{"incidentId":1,"alerts":[{"lastUpdatedTime":"2026-01-01T00:00:01Z"}, 3 ,"]",[],{"alerts":[{}]}]}`,
			"1", "17672256010000000:5", "", false},
		{Incidents, `{"incidentId":1}`, "1", "", "", true},
	} {
		r := describe(t, test.api, []byte(test.raw))
		if string(r.Identity) != test.identity || string(r.Version) != test.version || r.Tenant != test.tenant ||
			r.Whole != test.whole {
			t.Errorf("%s %s: %q %q %q %v", test.api, test.raw, r.Identity, r.Version, r.Tenant, r.Whole)
		}

		if gjson.Valid(test.raw) {
			if p := plainly(test.api, []byte(test.raw)); !same(p, r) {
				t.Errorf("%s %s: plainly %+v", test.api, test.raw, p)
			}
		}
	}
}

// FuzzDescribe compares the single pass with the obvious way. It also checks that nothing
// of one row affects the next.
func FuzzDescribe(f *testing.F) {
	for _, raw := range sampleRows(f) {
		f.Add(raw, []byte(`{"id":"x","tenantId":"T"}`))
	}

	for _, raw := range []string{`{"id":1e5,"ID":2}`, `{"FULLID":"x\"y","alerttime":"2026-01-01T00:00:00Z"}`,
		`{"alerts":{"a":1},"incidentId":-0}`,
		`{"incidentid":"7","alerts":[[{"lastUpdatedTime":"2026-01-01T00:00:00Z"}],` +
			`{"lastupdatedtime":"2026-01-01T00:00:00Z"}]}`,
		`{"la\u017ftUpdateTime":"2026-01-01T00:00:00Z","id":"a"}`,
		`{"laſtUpdateTime":"2026-01-01T00:00:00Z","id":"a","tenantId":["A"]}`, `{"id":"a","tenantId":true}`, `{"":1}`,
		`{"id":"\\"}`} {
		f.Add([]byte(raw), []byte(raw))
	}

	f.Fuzz(func(t *testing.T, raw, other []byte) {
		for _, api := range APIs() {
			d := newDescriber(t, api)
			d.Describe(other)

			got := d.Describe(raw)
			if fresh := describe(t, api, raw); !same(got, fresh) {
				t.Errorf("%s: after another row %+v, alone %+v", api, got, fresh)
			}
			// Only valid JSON without NUL is compared: plainly may read other text in
			// another way.
			if !gjson.ValidBytes(raw) || bytes.Contains(raw, []byte("\\u0000")) {
				continue
			}

			if want := plainly(api, raw); !same(got, want) {
				t.Errorf("%s: %s\n%+v, plainly %+v", api, raw, got, want)
			}
		}
	})
}

// sampleRows returns the alerts of published payloads, if this machine has them.
func sampleRows(t testing.TB) (rows [][]byte) {
	names, _ := filepath.Glob("../../../shared/samples/*/*.json")
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}

		p := page.NewReader(bytes.NewReader(b), page.Options{})

		n := 0
		for ; ; n++ {
			row, err := p.Next()
			if err != nil {
				break
			}

			rows = append(rows, bytes.Clone(row))
		}

		if n == 0 {
			rows = append(rows, b)
		}
	}

	return rows
}

// Identity and version of every published payload are as the obvious way finds them, and
// Describe changes no byte of it.
func TestDescribeOfPublishedSamples(t *testing.T) {
	rows := sampleRows(t)
	if len(rows) == 0 {
		t.Log("this machine has no samples")
	}

	for _, raw := range rows {
		before := bytes.Clone(raw)
		for _, api := range APIs() {
			if got, want := describe(t, api, raw), plainly(api, raw); !same(got, want) {
				t.Errorf("%s: %.100s: %+v, plainly %+v", api, raw, got, want)
			}
		}

		if !bytes.Equal(raw, before) {
			t.Errorf("changed: %.100s", raw)
		}

		if gjson.GetBytes(raw, "lastUpdateDateTime").Exists() {
			if r := describe(t, Graph, raw); r.Whole || r.Updated == 0 || r.Created == 0 {
				t.Errorf("not understood: %.100s", raw)
			}
		}
	}
}

const contoso = "11111111-0000-4000-8000-000000000001"

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// benchRow returns a typical alert of an API.
func benchRow(tb testing.TB, api API) []byte {
	tb.Helper()

	s, err := simulator.New(simulator.Config{Tenants: []simulator.Tenant{{ID: contoso, Domain: "contoso.example"}}})
	if err != nil {
		tb.Fatal(err)
	}

	s.Add(contoso, simulator.SampleAlert(1, 4, start))

	for _, raw := range s.Ledger(contoso, string(api)).Exists {
		return raw
	}

	tb.Fatal("no alert")

	return nil
}

// Describe is called for every row, and in a quiet tenant nearly all rows are repeats.
func TestDescribeDoesNotAllocate(t *testing.T) {
	for _, api := range APIs() {
		raw, d := benchRow(t, api), newDescriber(t, api)
		if n := testing.AllocsPerRun(100, func() { d.Describe(raw) }); n > 0 {
			t.Errorf("%s: %.0f allocations", api, n)
		}
	}
}

func BenchmarkDescribe(b *testing.B) {
	for _, api := range APIs() {
		raw, d := benchRow(b, api), newDescriber(b, api)
		b.Run(string(api), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()

			for b.Loop() {
				d.Describe(raw)
			}
		})
		b.Run(string(api)+"/plainly", func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()

			for b.Loop() {
				plainly(api, raw)
			}
		})
	}
}

func TestADescriberKeepsNothingOfALargeRow(t *testing.T) {
	for name, row := range map[string]string{
		"identity": `{"id":"a\/` + strings.Repeat("x", 8<<20) + `"}`,
		"tenant":   `{"id":"a","tenantId":"` + strings.Repeat("y", 8<<20) + `"}`,
	} {
		d := newDescriber(t, Graph)
		if r := d.Describe([]byte(row)); len(r.Identity)+len(r.Tenant) < 8<<20 {
			t.Errorf("%s: the row is not described", name)
		}

		if kept := cap(d.text) + cap(d.claimed) + len(d.tenant) + cap(d.version); kept > 3*longestKept {
			t.Errorf("%s: %d bytes are kept", name, kept)
		}
	}
}
