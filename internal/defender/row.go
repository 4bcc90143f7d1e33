package defender

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/tick"
)

// Row is what has to be known of an alert to keep it apart from others: interface.md, "Records".
type Row struct {
	// Identity and Version make up the record_id, as text; Version is empty where the API has none or the alert lacks it.
	Identity, Version []byte
	// Updated is the time that windows go by, Created when the alert came to be; 0 where the alert has none.
	Updated, Created tick.Tick
	// Tenant is the tenant that the row itself claims to belong to, if it does.
	Tenant string
	// Whole says that Identity and Version do not tell two versions of the alert apart, since the alert lacks what they are made
	// of: then only the same bytes are the same version.
	Whole bool
}

// fields names where each API keeps what Row needs.
type fields struct {
	identity, updated, created, tenant string
}

var fieldsOf = map[cloud.API]fields{
	cloud.SIEM:      {identity: "FullId", updated: "LastProcessedTimeUtc", created: "AlertTime"},
	cloud.Endpoint:  {identity: "id", updated: "lastUpdateTime", created: "alertCreationTime", tenant: "aadTenantId"},
	cloud.Graph:     {identity: "id", updated: "lastUpdateDateTime", created: "createdDateTime", tenant: "tenantId"},
	cloud.Incidents: {identity: "incidentId", updated: "lastUpdateTime", created: "createdTime", tenant: "tenantId"},
}

// Describe looks up what Row holds in an alert as the API sent it.
func Describe(api cloud.API, raw []byte) Row {
	f := fieldsOf[api]
	r := Row{Updated: timeOf(raw, f.updated), Created: timeOf(raw, f.created)}
	if f.tenant != "" {
		r.Tenant = strings.ToLower(field(raw, f.tenant).String())
	}
	r.Identity = textOf(raw, f.identity)
	switch api {
	case cloud.SIEM:
		if r.Identity == nil {
			r.Identity = siemIdentity(raw)
		}
	case cloud.Incidents:
		r.Version = incidentVersion(raw, &r)
	default:
		if r.Updated != 0 {
			r.Version = strconv.AppendInt(nil, int64(r.Updated), 10)
		}
	}
	if r.Identity == nil {
		sum := sha256.Sum256(raw)
		r.Identity, r.Version = []byte(hex.EncodeToString(sum[:])), nil
	}
	r.Whole = r.Version == nil && api != cloud.SIEM
	return r
}

// siemIdentity stands in where an old detection has no FullId: the three fields together, or nothing if one is missing.
func siemIdentity(raw []byte) []byte {
	id, part, at := textOf(raw, "AlertId"), textOf(raw, "AlertPart"), textOf(raw, "LastProcessedTimeUtc")
	if id == nil || part == nil || at == nil {
		return nil
	}
	return bytes.Join([][]byte{id, part, at}, []byte(":"))
}

// incidentVersion is the greatest update time of the incident and its alerts and the number of alerts: an alert inside may be newer than
// its incident. The window time stays the incident's own, which is what the service filters by.
func incidentVersion(raw []byte, r *Row) []byte {
	greatest, alerts := r.Updated, 0
	field(raw, "alerts").ForEach(func(_, alert gjson.Result) bool {
		alerts++
		if t, err := tick.Parse(alert.Get("lastUpdatedTime").String()); err == nil && t > greatest {
			greatest = t
		}
		return true
	})
	if greatest == 0 {
		return nil
	}
	return strconv.AppendInt(append(strconv.AppendInt(nil, int64(greatest), 10), ':'), int64(alerts), 10)
}

// field finds a top-level field by its name, or by its name in another case: the documents disagree about some (trap T17).
func field(raw []byte, name string) gjson.Result {
	if r := gjson.GetBytes(raw, name); r.Exists() {
		return r
	}
	var found gjson.Result
	gjson.ParseBytes(raw).ForEach(func(k, v gjson.Result) bool {
		if !strings.EqualFold(k.Str, name) {
			return true
		}
		found = v
		return false
	})
	return found
}

// textOf gives a string or a number as text, nil where it is missing, null or empty.
func textOf(raw []byte, name string) []byte {
	switch r := field(raw, name); {
	case r.Type == gjson.String && r.Str != "":
		return []byte(r.Str)
	case r.Type == gjson.Number:
		return []byte(r.Raw)
	}
	return nil
}

func timeOf(raw []byte, name string) tick.Tick {
	r := field(raw, name)
	if r.Type != gjson.String {
		return 0
	}
	t, err := tick.Parse(r.Str)
	if err != nil {
		return 0
	}
	return t
}
