package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Pages of real shape: keys, order, lengths and mixture of values as in Microsoft's
// published examples (Graph list-alerts_v2, Defender for Endpoint get-alerts,
// pull-alerts-using-rest-api), as compact as the services send them.

const corpusAlerts = 10_000

var corpusOf = map[string]func(*rand.Rand) string{
	"Graph":    graphAlert,
	"Endpoint": endpointAlert,
	"SIEM":     siemAlert,
	// The same as Graph in other dress: as a tenant in Japan has it, and indented as in
	// the documentation.
	"Japanese": japaneseAlert,
	"Indented": indentedAlert,
}

// corpus makes the first n alerts of a page, the same ones every time.
func corpus(api string, n int) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))

	out := make([][]byte, n)
	for i := range out {
		out[i] = []byte(corpusOf[api](r))
	}

	return out
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

func hexText(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte("0123456789abcdef"[r.IntN(16)])
	}

	return b.String()
}

func guid(r *rand.Rand) string {
	h := hexText(r, 32)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func alertID(r *rand.Rand) string {
	return fmt.Sprintf("da63%016d_%d", r.Int64N(1e16), int32(r.Uint32()))
}

func timeText(r *rand.Rand) string {
	return fmt.Sprintf("2026-%02d-%02dT%02d:%02d:%02d.%07dZ",
		1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1e7))
}

const description = `Binaries signed by a trusted publisher can be used to run low-reputation arbitrary code. This ` +
	`technique hides the execution of malicious code within a trusted process. As a result, the process might ` +
	`exhibit suspicious behaviors, such as opening a listening port or connecting to a command-and-control ` +
	`(C\u0026C) server.`

func titles(r *rand.Rand) string {
	return pick(
		r,
		"Suspicious execution of hidden file",
		"Low-reputation arbitrary code executed by signed executable",
		"'Mikatz' malware was detected",
		"Anomalous token",
		"Suspicious PowerShell command line",
		"Ungewöhnliche Anmeldung für Müller",
	)
}

func commandLine(r *rand.Rand) string {
	return pick(
		r,
		`\"rundll32.exe\" C:\\Windows\\system32\\shell32.dll,Control_RunDLL`,
		`powershell.exe -NoProfile -ExecutionPolicy Bypass -EncodedCommand `+
			`JABzAD0ATgBlAHcALQBPAGIAagBlAGMAdAAgAEkATwAuAE0AZQBtAG8AcgB5AFMAdAByAGUAYQBtAA==`,
		`cmd.exe /c whoami`,
		`\"MsSense.exe\"`,
	)
}

