package record

import "fluent-bit-defender/internal/alert"

// The mapping to CEF as a table: a row per extension key, in the order of the line, a
// column per API. For siem it follows the ArcSight map that Microsoft publishes with
// the SIEM API ("Microsoft Defender for Endpoint detections API fields",
// api-portal-mapping.md); the others fill the same ArcSight fields. Key names and
// lengths are those of the ArcSight CEF Implementation Standard (OpenText, document
// version 27), lengths in bytes of UTF-8 before escaping.

// Columns of the table.
const (
	colSIEM = iota
	colEndpoint
	colGraph
	colIncidents
	colGraphIncidents
	numColumns
)

var cefColumns = map[alert.API]int{
	alert.SIEM:      colSIEM,
	alert.Endpoint:  colEndpoint,
	alert.Graph:     colGraph,
	alert.Incidents: colIncidents,

	alert.GraphIncidents: colGraphIncidents,
}

// A cefHeader says where the last three fields of the header come from:
// CEF:0|Microsoft|product|version|class id|name|severity|. Product and version, and what
// is written when an alert has no class or name, come from the API's descriptor.
type cefHeader struct{ class, name, severity source }

var cefHeaders = [numColumns]cefHeader{
	colSIEM: {
		class:    first("IoaDefinitionId", "Category"),
		name:     first("AlertTitle"),
		severity: first("Severity"),
	},
	colEndpoint: {
		class:    first("detectorId", "category"),
		name:     first("title"),
		severity: first("severity"),
	},
	colGraph: {
		class:    first("detectorId", "category"),
		name:     first("title"),
		severity: first("severity"),
	},
	colIncidents: {
		class:    constant("incident"),
		name:     first("incidentName"),
		severity: first("severity"),
	},
	colGraphIncidents: {
		class:    constant("incident"),
		name:     first("displayName"),
		severity: first("severity"),
	},
}

// Lengths of the header's fields.
const (
	maxClass = 1023
	maxName  = 512
)

type cefRow struct {
	key, label string
	max        int // 0: a number, a time or an address, which is never cut

	siem, endpoint, graph, incidents, graphIncidents source
}

