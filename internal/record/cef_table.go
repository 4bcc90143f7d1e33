package record

import "fluent-bit-defender/internal/alert"

// The mapping to CEF as a table: a row per extension key, in the order of the line, a
// column per API. For siem it follows the ArcSight map that Microsoft publishes with
// the SIEM API ("Microsoft Defender for Endpoint detections API fields",
// api-portal-mapping.md); the others fill the same ArcSight fields. Key names and
// lengths are those of the ArcSight CEF Implementation Standard (OpenText, document
// version 27), lengths in bytes of UTF-8 before escaping.

// A cefColumn is the part of an API's mapping that is not in the rows of the table.
type cefColumn struct {
	// The last three fields of the header,
	// CEF:0|Microsoft|product|version|class id|name|severity|. Product and version, and
	// what is written when an alert has no class or name, come from the descriptor.
	class, name, severity source
	// evidence is the form of the evidence that fills keys, if a row has evidence.
	evidence cefForm
}

// whole reports whether the column has what every line needs.
func (c cefColumn) whole() bool {
	return c.class.get != nil && c.name.get != nil && c.severity.get != nil
}

// cefColumns are the columns of the table.
var cefColumns = map[alert.API]cefColumn{
	alert.SIEM: {
		class:    first("IoaDefinitionId", "Category"),
		name:     first("AlertTitle"),
		severity: first("Severity"),
	},
	alert.Endpoint: {
		class:    first("detectorId", "category"),
		name:     first("title"),
		severity: first("severity"),
		evidence: formEndpoint,
	},
	alert.Graph: {
		class:    first("detectorId", "category"),
		name:     first("title"),
		severity: first("severity"),
		evidence: formGraph,
	},
	alert.Incidents: {
		class:    constant("incident"),
		name:     first("incidentName"),
		severity: first("severity"),
		evidence: formXDR,
	},
	alert.GraphIncidents: {
		class:    constant("incident"),
		name:     first("displayName"),
		severity: first("severity"),
		evidence: formGraph,
	},
}

// Lengths of the header's fields.
const (
	maxClass = 1023
	maxName  = 512
)

// A cefRow is a key of the extension.
type cefRow struct {
	key, label string
	max        int // 0: a number, a time or an address, which is never cut
	// from says where each API has the value. The key is left out for an API without one.
	from sources
}

// sources are the sources of one key, by API.
type sources map[alert.API]source

