package defender

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/tick"
)

// Row is what has to be known of an alert to keep it apart from others: interface.md,
// "Records".
type Row struct {
	// Identity and Version make up the record_id, as text; Version is empty where the
	// API has none or the alert lacks it.
	Identity, Version []byte
	// Updated is the time that windows go by, Created when the alert came to be; 0
	// where the alert has none.
	Updated, Created tick.Tick
	// Tenant is the tenant that the row itself claims to belong to, in lower case, if
	// it does.
	Tenant string
	// Whole says that Identity and Version do not tell two versions of the alert apart,
	// since the alert lacks what they are made of: then only the same bytes are the
	// same version.
	Whole bool
}

// At is the time that the windows of an API go by, 0 if the row has none: Created where
// the reader was made ByCreation, but with siem, which cannot be asked by it. A time
// before 1970 is none: .NET writes the year 1 for it.
func (r Row) At(api cloud.API, byCreation bool) tick.Tick {
	at := r.Updated
	if byCreation && api != cloud.SIEM {
		at = r.Created
	}

	return max(0, at)
}

// The places of the fields that Row needs, in fieldNames.
const (
	inIdentity = iota
	inUpdated
	inCreated
	inTenant
	inAlerts
	fieldCount
)

// fieldNames says where each API keeps what Row needs; nil where it has no such field.
type fieldNames [fieldCount][]byte

var namesOf = map[cloud.API]*fieldNames{
	cloud.SIEM: {
		inIdentity: []byte("FullId"),
		inUpdated:  []byte("LastProcessedTimeUtc"),
		inCreated:  []byte("AlertTime"),
	},
	cloud.Endpoint: {
		inIdentity: []byte("id"),
		inUpdated:  []byte("lastUpdateTime"),
		inCreated:  []byte("alertCreationTime"),
		inTenant:   []byte("aadTenantId"),
	},
	cloud.Graph: {
		inIdentity: []byte("id"),
		inUpdated:  []byte("lastUpdateDateTime"),
		inCreated:  []byte("createdDateTime"),
		inTenant:   []byte("tenantId"),
	},
	cloud.Incidents: {
		inIdentity: []byte("incidentId"),
		inUpdated:  []byte("lastUpdateTime"),
		inCreated:  []byte("createdTime"),
		inTenant:   []byte("tenantId"),
		inAlerts:   []byte("alerts"),
	},
}

// Describer looks up what Row holds in the alerts of one API. It keeps scratch memory,
// so that an alert costs no allocation; it is for one goroutine at a time.
type Describer struct {
	api     cloud.API
	names   *fieldNames
	version []byte
	text    []byte // an identity that stood there with escapes
	claimed []byte // the tenant of the last row, as it stood there
	tenant  string // and in lower case: the next row's is nearly always the same
}

// longestKept is the longest field for which a Describer keeps scratch memory. What is
// longer is no identity or tenant of the services, and would be held, one for each
// tenant, until the next alert.
const longestKept = 4 << 10

// NewDescriber makes a Describer for an API.
func NewDescriber(api cloud.API) *Describer {
	names := namesOf[api]
	if names == nil {
		names = &fieldNames{}
	}

	return &Describer{api: api, names: names}
}

// Describe is NewDescriber(api).Describe(raw), for single alerts.
func Describe(api cloud.API, raw []byte) Row { return NewDescriber(api).Describe(raw) }

// Describe looks up what Row holds in an alert as the API sent it. Identity and Version
// are valid until the next call, and as long as raw is. Fields are found by their name,
// or by their name in another case: the documents disagree about some (trap T17).
func (d *Describer) Describe(raw []byte) Row {
	var v [fieldCount][]byte
	find(raw, d.names, &v)
	r := Row{
		Identity: d.identity(v[inIdentity]),
		Updated:  timeOf(v[inUpdated]),
		Created:  timeOf(v[inCreated]),
		Tenant:   d.tenantOf(v[inTenant]),
	}

	d.version = d.version[:0]
	switch d.api {
	case cloud.SIEM:
		if r.Identity == nil {
			r.Identity = siemIdentity(raw)
		}
	case cloud.Incidents:
		// The greatest update time of the incident and its alerts and the number of
		// alerts: an alert inside may be newer than its incident. The window time stays
		// the incident's own, which is what the service filters by.
		greatest, alerts := newest(v[inAlerts], r.Updated)
		if greatest != 0 {
			d.version = strconv.AppendInt(
				append(strconv.AppendInt(d.version, int64(greatest), 10), ':'),
				int64(alerts),
				10,
			)
		}
	default:
		if r.Updated != 0 {
			d.version = strconv.AppendInt(d.version, int64(r.Updated), 10)
		}
	}

	if r.Identity == nil {
		sum := sha256.Sum256(raw)
		r.Identity, d.version = hex.AppendEncode(nil, sum[:]), d.version[:0]
	}

	if len(d.version) > 0 {
		r.Version = d.version
	}

	r.Whole = r.Version == nil && d.api != cloud.SIEM

	return r
}

