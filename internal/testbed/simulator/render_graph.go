package simulator

import (
	"slices"
	"strconv"
	"strings"
)

// unknownFuture is what Graph shows for a member of an enumeration that was added after
// it, unless the request prefers otherwise. Source: microsoft-graph-docs-contrib,
// "Handling future members in evolvable enumerations".
const unknownFuture = "unknownFutureValue"

// The members that came after unknownFutureValue (msgraph-metadata, v1.0 schema).
var (
	newServiceSources = strings.Fields(
		"microsoftDefenderForCloud microsoftSentinel microsoftInsiderRiskManagement microsoftThreatIntelligence " +
			"microsoftSecurityForAI",
	)
	newDetectionSources = strings.Fields(
		"microsoftDefenderForCloud microsoftDefenderForIoT microsoftDefenderForServers " +
			"microsoftDefenderForStorage microsoftDefenderForDNS microsoftDefenderForDatabases " +
			"microsoftDefenderForContainers microsoftDefenderForNetwork microsoftDefenderForAppService " +
			"microsoftDefenderForKeyVault microsoftDefenderForResourceManager " +
			"microsoftDefenderForApiManagement nrtAlerts scheduledAlerts " +
			"microsoftDefenderThreatIntelligenceAnalytics builtInMl microsoftInsiderRiskManagement " +
			"microsoftThreatIntelligence microsoftDefenderForAIServices securityCopilot microsoftSentinel",
	)
	newRemediations = strings.Fields("active pendingApproval declined unremediated running partiallyRemediated")
)

// masksAnything reports whether the row differs for clients that do not know the newer
// members.
func masksAnything(a *Alert) bool {
	return slices.Contains(newServiceSources, a.ServiceSource) ||
		slices.Contains(newDetectionSources, a.DetectionSource) ||
		slices.ContainsFunc(
			a.Evidence,
			func(e Evidence) bool { return slices.Contains(newRemediations, e.RemediationStatus) },
		)
}

// masked returns value, or unknownFutureValue if mask is set and value is a newer
// member.
func masked(mask bool, value string, newer []string) string {
	if mask && slices.Contains(newer, value) {
		return unknownFuture
	}

	return value
}

// renderGraph writes a microsoft.graph.security.alert
// (api-reference/v1.0/api/security-list-alerts_v2.md).
func renderGraph(a *Alert, tenantID string, mask bool) []byte {
	o := object{b: make([]byte, 0, 2560), escapes: a.Escapes, over: a.Fields[Graph]}
	o.open()
	graphAlert(&o, a, tenantID, mask)
	o.close()

	return o.b
}

// graphAlertRow fills a row with an alert.
func graphAlertRow(t *tenant, r *row, a Alert) {
	r.full = t.graphRow(a, false)

	if a.Raw[Graph] == nil && masksAnything(&a) {
		r.mask = func() []byte { return t.graphRow(a, true) }
	}
}

// graphRow returns an alert as Graph lists it.
func (t *tenant) graphRow(a Alert, mask bool) []byte {
	a.Updated = t.printed(Graph, a.Updated)

	return replaced(&a, Graph, func() []byte { return renderGraph(&a, t.ID, mask) })
}

// graphAlert writes the fields of an alert.
func graphAlert(o *object, a *Alert, tenantID string, mask bool) {
	incident := strconv.FormatInt(a.IncidentID, 10)

	o.text("@odata.type", "#microsoft.graph.security.alert")
	o.text("id", a.ID)
	o.text("providerAlertId", a.ID)
	o.text("incidentId", incident)
	o.text("status", camel(a.Status))
	o.text("severity", camel(a.Severity))
	o.text("classification", "unknown")
	o.text("determination", "unknown")
	o.text("serviceSource", masked(mask, a.ServiceSource, newServiceSources))
	o.text("detectionSource", masked(mask, a.DetectionSource, newDetectionSources))
	o.text("detectorId", detectorID(a))
	o.text("tenantId", tenantID)
	o.text("title", a.Title)
	o.text("description", a.Description)
	o.text("recommendedActions", "Collect artifacts and determine scope\n\ufffd\tReview the machine timeline.")
	o.text("category", a.Category)
	o.orNull("assignedTo", a.AssignedTo)
	o.text("alertWebUrl", "https://security.microsoft.com/alerts/"+a.ID+"?tid="+tenantID)
	o.text("incidentWebUrl", "https://security.microsoft.com/incidents/"+incident+"?tid="+tenantID)
	o.raw("actorDisplayName", "null")
	o.raw("threatDisplayName", "null")
	o.raw("threatFamilyName", "null")
	o.texts("mitreTechniques", a.Techniques)
	o.time("createdDateTime", a.Created)
	o.time("lastUpdateDateTime", a.Updated)

	if a.Status == "Resolved" {
		o.time("resolvedDateTime", a.Updated)
	} else {
		o.raw("resolvedDateTime", "null")
	}

	o.time("firstActivityDateTime", firstEvent(a))
	o.time("lastActivityDateTime", lastEvent(a))
	o.list("comments", len(a.Comments), func(o *object, i int) {
		o.text("comment", a.Comments[i].Text)
		o.text("createdByDisplayName", a.Comments[i].By)
		o.time("createdDateTime", a.Comments[i].At)
	})
	o.raw("systemTags", "[]")
	o.list("evidence", len(a.Evidence), func(o *object, i int) { graphEvidence(o, a, &a.Evidence[i], mask) })
}