var cefTable = [...]cefRow{
	{
		key: "rt",
		from: sources{
			alert.SIEM:           millis("AlertTime"),
			alert.Endpoint:       millis("alertCreationTime"),
			alert.Graph:          millis("createdDateTime"),
			alert.Incidents:      millis("createdTime"),
			alert.GraphIncidents: millis("createdDateTime"),
		},
	},
	{
		key: "start",
		from: sources{
			alert.Endpoint:       millis("firstEventTime"),
			alert.Graph:          millis("firstActivityDateTime"),
			alert.Incidents:      earliest("firstActivity"),
			alert.GraphIncidents: earliest("firstActivityDateTime"),
		},
	},
	{
		key: "end",
		from: sources{
			alert.Endpoint:       millis("lastEventTime"),
			alert.Graph:          millis("lastActivityDateTime"),
			alert.Incidents:      latest("lastActivity"),
			alert.GraphIncidents: latest("lastActivityDateTime"),
		},
	},
	{
		key: "externalId",
		max: 40,
		from: sources{
			alert.SIEM:           first("AlertId"),
			alert.Endpoint:       first("id"),
			alert.Graph:          first("id"),
			alert.Incidents:      first("incidentId"),
			alert.GraphIncidents: first("id"),
		},
	},
	{
		key: "cat",
		max: 1023,
		from: sources{
			alert.SIEM:           first("Category"),
			alert.Endpoint:       first("category"),
			alert.Graph:          first("category"),
			alert.Incidents:      firstAlert("category"),
			alert.GraphIncidents: firstAlert("category"),
		},
	},
	{
		key: "sourceServiceName",
		max: 1023,
		from: sources{
			alert.SIEM:           first("Source"),
			alert.Endpoint:       first("detectionSource"),
			alert.Graph:          first("detectionSource"),
			alert.Incidents:      firstAlert("detectionSource"),
			alert.GraphIncidents: firstAlert("detectionSource"),
		},
	},
	{
		key: "outcome",
		max: 63,
		from: sources{
			alert.Endpoint:       first("status"),
			alert.Graph:          first("status"),
			alert.Incidents:      first("status"),
			alert.GraphIncidents: first("status"),
		},
	},
	{
		key: "shost",
		max: 1023,
		from: sources{
			alert.SIEM:           first("MachineName"),
			alert.Endpoint:       first("computerDnsName"),
			alert.Graph:          chosen(formGraph, groupHost, "shost"),
			alert.Incidents:      chosen(formXDR, groupHost, "shost"),
			alert.GraphIncidents: chosen(formGraph, groupHost, "shost"),
		},
	},
	{
		key: "sourceDnsDomain",
		max: 255,
		from: sources{
			alert.SIEM: first("MachineDomain"),
		},
	},
	{
		key: "deviceExternalId",
		max: 255,
		from: sources{
			alert.SIEM:           first("DeviceID"),
			alert.Endpoint:       first("machineId"),
			alert.Graph:          chosen(formGraph, groupHost, "deviceExternalId"),
			alert.Incidents:      chosen(formXDR, groupHost, "deviceExternalId"),
			alert.GraphIncidents: chosen(formGraph, groupHost, "deviceExternalId"),
		},
	},
	{
		key: "sntdom",
		max: 255,
		from: sources{
			alert.SIEM:           first("UserDomain"),
			alert.Endpoint:       user(formEndpoint, "sntdom"),
			alert.Graph:          user(formGraph, "sntdom"),
			alert.Incidents:      user(formXDR, "sntdom"),
			alert.GraphIncidents: user(formGraph, "sntdom"),
		},
	},
	{
		key: "suser",
		max: 1023,
		from: sources{
			alert.SIEM:           first("UserName"),
			alert.Endpoint:       user(formEndpoint, "suser"),
			alert.Graph:          user(formGraph, "suser"),
			alert.Incidents:      user(formXDR, "suser"),
			alert.GraphIncidents: user(formGraph, "suser"),
		},
	},
	{
		key: "suid",
		max: 1023,
		from: sources{
			alert.SIEM:           first("LogOnUsers"),
			alert.Graph:          user(formGraph, "suid"),
			alert.Incidents:      user(formXDR, "suid"),
			alert.GraphIncidents: user(formGraph, "suid"),
		},
	},
	{
		key: "duser",
		max: 1023,
		from: sources{
			alert.Graph:          recipient(formGraph),
			alert.Incidents:      recipient(formXDR),
			alert.GraphIncidents: recipient(formGraph),
		},
	},
	{
		key: "src",
		from: sources{
			alert.SIEM:           addressIn4("IpAddress"),
			alert.Endpoint:       source4(formEndpoint),
			alert.Graph:          source4(formGraph),
			alert.Incidents:      source4(formXDR),
			alert.GraphIncidents: source4(formGraph),
		},
	},
	{
		key:   "c6a2",
		label: "Source IPv6 Address",
		from: sources{
			alert.SIEM:           addressIn6("IpAddress"),
			alert.Endpoint:       source6(formEndpoint),
			alert.Graph:          source6(formGraph),
			alert.Incidents:      source6(formXDR),
			alert.GraphIncidents: source6(formGraph),
		},
	},
	{
		key: "spt",
		from: sources{
			alert.Graph:          port(formGraph, "spt"),
			alert.Incidents:      port(formXDR, "spt"),
			alert.GraphIncidents: port(formGraph, "spt"),
		},
	},
	{
		key: "dst",
		from: sources{
			alert.Graph:          destination4(formGraph),
			alert.Incidents:      destination4(formXDR),
			alert.GraphIncidents: destination4(formGraph),
		},
	},
	{
		key:   "c6a3",
		label: "Destination IPv6 Address",
		from: sources{
			alert.Graph:          destination6(formGraph),
			alert.Incidents:      destination6(formXDR),
			alert.GraphIncidents: destination6(formGraph),
		},
	},
	{
		key: "dpt",
		from: sources{
			alert.Graph:          port(formGraph, "dpt"),
			alert.Incidents:      port(formXDR, "dpt"),
			alert.GraphIncidents: port(formGraph, "dpt"),
		},
	},
	{
		key: "proto",
		max: 31,
		from: sources{
			alert.Graph:          chosen(formGraph, groupConnection, "proto"),
			alert.Incidents:      chosen(formXDR, groupConnection, "proto"),
			alert.GraphIncidents: chosen(formGraph, groupConnection, "proto"),
		},
	},
	{
		key: "request",
		max: 1023,
		from: sources{
			alert.SIEM:           first("Url"),
			alert.Endpoint:       requestURL(formEndpoint),
			alert.Graph:          requestURL(formGraph),
			alert.Incidents:      requestURL(formXDR),
			alert.GraphIncidents: requestURL(formGraph),
		},
	},
	{
		key: "fname",
		max: 1023,
		from: sources{
			alert.SIEM:           first("FileName"),
			alert.Endpoint:       fileOf(formEndpoint, "fname"),
			alert.Graph:          fileOf(formGraph, "fname"),
			alert.Incidents:      fileOf(formXDR, "fname"),
			alert.GraphIncidents: fileOf(formGraph, "fname"),
		},
	},
	{
		key: "filePath",
		max: 1023,
		from: sources{
			alert.SIEM:           first("FilePath"),
			alert.Endpoint:       fileOf(formEndpoint, "filePath"),
			alert.Graph:          fileOf(formGraph, "filePath"),
			alert.Incidents:      fileOf(formXDR, "filePath"),
			alert.GraphIncidents: fileOf(formGraph, "filePath"),
		},
	},
	{
		key: "fileHash",
		max: 255,
		from: sources{
			alert.SIEM:           first("Sha1"),
			alert.Endpoint:       fileOf(formEndpoint, "fileHash"),
			alert.Graph:          fileOf(formGraph, "fileHash"),
			alert.Incidents:      fileOf(formXDR, "fileHash"),
			alert.GraphIncidents: fileOf(formGraph, "fileHash"),
		},
	},
	{
		key: "fileId",
		max: 1023,
		from: sources{
			alert.Graph:          fileID(formGraph),
			alert.Incidents:      fileID(formXDR),
			alert.GraphIncidents: fileID(formGraph),
		},
	},
	{
		key: "sproc",
		max: 1023,
		from: sources{
			alert.SIEM:           first("CommandLine"),
			alert.Endpoint:       process(formEndpoint),
			alert.Graph:          process(formGraph),
			alert.Incidents:      process(formXDR),
			alert.GraphIncidents: process(formGraph),
		},
	},
	{
		key:   "cs1",
		label: "ThreatName",
		max:   4000,
		from: sources{
			alert.SIEM:     first("ThreatName"),
			alert.Endpoint: first("threatName"),
			alert.Graph:    first("threatDisplayName"),
		},
	},
	{
		key:   "cs2",
		label: "FullId",
		max:   4000,
		from: sources{
			alert.SIEM:     first("FullId"),
			alert.Endpoint: longerThan(40, first("id")),
			alert.Graph:    longerThan(40, first("id")),
		},
	},
	{
		key:   "cs3",
		label: "RecordId",
		max:   4000,
		from: sources{
			alert.SIEM:           recordID,
			alert.Endpoint:       recordID,
			alert.Graph:          recordID,
			alert.Incidents:      recordID,
			alert.GraphIncidents: recordID,
		},
	},
	{
		key:   "cs4",
		label: "Actor",
		max:   4000,
		from: sources{
			alert.SIEM:           first("Actor"),
			alert.Graph:          first("actorDisplayName"),
			alert.Incidents:      anyAlert("actorName"),
			alert.GraphIncidents: anyAlert("actorDisplayName"),
		},
	},
	{
		key:   "cs5",
		label: "Md5",
		max:   4000,
		from: sources{
			alert.SIEM: first("Md5"),
		},
	},
	{
		key:   "cs5",
		label: "MitreTechniques",
		max:   4000,
		from: sources{
			alert.Endpoint:       list("mitreTechniques"),
			alert.Graph:          list("mitreTechniques"),
			alert.Incidents:      listOverAlerts("mitreTechniques"),
			alert.GraphIncidents: listOverAlerts("mitreTechniques"),
		},
	},
	{
		key:   "cs6",
		label: "Sha256",
		max:   4000,
		from: sources{
			alert.SIEM:           first("Sha256"),
			alert.Endpoint:       fileOf(formEndpoint, "cs6"),
			alert.Graph:          fileOf(formGraph, "cs6"),
			alert.Incidents:      fileOf(formXDR, "cs6"),
			alert.GraphIncidents: fileOf(formGraph, "cs6"),
		},
	},
	{
		key:   "cn1",
		label: "WasExecutingWhileDetected",
		from: sources{
			alert.SIEM: oneOrZero("WasExecutingWhileDetected"),
		},
	},
	{
		key:   "cn2",
		label: "RemediationIsSuccess",
		from: sources{
			alert.SIEM: oneOrZero("RemediationIsSuccess"),
		},
	},
	{
		key: "cnt",
		from: sources{
			alert.Incidents:      numberOfAlerts,
			alert.GraphIncidents: numberOfAlerts,
		},
	},
	{
		key:   "flexString1",
		label: "AlertLink",
		max:   1023,
		from: sources{
			alert.SIEM:  first("LinkToWDATP", "LinkToMTP"),
			alert.Graph: first("alertWebUrl"),
		},
	},
	{
		key:   "flexString2",
		label: "Tenant",
		max:   1023,
		from: sources{
			alert.SIEM:           tenantName,
			alert.Endpoint:       tenantName,
			alert.Graph:          tenantName,
			alert.Incidents:      tenantName,
			alert.GraphIncidents: tenantName,
		},
	},
	{
		key: "msg",
		max: 1023,
		from: sources{
			alert.SIEM:     first("Description"),
			alert.Endpoint: first("description"),
			alert.Graph:    first("description"),
		},
	},
}