func graphAlert(r *rand.Rand) string {
	id, tenant, incident := alertID(r), guid(r), r.IntN(1e5)
	file := fmt.Sprintf(
		`{"sha1":"%s","sha256":"%s","fileName":"%s","filePath":"C:\\Program Files\\temp","fileSize":%d,`+
			`"filePublisher":"Microsoft Corporation","signer":null,"issuer":null}`,
		hexText(r, 40),
		hexText(r, 64),
		pick(r, "MsSense.exe", "rundll32.exe", "cmd.exe"),
		r.IntN(1e8),
	)

	return fmt.Sprintf(
		`{"@odata.type":"#microsoft.graph.security.alert","id":"%s","providerAlertId":"%s","incidentId":"%d",`+
			`"status":"%s","severity":"%s","classification":"unknown","determination":"unknown",`+
			`"serviceSource":"microsoftDefenderForEndpoint","detectionSource":"antivirus","detectorId":"%s",`+
			`"tenantId":"%s","title":"%s","description":"%s","recommendedActions":"Collect artifacts and `+
			`determine scope\n\tReview the machine timeline for suspicious activities\n\tSubmit relevant files `+
			`for deep analysis","category":"DefenseEvasion","assignedTo":null,`+
			`"alertWebUrl":"https://security.microsoft.com/alerts/%s?tid=%s",`+
			`"incidentWebUrl":"https://security.microsoft.com/incidents/%d?tid=%s","actorDisplayName":null,`+
			`"threatDisplayName":null,"threatFamilyName":null,"mitreTechniques":["T1564.001"],"createdDateTime":"%s",`+
			`"lastUpdateDateTime":"%s","resolvedDateTime":null,"firstActivityDateTime":"%s",`+
			`"lastActivityDateTime":"%s","comments":[],"systemTags":[],"evidence":[`,
		id,
		id,
		incident,
		pick(r, "new", "inProgress", "resolved"),
		pick(r, "informational", "low", "medium", "high"),
		guid(r),
		tenant,
		titles(r),
		description,
		id,
		tenant,
		incident,
		tenant,
		timeText(r),
		timeText(r),
		timeText(r),
		timeText(r),
	) +
		fmt.Sprintf(
			`{"@odata.type":"#microsoft.graph.security.deviceEvidence","createdDateTime":"%s","verdict":"unknown",`+
				`"remediationStatus":"none","remediationStatusDetails":null,"firstSeenDateTime":"%s",`+
				`"mdeDeviceId":"%s","azureAdDeviceId":null,"deviceDnsName":"wks-%04d.corp.example",`+
				`"osPlatform":"Windows11","osBuild":22424,"version":"23H2","healthStatus":"active",`+
				`"riskScore":"medium","rbacGroupId":75,`+
				`"rbacGroupName":"UnassignedGroup","onboardingStatus":"onboarded","defenderAvStatus":"unknown",`+
				`"ipInterfaces":["192.0.2.%d"],"loggedOnUsers":[],"roles":["compromised"],"detailedRoles":["Main `+
				`device"],"tags":["Test Machine"],"vmMetadata":null},`,
			timeText(r),
			timeText(r),
			hexText(r, 40),
			r.IntN(10000),
			r.IntN(256),
		) +
		fmt.Sprintf(
			`{"@odata.type":"#microsoft.graph.security.processEvidence","createdDateTime":"%s","verdict":"unknown",`+
				`"remediationStatus":"none","remediationStatusDetails":null,"processId":%d,"parentProcessId":%d,`+
				`"processCommandLine":"%s","processCreationDateTime":"%s","detectionStatus":"detected",`+
				`"mdeDeviceId":"%s","roles":[],"detailedRoles":[],"tags":[],"imageFile":%s,`+
				`"userAccount":{"accountName":"user%d","domainName":"CORP","userSid":"S-1-5-21-%d-%d"}}]}`,
			timeText(r),
			r.IntN(65536),
			r.IntN(65536),
			commandLine(r),
			timeText(r),
			hexText(r, 40),
			file,
			r.IntN(1000),
			r.Uint32(),
			r.Uint32(),
		)
}

func japaneseAlert(r *rand.Rand) string {
	s := strings.Replace(
		graphAlert(r),
		description,
		strings.Repeat("信頼された発行元によって署名されたバイナリを使用して、評価の低い任意のコードを実行できます。", 3),
		1,
	)

	return strings.Replace(s, "Collect artifacts and determine scope", "成果物を収集し、影響の範囲を特定します", 1)
}

func indentedAlert(r *rand.Rand) string {
	var b bytes.Buffer

	_ = json.Indent(&b, []byte(graphAlert(r)), "    ", "    ")

	return b.String()
}