// graphTypes returns the derived type of each kind of evidence.
var graphTypes = map[string]string{
	"User":     "userEvidence",
	"Process":  "processEvidence",
	"File":     "fileEvidence",
	"Ip":       "ipEvidence",
	"Url":      "urlEvidence",
	"Registry": "registryValueEvidence",
	"Device":   "deviceEvidence",
}

func graphEvidence(o *object, a *Alert, e *Evidence, mask bool) {
	kind := graphTypes[e.Type]
	if kind == "" {
		kind = camel(e.Type) + "Evidence"
	}

	status := e.RemediationStatus
	if status == "" {
		status = "none"
	}

	o.text("@odata.type", "#microsoft.graph.security."+kind)
	o.time("createdDateTime", e.Created)
	o.text("verdict", "suspicious")
	o.text("remediationStatus", masked(mask, status, newRemediations))
	o.raw("remediationStatusDetails", "null")
	o.raw("roles", "[]")
	o.raw("detailedRoles", "[]")
	o.raw("tags", "[]")

	switch e.Type {
	case "File":
		o.text("detectionStatus", "detected")
		o.orNull("mdeDeviceId", a.DeviceID)
		o.nested("fileDetails", func(o *object) { fileDetails(o, e) })
	case "Process":
		o.int("processId", e.ProcessID)
		o.int("parentProcessId", e.ParentProcessID)
		o.orNull("processCommandLine", e.CommandLine)
		o.time("processCreationDateTime", firstEvent(a))
		o.text("detectionStatus", "detected")
		o.orNull("mdeDeviceId", a.DeviceID)
		o.nested("imageFile", func(o *object) { fileDetails(o, e) })
		o.raw("userAccount", "null")
	case "User":
		o.nested("userAccount", func(o *object) {
			o.orNull("accountName", e.AccountName)
			o.orNull("domainName", e.DomainName)
			o.orNull("userSid", e.UserSID)
			o.raw("azureAdUserId", "null")
			o.raw("userPrincipalName", "null")
		})
	case "Ip":
		o.orNull("ipAddress", e.IPAddress)
		o.raw("countryLetterCode", "null")
	case "Url":
		o.orNull("url", e.URL)
	case "Registry":
		o.orNull("registryKey", e.RegistryKey)
		o.orNull("registryValue", e.RegistryValue)
	case "Device":
		host, _, _ := strings.Cut(a.Machine, ".")
		o.orNull("mdeDeviceId", a.DeviceID)
		o.orNull("deviceDnsName", a.Machine)
		o.orNull("hostName", host)
		o.text("osPlatform", "Windows11")
		o.int("osBuild", 22631)
		o.text("healthStatus", "active")
		o.raw("loggedOnUsers", "[]")
		o.raw("vmMetadata", "null")
	}
}

func (o *object) nested(key string, write func(o *object)) {
	if !o.begin(key) {
		return
	}

	in := object{b: o.b, escapes: o.escapes}
	in.open()
	write(&in)
	in.close()
	o.b = in.b
}

func fileDetails(o *object, e *Evidence) {
	o.orNull("sha1", e.Sha1)
	o.orNull("sha256", e.Sha256)
	o.orNull("fileName", e.FileName)
	o.orNull("filePath", e.FilePath)
	o.intOrNull("fileSize", e.FileSize)
}

// camel turns an enumeration's member from the spelling of Defender for Endpoint into
// that of Graph.
func camel(s string) string {
	if s == "" {
		return s
	}

	return strings.ToLower(s[:1]) + s[1:]
}