var cefTable = [...]cefRow{
	{
		key: "rt",

		siem:      millis("AlertTime"),
		endpoint:  millis("alertCreationTime"),
		graph:     millis("createdDateTime"),
		incidents: millis("createdTime"),

		graphIncidents: millis("createdDateTime"),
	},
	{
		key: "start",

		endpoint:  millis("firstEventTime"),
		graph:     millis("firstActivityDateTime"),
		incidents: earliest("firstActivity"),

		graphIncidents: earliest("firstActivityDateTime"),
	},
	{
		key: "end",

		endpoint:  millis("lastEventTime"),
		graph:     millis("lastActivityDateTime"),
		incidents: latest("lastActivity"),

		graphIncidents: latest("lastActivityDateTime"),
	},
	{
		key: "externalId",
		max: 40,

		siem:      first("AlertId"),
		endpoint:  first("id"),
		graph:     first("id"),
		incidents: first("incidentId"),

		graphIncidents: first("id"),
	},
	{
		key: "cat",
		max: 1023,

		siem:      first("Category"),
		endpoint:  first("category"),
		graph:     first("category"),
		incidents: firstAlert("category"),

		graphIncidents: firstAlert("category"),
	},
	{
		key: "sourceServiceName",
		max: 1023,

		siem:      first("Source"),
		endpoint:  first("detectionSource"),
		graph:     first("detectionSource"),
		incidents: firstAlert("detectionSource"),

		graphIncidents: firstAlert("detectionSource"),
	},
	{
		key: "outcome",
		max: 63,

		endpoint:  first("status"),
		graph:     first("status"),
		incidents: first("status"),

		graphIncidents: first("status"),
	},
	{
		key: "shost",
		max: 1023,

		siem:      first("MachineName"),
		endpoint:  first("computerDnsName"),
		graph:     chosen(colGraph, groupHost, "shost"),
		incidents: chosen(colIncidents, groupHost, "shost"),

		graphIncidents: chosen(colGraphIncidents, groupHost, "shost"),
	},
	{
		key: "sourceDnsDomain",
		max: 255,

		siem: first("MachineDomain"),
	},
	{
		key: "deviceExternalId",
		max: 255,

		siem:      first("DeviceID"),
		endpoint:  first("machineId"),
		graph:     chosen(colGraph, groupHost, "deviceExternalId"),
		incidents: chosen(colIncidents, groupHost, "deviceExternalId"),

		graphIncidents: chosen(colGraphIncidents, groupHost, "deviceExternalId"),
	},
	{
		key: "sntdom",
		max: 255,

		siem:      first("UserDomain"),
		endpoint:  user(colEndpoint, "sntdom"),
		graph:     user(colGraph, "sntdom"),
		incidents: user(colIncidents, "sntdom"),

		graphIncidents: user(colGraphIncidents, "sntdom"),
	},
	{
		key: "suser",
		max: 1023,

		siem:      first("UserName"),
		endpoint:  user(colEndpoint, "suser"),
		graph:     user(colGraph, "suser"),
		incidents: user(colIncidents, "suser"),

		graphIncidents: user(colGraphIncidents, "suser"),
	},
	{
		key: "suid",
		max: 1023,

		siem:      first("LogOnUsers"),
		graph:     user(colGraph, "suid"),
		incidents: user(colIncidents, "suid"),

		graphIncidents: user(colGraphIncidents, "suid"),
	},
	{
		key: "duser",
		max: 1023,

		graph:     recipient(colGraph),
		incidents: recipient(colIncidents),

		graphIncidents: recipient(colGraphIncidents),
	},
	{
		key: "src",

		siem:      addressIn4("IpAddress"),
		endpoint:  source4(colEndpoint),
		graph:     source4(colGraph),
		incidents: source4(colIncidents),

		graphIncidents: source4(colGraphIncidents),
	},
	{
		key:   "c6a2",
		label: "Source IPv6 Address",

		siem:      addressIn6("IpAddress"),
		endpoint:  source6(colEndpoint),
		graph:     source6(colGraph),
		incidents: source6(colIncidents),

		graphIncidents: source6(colGraphIncidents),
	},
	{
		key: "spt",

		graph:     port(colGraph, "spt"),
		incidents: port(colIncidents, "spt"),

		graphIncidents: port(colGraphIncidents, "spt"),
	},
	{
		key: "dst",

		graph:     destination4(colGraph),
		incidents: destination4(colIncidents),

		graphIncidents: destination4(colGraphIncidents),
	},
	{
		key:   "c6a3",
		label: "Destination IPv6 Address",

		graph:     destination6(colGraph),
		incidents: destination6(colIncidents),

		graphIncidents: destination6(colGraphIncidents),
	},
	{
		key: "dpt",

		graph:     port(colGraph, "dpt"),
		incidents: port(colIncidents, "dpt"),

		graphIncidents: port(colGraphIncidents, "dpt"),
	},
	{
		key: "proto",
		max: 31,

		graph:     chosen(colGraph, groupConnection, "proto"),
		incidents: chosen(colIncidents, groupConnection, "proto"),

		graphIncidents: chosen(colGraphIncidents, groupConnection, "proto"),
	},
	{
		key: "request",
		max: 1023,

		siem:      first("Url"),
		endpoint:  requestURL(colEndpoint),
		graph:     requestURL(colGraph),
		incidents: requestURL(colIncidents),

		graphIncidents: requestURL(colGraphIncidents),
	},
	{
		key: "fname",
		max: 1023,

		siem:      first("FileName"),
		endpoint:  fileOf(colEndpoint, "fname"),
		graph:     fileOf(colGraph, "fname"),
		incidents: fileOf(colIncidents, "fname"),

		graphIncidents: fileOf(colGraphIncidents, "fname"),
	},
	{
		key: "filePath",
		max: 1023,

		siem:      first("FilePath"),
		endpoint:  fileOf(colEndpoint, "filePath"),
		graph:     fileOf(colGraph, "filePath"),
		incidents: fileOf(colIncidents, "filePath"),

		graphIncidents: fileOf(colGraphIncidents, "filePath"),
	},
	{
		key: "fileHash",
		max: 255,

		siem:      first("Sha1"),
		endpoint:  fileOf(colEndpoint, "fileHash"),
		graph:     fileOf(colGraph, "fileHash"),
		incidents: fileOf(colIncidents, "fileHash"),

		graphIncidents: fileOf(colGraphIncidents, "fileHash"),
	},
	{
		key: "fileId",
		max: 1023,

		graph:     fileID(colGraph),
		incidents: fileID(colIncidents),

		graphIncidents: fileID(colGraphIncidents),
	},
	{
		key: "sproc",
		max: 1023,

		siem:      first("CommandLine"),
		endpoint:  process(colEndpoint),
		graph:     process(colGraph),
		incidents: process(colIncidents),

		graphIncidents: process(colGraphIncidents),
	},
	{
		key:   "cs1",
		label: "ThreatName",
		max:   4000,

		siem:     first("ThreatName"),
		endpoint: first("threatName"),
		graph:    first("threatDisplayName"),
	},
	{
		key:   "cs2",
		label: "FullId",
		max:   4000,

		siem:     first("FullId"),
		endpoint: longerThan(40, first("id")),
		graph:    longerThan(40, first("id")),
	},
	{
		key:   "cs3",
		label: "RecordId",
		max:   4000,

		siem:      recordID,
		endpoint:  recordID,
		graph:     recordID,
		incidents: recordID,

		graphIncidents: recordID,
	},
	{
		key:   "cs4",
		label: "Actor",
		max:   4000,

		siem:      first("Actor"),
		graph:     first("actorDisplayName"),
		incidents: anyAlert("actorName"),

		graphIncidents: anyAlert("actorDisplayName"),
	},
	{
		key:   "cs5",
		label: "Md5",
		max:   4000,

		siem: first("Md5"),
	},
	{
		key:   "cs5",
		label: "MitreTechniques",
		max:   4000,

		endpoint:  list("mitreTechniques"),
		graph:     list("mitreTechniques"),
		incidents: listOverAlerts("mitreTechniques"),

		graphIncidents: listOverAlerts("mitreTechniques"),
	},
	{
		key:   "cs6",
		label: "Sha256",
		max:   4000,

		siem:      first("Sha256"),
		endpoint:  fileOf(colEndpoint, "cs6"),
		graph:     fileOf(colGraph, "cs6"),
		incidents: fileOf(colIncidents, "cs6"),

		graphIncidents: fileOf(colGraphIncidents, "cs6"),
	},
	{
		key:   "cn1",
		label: "WasExecutingWhileDetected",

		siem: oneOrZero("WasExecutingWhileDetected"),
	},
	{
		key:   "cn2",
		label: "RemediationIsSuccess",

		siem: oneOrZero("RemediationIsSuccess"),
	},
	{
		key: "cnt",

		incidents: numberOfAlerts,

		graphIncidents: numberOfAlerts,
	},
	{
		key:   "flexString1",
		label: "AlertLink",
		max:   1023,

		siem:  first("LinkToWDATP", "LinkToMTP"),
		graph: first("alertWebUrl"),
	},
	{
		key:   "flexString2",
		label: "Tenant",
		max:   1023,

		siem:      tenantName,
		endpoint:  tenantName,
		graph:     tenantName,
		incidents: tenantName,

		graphIncidents: tenantName,
	},
	{
		key: "msg",
		max: 1023,

		siem:     first("Description"),
		endpoint: first("description"),
		graph:    first("description"),
	},
}

// column returns the source of a row for one API.
func (r *cefRow) column(col int) source {
	return [numColumns]source{
		colSIEM:      r.siem,
		colEndpoint:  r.endpoint,
		colGraph:     r.graph,
		colIncidents: r.incidents,

		colGraphIncidents: r.graphIncidents,
	}[col]
}

// What happens to a line that is too long: the values of cutFirst are cut in this
// order, each as far as it must and can; then whole values are left out, the last of
// the line first, but none of cutNever. Only free text is cut: the half of a host name
// or a hash would be another one.
var (
	cutFirst = [...]string{"msg", "sproc", "request", "filePath", "suid", "cs4"}
	cutNever = map[string]bool{"externalId": true, "cs3": true, "flexString2": true, "rt": true}
)
