package alert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/jsontext"
	"fluent-bit-defender/internal/tick"
)

// Row is what a row says about itself: docs/contract.md, "Records".
type Row struct {
	// Identity and Version make up the record_id, as text. Version is empty where the
	// API has none or the row lacks it.
	Identity, Version []byte
	// Updated is the update time, Created the creation time; 0 where the row has none.
	Updated, Created tick.Tick
	// Tenant is the tenant that the row claims to belong to, in lower case; empty if it
	// claims none.
	Tenant TenantID
	// Whole says that Identity and Version are the same for all versions of the alert,
	// because the row lacks the fields that they are made of. Then two rows are the same
	// version only if all their bytes are equal.
	Whole bool
}

// Indexes in fieldNames of the fields that Row needs.
const (
	inIdentity = iota
	inUpdated
	inCreated
	inTenant
	inAlerts
	fieldCount
)

// fieldNames are the names that find looks for. It skips those that are nil.
type fieldNames [fieldCount][]byte

// names returns the names that Describe looks for in the rows of an API.
func (f *RowFields) names() *fieldNames {
	return namesFor(f.Identity, f.Updated, f.Created, f.Tenant, f.Alerts)
}

// namesFor returns the names for find, an empty one as no name.
func namesFor(list ...string) *fieldNames {
	var names fieldNames

	for i, name := range list {
		if name != "" {
			names[i] = []byte(name)
		}
	}

	return &names
}

// Describer looks up what Row holds in the rows of one API. It keeps scratch memory, so
// that a row costs no allocation. It is for one goroutine at a time.
type Describer struct {
	*sought

	version []byte // scratch for the version
	text    []byte // scratch for an identity with escapes
	// claimed is the tenant of the last row as the row has it, tenant the same in lower
	// case. That of the next row is nearly always equal.
	claimed []byte
	tenant  TenantID
}

// sought is what all Describers of an API look for in its rows.
type sought struct {
	rule   VersionRule
	names  *fieldNames
	parts  *fieldNames // the parts of an identity; nil if it has none
	inside *fieldNames // the fields of an alert inside a row
}

// soughtIn returns, for each API, what its Describers look for.
var soughtIn = sync.OnceValue(func() map[API]*sought {
	all := make(map[API]*sought, len(descriptors))

	for i := range descriptors {
		facts := &descriptors[i]

		s := &sought{
			rule:   facts.Version,
			names:  facts.Row.names(),
			inside: namesFor(facts.Row.AlertUpdated),
		}
		if parts := facts.Row.IdentityParts; parts != nil {
			s.parts = namesFor(parts...)
		}

		all[facts.API] = s
	}

	return all
})

// longestKept is the length in bytes of the longest field for which a Describer keeps
// scratch memory. A longer one is no identity or tenant of the services, and each
// tenant's Describer would hold its memory until the next row.
const longestKept = 4 << 10

// NewDescriber returns a Describer for an API. It fails if there is no such API.
func NewDescriber(api API) (*Describer, error) {
	facts, err := api.Descriptor()
	if err != nil {
		return nil, err
	}

	return &Describer{sought: soughtIn()[facts.API]}, nil
}

// Describe looks up what Row holds in a row as the API sent it. Identity and Version are
// valid until the next call, and as long as raw is. Fields are found by their name, or by
// their name in another case: Microsoft's pages disagree about some
// (internal/defender/doc.go).
func (d *Describer) Describe(raw []byte) Row {
	var v [fieldCount][]byte
	find(raw, d.names, &v)

	r := Row{
		Identity: d.identity(v[inIdentity]),
		Updated:  timeOf(v[inUpdated]),
		Created:  timeOf(v[inCreated]),
		Tenant:   d.tenantOf(v[inTenant]),
	}

	if r.Identity == nil && d.parts != nil {
		r.Identity = d.joined(raw)
	}

	d.version = d.appendVersion(d.version[:0], r.Updated, v[inAlerts])

	if r.Identity == nil {
		sum := sha256.Sum256(raw)
		r.Identity = hex.AppendEncode(nil, sum[:])
		d.version = d.version[:0]
	}

	if len(d.version) > 0 {
		r.Version = d.version
	}

	r.Whole = r.Version == nil && d.rule != VersionInIdentity

	return r
}