// identity is textOf without allocating for the escapes that the services write: .NET's
// System.Text.Json has "+" as \u002B, and base64, which identities of siem are made of,
// has many.
func (d *Describer) identity(v []byte) []byte {
	if len(v) < 3 || len(v) > longestKept || v[0] != '"' || bytes.IndexByte(v, '\\') < 0 {
		return textOf(v)
	}

	d.text = d.text[:0]

	for s := v[1 : len(v)-1]; len(s) > 0; {
		if s[0] != '\\' {
			d.text, s = append(d.text, s[0]), s[1:]
			continue
		}

		switch {
		case len(s) >= 2 && (s[1] == '/' || s[1] == '"' || s[1] == '\\'):
			d.text, s = append(d.text, s[1]), s[2:]
		case len(s) >= 6 && s[1] == 'u' && s[2] == '0' && s[3] == '0':
			c, ok1 := hexDigit(s[4])

			e, ok2 := hexDigit(s[5])
			if !ok1 || !ok2 {
				return textOf(v)
			}

			d.text, s = utf8.AppendRune(d.text, rune(c<<4|e)), s[6:]
		default:
			return textOf(v)
		}
	}

	return d.text
}

func hexDigit(c byte) (int, bool) {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0'), true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10, true
	}

	return 0, false
}

// tenantOf gives the tenant in lower case. What is neither text nor number is taken as
// it stands: it is nobody's tenant.
func (d *Describer) tenantOf(v []byte) string {
	if v == nil || string(v) == "null" {
		return ""
	}

	if len(v) > longestKept {
		return strings.ToLower(gjson.ParseBytes(v).String())
	}

	if d.claimed == nil || !bytes.Equal(v, d.claimed) {
		d.claimed = append(d.claimed[:0], v...)
		d.tenant = strings.ToLower(gjson.ParseBytes(v).String())
	}

	return d.tenant
}

// siemIdentity stands in where an old detection has no FullId: the three fields
// together, or nothing if one is missing.
func siemIdentity(raw []byte) []byte {
	var v [fieldCount][]byte
	find(raw, &fieldNames{[]byte("AlertId"), []byte("AlertPart"), []byte("LastProcessedTimeUtc")}, &v)

	id, part, at := textOf(v[0]), textOf(v[1]), textOf(v[2])
	if id == nil || part == nil || at == nil {
		return nil
	}

	return bytes.Join([][]byte{id, part, at}, []byte(":"))
}

// newest gives the greatest update time of an incident's alerts, at least the given
// one, and how many alerts there are.
func newest(alerts []byte, greatest tick.Tick) (tick.Tick, int) {
	n := 0

	if len(alerts) == 0 || alerts[0] != '[' {
		return greatest, 0
	}

	for i := 1; ; {
		i = blank(alerts, i)
		if i < len(alerts) && alerts[i] == ',' {
			i = blank(alerts, i+1)
		}

		if i >= len(alerts) || alerts[i] == ']' {
			return greatest, n
		}

		end := valueEnd(alerts, i)
		if end < 0 {
			return greatest, n
		}

		var v [fieldCount][]byte
		find(alerts[i:end], updatedInside, &v)
		greatest, n, i = max(greatest, timeOf(v[0])), n+1, end
	}
}

// updatedInside is how an alert inside an incident spells its update time, with a d.
var updatedInside = &fieldNames{[]byte("lastUpdatedTime")}

// textOf gives a string or a number as text, nil where it is missing, null or empty. v
// is a JSON value.
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

// timeOf gives a time, 0 where v is none. v is a JSON value.
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