// A cefMapping is the whole mapping of one API: its column, and the rows with a source
// for it.
type cefMapping struct {
	*alert.Descriptor
	cefColumn
	keys []cefKey
}

// A cefKey is a row of the table for one API.
type cefKey struct {
	*cefRow
	source
}

// cefMappings has the mappings of all APIs that have a column.
var cefMappings = makeMappings()

func makeMappings() map[alert.API]*cefMapping {
	mappings := map[alert.API]*cefMapping{}

	for api, column := range cefColumns {
		facts, err := api.Descriptor()
		if err != nil {
			continue // a test compares the columns with the APIs that there are
		}

		m := &cefMapping{Descriptor: facts, cefColumn: column}

		for i := range cefTable {
			if from, ok := cefTable[i].from[api]; ok {
				m.keys = append(m.keys, cefKey{&cefTable[i], from})
			}
		}

		mappings[api] = m
	}

	return mappings
}

// How a line that is too long is shortened: the values of cutFirst are cut in this order,
// each as far as necessary and possible; then whole values are left out, the last of the
// line first, but none of cutNever. Only free text is cut: half a host name or half a
// hash would be another one.
var (
	cutFirst = [...]string{"msg", "sproc", "request", "filePath", "suid", "cs4"}
	cutNever = map[string]bool{"externalId": true, "cs3": true, "flexString2": true, "rt": true}
)