// appendVersion appends the version of a row with the given update time and inner
// alerts, or nothing if it has none.
func (d *Describer) appendVersion(b []byte, updated tick.Tick, alerts []byte) []byte {
	switch d.rule {
	case VersionByUpdate:
		if updated != 0 {
			b = strconv.AppendInt(b, int64(updated), 10)
		}
	case VersionByAlerts:
		greatest, count := d.newest(alerts, updated)
		if greatest != 0 {
			b = append(strconv.AppendInt(b, int64(greatest), 10), ':')
			b = strconv.AppendInt(b, int64(count), 10)
		}
	case VersionInIdentity:
	}

	return b
}

// identity returns the same as textOf, but does not allocate for the escapes that the
// services write. .NET's System.Text.Json writes "+" as \u002B, and identities of siem
// are base64, which has many "+".
func (d *Describer) identity(v []byte) []byte {
	if len(v) < 3 || len(v) > longestKept || v[0] != '"' || bytes.IndexByte(v, '\\') < 0 {
		return textOf(v)
	}

	d.text = d.text[:0]

	for s := v[1 : len(v)-1]; len(s) > 0; {
		if s[0] != '\\' {
			d.text = append(d.text, s[0])
			s = s[1:]

			continue
		}

		c, n := escaped(s)
		if n == 0 {
			return textOf(v)
		}

		d.text = utf8.AppendRune(d.text, c)
		s = s[n:]
	}

	return d.text
}

// escaped returns the character that the escape at the beginning of s stands for, and
// the length of the escape. The length is 0 for escapes that identities hardly ever have.
func escaped(s []byte) (rune, int) {
	if len(s) >= 2 && (s[1] == '/' || s[1] == '"' || s[1] == '\\') {
		return rune(s[1]), 2
	}

	if c := jsontext.EscapedUnit(s); c >= 0 && c <= 0xff {
		return c, 6
	}

	return 0, 0
}

// tenantOf returns the tenant in lower case. A value that is neither a string nor a
// number is returned as its JSON text: no tenant has such a name.
func (d *Describer) tenantOf(v []byte) TenantID {
	if v == nil || string(v) == "null" {
		return ""
	}

	if len(v) > longestKept {
		return lowerTenant(v)
	}

	if d.claimed == nil || !bytes.Equal(v, d.claimed) {
		d.claimed = append(d.claimed[:0], v...)
		d.tenant = lowerTenant(v)
	}

	return d.tenant
}

// lowerTenant returns a tenant in lower case, in memory of its own.
func lowerTenant(v []byte) TenantID { return TenantID(strings.ToLower(gjson.ParseBytes(v).String())) }

// joined returns the identity of a row that has only the parts of it, nil if one of them
// is missing.
func (d *Describer) joined(raw []byte) []byte {
	var v [fieldCount][]byte
	find(raw, d.parts, &v)

	var parts [][]byte

	for i, name := range d.parts {
		if name == nil {
			continue
		}

		part := textOf(v[i])
		if part == nil {
			return nil
		}

		parts = append(parts, part)
	}

	return bytes.Join(parts, []byte(":"))
}

// newest returns the greatest of the given time and the update times of an incident's
// alerts, and the number of these alerts.
func (d *Describer) newest(alerts []byte, greatest tick.Tick) (tick.Tick, int) {
	n := 0

	if len(alerts) == 0 || alerts[0] != '[' {
		return greatest, 0
	}

	for i := 1; ; {
		i = skipComma(alerts, i)
		if i >= len(alerts) || alerts[i] == ']' {
			return greatest, n
		}

		end := valueEnd(alerts, i)
		if end < 0 {
			return greatest, n
		}

		var v [fieldCount][]byte
		find(alerts[i:end], d.inside, &v)

		greatest = max(greatest, timeOf(v[0]))
		n++
		i = end
	}
}

// textOf returns the text of a JSON string or number. It returns nil for anything else,
// and for an empty string.
func textOf(v []byte) []byte {
	switch {
	case len(v) == 0:
		return nil
	case v[0] == '-' || v[0] >= '0' && v[0] <= '9':
		return v
	case v[0] != '"' || len(v) < 3:
		return nil
	case bytes.IndexByte(v, '\\') < 0:
		return v[1 : len(v)-1]
	}

	if s := gjson.ParseBytes(v).Str; s != "" {
		return []byte(s)
	}

	return nil
}

// timeOf returns the time in a JSON string, 0 if there is none.
func timeOf(v []byte) tick.Tick {
	if len(v) < 2 || v[0] != '"' {
		return 0
	}

	t, err := tick.Parse(textOf(v))
	if err != nil {
		return 0
	}

	return t
}

// dated returns the time at, or 0 if it is before 1970: .NET writes "no time" as year 1.
func dated(at tick.Tick) tick.Tick { return max(0, at) }
