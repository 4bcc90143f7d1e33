package simulator

import (
	"encoding/json"
	"maps"
	"strings"
)

// renderSIEM writes one detection with the 50 keys, in the order, of the sample in
// MicrosoftDocs/microsoft-365-docs defender-endpoint/pull-alerts-using-rest-api.md.
func renderSIEM(a *Alert, d *Detection, part int) []byte {
	o := &detectionObject{
		object: object{b: make([]byte, 0, 2304), escapes: a.Escapes, over: merged(a.Fields[SIEM], d.Fields)},
		mode:   a.Empty,
	}
	o.open()
	o.found(a, d)
	o.named(a, d, part)
	o.device(a, d)
	o.linked(a, d, part)
	o.close()

	return o.b
}

// detectionObject writes a detection.
type detectionObject struct {
	object
	mode EmptyMode // how empty texts are written
}

// optional writes a text that may be empty.
func (o *detectionObject) optional(key, value string) {
	switch {
	case value != "" || o.mode == EmptyString:
		o.text(key, value)
	case o.mode == EmptyNull:
		o.raw(key, "null")
	default:
		if _, ok := o.over[key]; ok {
			o.text(key, value)
		}
	}
}

// found writes what was found.
func (o *detectionObject) found(a *Alert, d *Detection) {
	o.time("AlertTime", d.AlertTime)
	o.text("ComputerDnsName", a.Machine)
	o.text("AlertTitle", a.Title)
	o.text("Category", a.Category)
	o.text("Severity", a.Severity)
	o.text("AlertId", a.ID)
	o.optional("Actor", "")
	o.text("LinkToWDATP", "https://securitycenter.windows.com/alert/"+a.ID)
	o.optional("IocName", "")
	o.optional("IocValue", "")
	o.optional("CreatorIocName", "")
	o.optional("CreatorIocValue", "")
	o.optional("Sha1", d.Sha1)
	o.optional("FileName", d.FileName)
	o.optional("FilePath", d.FilePath)
	o.optional("IpAddress", d.IPAddress)
	o.optional("Url", d.URL)

	if a.Empty == EmptyNull { // the misspelling of the sample of 2017
		o.text("IoaDefinitiondId", detectorID(a))
	} else {
		o.text("IoaDefinitionId", detectorID(a))
	}
}

// named writes what names the detection and its threat.
func (o *detectionObject) named(a *Alert, d *Detection, part int) {
	o.optional("UserName", d.UserName)
	o.int("AlertPart", int64(part))
	o.text("FullId", a.ID+":"+d.IocUniqueID)
	o.time("LastProcessedTimeUtc", d.LastProcessed)

	for _, key := range []string{"ThreatCategory", "ThreatFamily", "ThreatName", "RemediationAction"} {
		o.optional(key, "")
	}

	o.raw("RemediationIsSuccess", "null")
	o.text("Source", siemSource(a))
}

// device writes user, device and files.
func (o *detectionObject) device(a *Alert, d *Detection) {
	host, domain, _ := strings.Cut(a.Machine, ".")

	o.optional("Md5", "")
	o.optional("Sha256", "")
	o.raw("WasExecutingWhileDetected", "null")
	o.optional("UserDomain", d.UserDomain)
	o.optional("LogOnUsers", "")
	o.optional("MachineDomain", domain)
	o.text("MachineName", host)
	o.optional("InternalIPv4List", "")
	o.optional("InternalIPv6List", "")
	o.optional("FileHash", d.Sha1)
	o.optional("DeviceID", a.DeviceID)
	o.optional("MachineGroup", a.MachineGroup)
	o.optional("Description", a.Description)
	o.optional("DeviceCreatedMachineTags", a.RegistryTags)
	o.optional("CloudCreatedMachineTags", a.PortalTags)
	o.optional("CommandLine", d.CommandLine)
}

// linked writes links and ids.
func (o *detectionObject) linked(a *Alert, d *Detection, part int) {
	o.text("IncidentLinkToWDATP", "https://securitycenter.windows.com/incidents/byalert?alertId="+a.ID+"&source=SIEM")
	o.int("ReportID", d.ReportID)
	o.text("LinkToMTP", "https://security.microsoft.com/alert/"+a.ID)
	o.text("IncidentLinkToMTP", "https://security.microsoft.com/incidents/byalert?alertId="+a.ID+"&source=SIEM")
	o.text("ExternalId", strings.ToUpper(hexText(random(0, "external", a.ID, part), 40)))
	o.text("IocUniqueId", d.IocUniqueID)
}

// merged returns a with the overrides of b.
func merged(a, b map[string]json.RawMessage) map[string]json.RawMessage {
	if len(a) == 0 || len(b) == 0 {
		if len(a) == 0 {
			return b
		}

		return a
	}

	m := maps.Clone(a)
	maps.Copy(m, b)

	return m
}

// detectorID returns a detector's id, the same for the same title.
func detectorID(a *Alert) string { return guid(random(0, "detector", a.Title)) }

// siemSource returns the source of an alert in the SIEM API's spelling.
func siemSource(a *Alert) string {
	if a.DetectionSource == "antivirus" {
		return "Antivirus"
	}

	return "EDR"
}
