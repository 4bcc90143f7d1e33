package record

// The mapping to CEF as a table: a row per extension key, in the order of the line, a column per API. For siem it follows
// the ArcSight map that Microsoft publishes with the SIEM API ("Microsoft Defender for Endpoint detections API fields",
// api-portal-mapping.md); the others fill the same ArcSight fields. Key names and lengths are those of the ArcSight CEF
// Implementation Standard (OpenText, document version 27), lengths in bytes of UTF-8 before escaping.

// Columns of the table.
const (
	colSIEM = iota
	colEndpoint
	colGraph
	colIncidents
	numColumns
)

var cefColumns = map[string]int{"siem": colSIEM, "endpoint": colEndpoint, "graph": colGraph, "incidents": colIncidents}

// The header's fields: CEF:0|Microsoft|product|version|class id|name|severity|
var cefHeaders = [numColumns]struct {
	product, version  string
	class, name       source
	severity          source
	noClass, untitled string // what stands there when the alert does not say: the fields are mandatory
}{
	colSIEM:      {"Microsoft Defender ATP", "2.0", first("IoaDefinitionId", "Category"), first("AlertTitle"), first("Severity"), "alert", "Untitled alert"},
	colEndpoint:  {"Microsoft Defender for Endpoint", "1.0", first("detectorId", "category"), first("title"), first("severity"), "alert", "Untitled alert"},
	colGraph:     {"Microsoft Defender XDR", "1.0", first("detectorId", "category"), first("title"), first("severity"), "alert", "Untitled alert"},
	colIncidents: {"Microsoft Defender XDR Incidents", "1.0", constant("incident"), first("incidentName"), first("severity"), "incident", "Untitled incident"},
}

// Lengths of the header's fields.
const (
	maxClass = 1023
	maxName  = 512
)

type cefRow struct {
	key, label                       string
	max                              int // 0: a number, a time or an address, which is never cut
	siem, endpoint, graph, incidents source
}

var cefTable = [...]cefRow{
	{"rt", "", 0, millis("AlertTime"), millis("alertCreationTime"), millis("createdDateTime"), millis("createdTime")},
	{"start", "", 0, none, millis("firstEventTime"), millis("firstActivityDateTime"), earliest("firstActivity")},
	{"end", "", 0, none, millis("lastEventTime"), millis("lastActivityDateTime"), latest("lastActivity")},
	{"externalId", "", 40, first("AlertId"), first("id"), first("id"), first("incidentId")},
	{"cat", "", 1023, first("Category"), first("category"), first("category"), first("alerts.0.category")},
	{"sourceServiceName", "", 1023, first("Source"), first("detectionSource"), first("detectionSource"), first("alerts.0.detectionSource")},
	{"outcome", "", 63, none, first("status"), first("status"), first("status")},
	{"shost", "", 1023, first("MachineName"), first("computerDnsName"), evidence("device", "deviceDnsName"), device("deviceDnsName")},
	{"sourceDnsDomain", "", 255, first("MachineDomain"), none, none, none},
	{"deviceExternalId", "", 255, first("DeviceID"), first("machineId"), evidence("device", "mdeDeviceId"), device("mdatpDeviceId")},
	{"sntdom", "", 255, first("UserDomain"), relatedUser("domainName", "domainName"), evidence("user", "userAccount.domainName"), evidence("User", "domainName")},
	{"suser", "", 1023, first("UserName"), relatedUser("userName", "accountName"), evidence("user", "userAccount.accountName"), evidence("User", "accountName")},
	{"suid", "", 1023, first("LogOnUsers"), none, evidence("user", "userAccount.userSid"), evidence("User", "userSid")},
	{"src", "", 0, ipv4(first("IpAddress")), ipv4(evidence("Ip", "ipAddress")), ipv4(evidence("ip", "ipAddress")), ipv4(evidence("Ip", "ipAddress"))},
	{"c6a2", "Source IPv6 Address", 0, ipv6(first("IpAddress")), ipv6(evidence("Ip", "ipAddress")), ipv6(evidence("ip", "ipAddress")), ipv6(evidence("Ip", "ipAddress"))},
	{"request", "", 1023, first("Url"), evidence("Url", "url"), evidence("url", "url"), evidence("Url", "url")},
	{"fname", "", 1023, first("FileName"), file("fileName"), file("fileName"), file("fileName")},
	{"filePath", "", 1023, first("FilePath"), file("filePath"), file("filePath"), file("filePath")},
	{"fileHash", "", 255, first("Sha1"), file("sha1"), file("sha1"), file("sha1")},
	{"sproc", "", 1023, first("CommandLine"), evidence("Process", "processCommandLine"), evidence("process", "processCommandLine"), evidence("Process", "processCommandLine")},
	{"cs1", "ThreatName", 4000, first("ThreatName"), first("threatName"), first("threatDisplayName"), none},
	{"cs2", "FullId", 4000, first("FullId"), longerThan(40, first("id")), longerThan(40, first("id")), none},
	{"cs3", "RecordId", 4000, recordID, recordID, recordID, recordID},
	{"cs4", "Actor", 4000, first("Actor"), none, first("actorDisplayName"), anyAlert("actorName")},
	{"cs5", "Md5", 4000, first("Md5"), none, none, none},
	{"cs5", "MitreTechniques", 4000, none, list("mitreTechniques"), list("mitreTechniques"), listOverAlerts("mitreTechniques")},
	{"cs6", "Sha256", 4000, first("Sha256"), file("sha256"), file("sha256"), file("sha256")},
	{"cn1", "WasExecutingWhileDetected", 0, oneOrZero("WasExecutingWhileDetected"), none, none, none},
	{"cn2", "RemediationIsSuccess", 0, oneOrZero("RemediationIsSuccess"), none, none, none},
	{"cnt", "", 0, none, none, none, numberOfAlerts},
	{"flexString1", "AlertLink", 1023, first("LinkToWDATP", "LinkToMTP"), none, first("alertWebUrl"), none},
	{"flexString2", "Tenant", 1023, tenantName, tenantName, tenantName, tenantName},
	{"msg", "", 1023, first("Description"), first("description"), first("description"), none},
}

// column gives the source of a row for one API.
func (r *cefRow) column(col int) source {
	return [numColumns]source{colSIEM: r.siem, colEndpoint: r.endpoint, colGraph: r.graph, colIncidents: r.incidents}[col]
}

// What happens to a line that is too long: the values of cutFirst are cut in this order, each as far as it must and can;
// then whole values are left out, the last of the line first, but none of cutNever. Only free text is cut: the half of a
// host name or a hash would be another one.
var (
	cutFirst = [...]string{"msg", "sproc", "request", "filePath", "suid", "cs4"}
	cutNever = map[string]bool{"externalId": true, "cs3": true, "flexString2": true, "rt": true}
)