func endpointAlert(r *rand.Rand) string {
	evidence := func(kind string) string {
		return fmt.Sprintf(
			`{"entityType":"%s","evidenceCreationTime":"%s","sha1":"%s","sha256":"%s","fileName":"%s",`+
				`"filePath":"C:\\Windows\\SysWOW64","processId":%d,"processCommandLine":"%s",`+
				`"processCreationTime":"%s","parentProcessId":%d,"parentProcessCreationTime":"%s",`+
				`"parentProcessFileName":"cmd.exe",`+
				`"parentProcessFilePath":"C:\\Windows\\System32","ipAddress":null,"url":null,"registryKey":null,`+
				`"registryHive":null,"registryValueType":null,"registryValue":null,"accountName":null,`+
				`"domainName":null,"userSid":null,"aadUserId":null,"userPrincipalName":null,`+
				`"detectionStatus":"Detected"}`,
			kind,
			timeText(r),
			hexText(r, 40),
			hexText(r, 64),
			pick(r, "rundll32.exe", "powershell.exe"),
			r.IntN(65536),
			commandLine(r),
			timeText(r),
			r.IntN(65536),
			timeText(r),
		)
	}

	return fmt.Sprintf(
		`{"id":"%s","incidentId":%d,"investigationId":null,"assignedTo":null,"severity":"%s","status":"New",`+
			`"classification":null,"determination":null,"investigationState":"Queued",`+
			`"detectionSource":"WindowsDefenderAtp",`+
			`"detectorId":"%s","category":"Execution","threatFamilyName":null,"title":"%s","description":"%s",`+
			`"alertCreationTime":"%s","firstEventTime":"%s","lastEventTime":"%s","lastUpdateTime":"%s",`+
			`"resolvedTime":null,"machineId":"%s","computerDnsName":"temp123.middleeast.corp.example",`+
			`"rbacGroupName":"A","aadTenantId":"%s",`+
			`"threatName":null,"mitreTechniques":["T1064","T1085","T1220"],"relatedUser":{"userName":"temp123",`+
			`"domainName":"DOMAIN"},"comments":[{"comment":"test comment","createdBy":"secop123@contoso.example",`+
			`"createdTime":"%s"}],"evidence":[%s,%s]}`,
		alertID(r),
		r.IntN(2e6),
		pick(r, "Informational", "Low", "Medium", "High"),
		guid(r),
		titles(r),
		description,
		timeText(r),
		timeText(r),
		timeText(r),
		timeText(r),
		hexText(r, 40),
		guid(r),
		timeText(r),
		evidence("Process"),
		evidence("File"),
	)
}

func siemAlert(r *rand.Rand) string {
	id, sha := alertID(r), hexText(r, 40)
	ioc := strings.ToUpper(hexText(r, 43)) + "="
	link := "https://securitycenter.windows.com/alert/" + id

	return fmt.Sprintf(
		`{"AlertTime":"%s","ComputerDnsName":"mymachine1.domain.example","AlertTitle":"%s","Category":"Malware",`+
			`"Severity":"%s","AlertId":"%s","Actor":"","LinkToWDATP":"%s","IocName":"","IocValue":"",`+
			`"CreatorIocName":"","CreatorIocValue":"","Sha1":"%s","FileName":"cmdParent.exe",`+
			`"FilePath":"C:\\WINDOWS\\SysWOW64\\boo3\\qwerty","IpAddress":"","Url":"","IoaDefinitionId":"%s",`+
			`"UserName":"","AlertPart":0,"FullId":"%s:%s","LastProcessedTimeUtc":"%s","ThreatCategory":"",`+
			`"ThreatFamily":"","ThreatName":"","RemediationAction":"","RemediationIsSuccess":null,"Source":"EDR",`+
			`"Md5":"%s","Sha256":"","WasExecutingWhileDetected":null,"UserDomain":"","LogOnUsers":"",`+
			`"MachineDomain":"domain.example","MachineName":"mymachine1","InternalIPv4List":"192.168.1.7, `+
			`10.1.14.1","InternalIPv6List":"","FileHash":"%s","DeviceID":"%s",`+
			`"MachineGroup":"","Description":"%s","DeviceCreatedMachineTags":"","CloudCreatedMachineTags":"",`+
			`"CommandLine":"%s",`+
			`"IncidentLinkToWDATP":"https://securitycenter.windows.com/incidents/byalert?alertId=%s&source=SIEM",`+
			`"ReportID":%d,"LinkToMTP":"https://security.microsoft.com/alert/%s",`+
			`"IncidentLinkToMTP":"https://security.microsoft.com/incidents/byalert?alertId=%s&source=SIEM",`+
			`"ExternalId":"%s","IocUniqueId":"%s"}`,
		timeText(r),
		titles(r),
		pick(r, "Informational", "Low", "Medium", "High"),
		id,
		link,
		sha,
		guid(r),
		id,
		ioc,
		timeText(r),
		hexText(r, 32),
		sha,
		hexText(r, 40),
		description,
		commandLine(r),
		id,
		r.Uint32(),
		id,
		id,
		strings.ToUpper(hexText(r, 40)),
		ioc,
	)
}
