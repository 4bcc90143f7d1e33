package simulator

import (
	"encoding/json"
	"maps"
	"strings"
)

// renderSIEM writes one detection with the 50 keys, in the order, of the sample in
// MicrosoftDocs/microsoft-365-docs defender-endpoint/pull-alerts-using-rest-api.md.
func renderSIEM(a *Alert, d *Detection, part int) []byte {
	o := object{b: make([]byte, 0, 2304), escapes: a.Escapes, over: merged(a.Fields[SIEM], d.Fields)}
	empty := func(key, value string) {
		switch {
		case value != "" || a.Empty == EmptyString:
			o.text(key, value)
		case a.Empty == EmptyNull:
			o.raw(key, "null")
		default:
			if _, ok := o.over[key]; ok {
				o.text(key, value)
			}
		}
	}
	host, domain, _ := strings.Cut(a.Machine, ".")

	o.open()
	o.time("AlertTime", d.AlertTime)
	o.text("ComputerDnsName", a.Machine)
	o.text("AlertTitle", a.Title)
	o.text("Category", a.Category)
	o.text("Severity", a.Severity)
	o.text("AlertId", a.ID)
	empty("Actor", "")
	o.text("LinkToWDATP", "https://securitycenter.windows.com/alert/"+a.ID)
	empty("IocName", "")
	empty("IocValue", "")
	empty("CreatorIocName", "")
	empty("CreatorIocValue", "")
	empty("Sha1", d.Sha1)
	empty("FileName", d.FileName)
	empty("FilePath", d.FilePath)
	empty("IpAddress", d.IPAddress)
	empty("Url", d.URL)

	if a.Empty == EmptyNull { // the misspelling of the sample of 2017
		o.text("IoaDefinitiondId", detectorID(a))
	} else {
		o.text("IoaDefinitionId", detectorID(a))
	}

	empty("UserName", d.UserName)
	o.int("AlertPart", int64(part))
	o.text("FullId", a.ID+":"+d.IocUniqueID)
	o.time("LastProcessedTimeUtc", d.LastProcessed)

	for _, key := range []string{"ThreatCategory", "ThreatFamily", "ThreatName", "RemediationAction"} {
		empty(key, "")
	}

	o.raw("RemediationIsSuccess", "null")
	o.text("Source", siemSource(a))
	empty("Md5", "")
	empty("Sha256", "")
	o.raw("WasExecutingWhileDetected", "null")
	empty("UserDomain", d.UserDomain)
	empty("LogOnUsers", "")
	empty("MachineDomain", domain)
	o.text("MachineName", host)
	empty("InternalIPv4List", "")
	empty("InternalIPv6List", "")
	empty("FileHash", d.Sha1)
	empty("DeviceID", a.DeviceID)
	empty("MachineGroup", a.MachineGroup)
	empty("Description", a.Description)
	empty("DeviceCreatedMachineTags", a.RegistryTags)
	empty("CloudCreatedMachineTags", a.PortalTags)
	empty("CommandLine", d.CommandLine)
	o.text("IncidentLinkToWDATP", "https://securitycenter.windows.com/incidents/byalert?alertId="+a.ID+"&source=SIEM")
	o.int("ReportID", d.ReportID)
	o.text("LinkToMTP", "https://security.microsoft.com/alert/"+a.ID)
	o.text("IncidentLinkToMTP", "https://security.microsoft.com/incidents/byalert?alertId="+a.ID+"&source=SIEM")
	o.text("ExternalId", strings.ToUpper(hexText(random(0, "external", a.ID, part), 40)))
	o.text("IocUniqueId", d.IocUniqueID)
	o.close()

	return o.b
}

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

func detectorID(a *Alert) string { return guid(random(0, "detector", a.Title)) }

func siemSource(a *Alert) string {
	if a.DetectionSource == "antivirus" {
		return "Antivirus"
	}

	return "EDR"
}
