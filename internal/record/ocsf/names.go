package ocsf

import "fluent-bit-defender/internal/alert"

// The names that the APIs have for the things that an event is made of. A finding is an
// alert or an incident; an artifact is a piece of its evidence.

// The fields of a finding.
const (
	inID = iota
	inOtherID
	inTitle
	inDescription
	inSummary
	inCategory
	inSeverity
	inStatus
	inClassification
	inDetermination
	inCreated
	inUpdated
	inFirst
	inLast
	inLink
	inIncident
	inIncidentLink
	inProduct
	inService
	inFeature
	inDetector
	inTechniques
	inThreat
	inFamily
	inThreatCategory
	inAssigned
	inComments
	inActions
	inTags
	inCustomTags
	inTenant
	inEvidence
	inDevices
	inAlerts
	findingFields
)

// The fields of an artifact. Those that follow a name ending in "File" or "User" belong
// to it, in the order of the fields of a file and of a user.
const (
	atKind = iota
	atVerdict
	atRoles

	atDNSName
	atHostName
	atDeviceID
	atOtherDeviceID
	atLastAddress
	atDNSDomain
	atNTDomain
	atOS
	atOSVersion
	atOSBuild
	atRisk
	atFirstSeen
	atInterfaces
	atExternalAddress

	atFile
	atImageFile  = atFile + fileFields
	atParentFile = atImageFile + fileFields
	atUser       = atParentFile + fileFields
	atAccount    = atUser + userFields
	atPID        = atAccount + userFields
)

const (
	atParentPID = atPID + 1 + iota
	atCommand
	atStarted
	atParentStarted

	atAddress
	atSource
	atPlainSource
	atSourcePort
	atDestination
	atPlainDestination
	atDestinationPort
	atProtocol
	atURL
	atURLs

	atSender
	atOtherSender
	atReportedSender
	atRecipient
	atReportedRecipient
	atSubject
	atInternetID
	atMessageID
	atSenderAddress
	atSubmitter
	atMailbox
	atPrincipal

	atHive
	atRegistryKey
	atRegistryValue
	atRegistryName
	atRegistryType

	atAlgorithm
	atHash

	atDomain
	atHostAddress
	atAddresses
	atDNSServer

	atContainerID
	atImageID
	atNamespace

	// Names and ids of all other artifacts.
	atDisplayName
	atName
	atResourceName
	atServiceName
	atFriendlyName
	atAgentName
	atDeviceName
	atLogin
	atADDomain
	atRegistry
	atCluster
	atResourceID
	atAmazonID
	atFullName
	atServiceID
	atObjectID
	atAppID
	atAgentID
	atIoTID
	atOrganizationID
	atRepoID
	atGitHubUserID
	atGroupID
	atSID
	atTeamsID
	atConfigurationID
	atSessionID
	atRequestID
	atURN
	atSignature
	atMAC
	atPlainImageID

	// Fields that become observables only.
	atSessionHost
	atSessionHostName
	atSessionHostAddress
	atNestedAddress
	atPodAddress
	atClusterAddress
	atTeamsSender
	atConfigured
	atMailAddress

	artifactFields
)

// The fields of a file.
const (
	fileName = iota
	filePath
	fileSize
	fileMD5
	fileSHA1
	fileSHA256
	fileFields
)

// The fields of a user.
const (
	userName = iota
	userDomain
	userSID
	userEntraID
	userPrincipal
	userFullName
	userFields
)

// paths are names of fields by index.
type paths map[int]string

// list returns the paths in their order, count of them.
func (p paths) list(count int) []string {
	list := make([]string, count)
	for i, path := range p {
		list[i] = path
	}

	return list
}

// with returns p with the paths of a file or user at the index first added.
func (p paths) with(first int, names ...string) paths {
	for i, name := range names {
		if name != "" {
			p[first+i] = name
		}
	}

	return p
}

// A source says how one API's rows become events.
type source struct {
	incident bool     // a row is an incident
	product  string   // the product that findings come from, if a row does not say
	shape    *shape   // the fields of a finding, and behind them those of the row as an artifact
	evidence *shape   // the fields of an artifact; nil if there is no list of evidence
	kind     kindRule // how an artifact says of which kind it is
	image    int      // the first of the fields of a process's file
	inside   *source  // the alerts inside an incident
	once     bool     // an alert never changes: each event is its creation
}

// kindRule says how an artifact says of which kind it is.
type kindRule int

const (
	kindByType   kindRule = iota // "#microsoft.graph.security.fileEvidence" is a file
	kindByEntity                 // "File" is a file
)

// newSource makes the shape of a source. The paths of the artifact are those of the row
// itself: what it says of a device, for example.
func newSource(s source, finding, artifact paths) *source {
	s.shape = newShape(append(finding.list(findingFields), artifact.list(artifactFields)...))
	return &s
}

// sources are the APIs that become events.
var sources = map[alert.API]*source{
	alert.Graph:          graphAlert,
	alert.GraphIncidents: graphIncident,
	alert.Endpoint:       endpointAlert,
	alert.SIEM:           siemAlert,
	alert.Incidents:      xdrIncident,
}

// The vendor and the product of all events.
const (
	vendor  = "Microsoft"
	product = "Microsoft Defender XDR"
)

const endpointProduct = "Microsoft Defender for Endpoint"

var graphAlert = newSource(source{evidence: graphEvidence, image: atImageFile}, paths{
	inID:             "id",
	inOtherID:        "providerAlertId",
	inTitle:          "title",
	inDescription:    "description",
	inCategory:       "category",
	inSeverity:       "severity",
	inStatus:         "status",
	inClassification: "classification",
	inDetermination:  "determination",
	inCreated:        "createdDateTime",
	inUpdated:        "lastUpdateDateTime",
	inFirst:          "firstActivityDateTime",
	inLast:           "lastActivityDateTime",
	inLink:           "alertWebUrl",
	inIncident:       "incidentId",
	inIncidentLink:   "incidentWebUrl",
	inProduct:        "productName",
	inService:        "serviceSource",
	inFeature:        "detectionSource",
	inDetector:       "detectorId",
	inTechniques:     "mitreTechniques",
	inThreat:         "threatDisplayName",
	inFamily:         "threatFamilyName",
	inAssigned:       "assignedTo",
	inComments:       "comments",
	inActions:        "recommendedActions",
	inTags:           "systemTags",
	inTenant:         "tenantId",
	inEvidence:       "evidence",
}, nil)

var graphIncident = newSource(source{incident: true, inside: graphAlert}, paths{
	inID:             "id",
	inTitle:          "displayName",
	inDescription:    "description",
	inSummary:        "summary",
	inSeverity:       "severity",
	inStatus:         "status",
	inClassification: "classification",
	inDetermination:  "determination",
	inCreated:        "createdDateTime",
	inUpdated:        "lastUpdateDateTime",
	inIncidentLink:   "incidentWebUrl",
	inAssigned:       "assignedTo",
	inComments:       "comments",
	inTags:           "systemTags",
	inCustomTags:     "customTags",
	inTenant:         "tenantId",
	inAlerts:         "alerts",
}, nil)

var endpointAlert = newSource(source{
	product:  endpointProduct,
	evidence: flatEvidence,
	kind:     kindByEntity,
	image:    atFile,
}, paths{
	inID:             "id",
	inTitle:          "title",
	inDescription:    "description",
	inCategory:       "category",
	inSeverity:       "severity",
	inStatus:         "status",
	inClassification: "classification",
	inDetermination:  "determination",
	inCreated:        "alertCreationTime",
	inUpdated:        "lastUpdateTime",
	inFirst:          "firstEventTime",
	inLast:           "lastEventTime",
	inIncident:       "incidentId",
	inFeature:        "detectionSource",
	inDetector:       "detectorId",
	inTechniques:     "mitreTechniques",
	inThreat:         "threatName",
	inFamily:         "threatFamilyName",
	inAssigned:       "assignedTo",
	inComments:       "comments",
	inTenant:         "aadTenantId",
	inEvidence:       "evidence",
}, paths{
	atDNSName:  "computerDnsName",
	atDeviceID: "machineId",
}.with(atUser, "relatedUser.userName", "relatedUser.domainName"))

var siemAlert = newSource(source{product: endpointProduct, once: true}, paths{
	inID:             "FullId",
	inOtherID:        "AlertId",
	inTitle:          "AlertTitle",
	inDescription:    "Description",
	inCategory:       "Category",
	inSeverity:       "Severity",
	inCreated:        "AlertTime",
	inUpdated:        "LastProcessedTimeUtc",
	inLink:           "LinkToMTP",
	inIncidentLink:   "IncidentLinkToMTP",
	inFeature:        "Source",
	inDetector:       "IoaDefinitionId",
	inThreat:         "ThreatName",
	inFamily:         "ThreatFamily",
	inThreatCategory: "ThreatCategory",
}, paths{
	atDNSName:    "ComputerDnsName",
	atHostName:   "MachineName",
	atDeviceID:   "DeviceID",
	atDNSDomain:  "MachineDomain",
	atAddress:    "IpAddress",
	atURL:        "Url",
	atCommand:    "CommandLine",
	atInterfaces: "InternalIPv4List",
}.with(atFile, "FileName", "FilePath", "", "Md5", "Sha1", "Sha256").
	with(atUser, "UserName", "UserDomain"))

var xdrIncident = newSource(source{incident: true, inside: xdrAlert}, paths{
	inID:             "incidentId",
	inTitle:          "incidentName",
	inDescription:    "description",
	inSummary:        "summary",
	inSeverity:       "severity",
	inStatus:         "status",
	inClassification: "classification",
	inDetermination:  "determination",
	inCreated:        "createdTime",
	inUpdated:        "lastUpdateTime",
	inIncidentLink:   "incidentUri",
	inAssigned:       "assignedTo",
	inComments:       "comments",
	inTags:           "tags",
	inTenant:         "tenantId",
	inAlerts:         "alerts",
}, nil)

var xdrAlert = newSource(source{evidence: flatEvidence, kind: kindByEntity, image: atFile}, paths{
	inID:            "alertId",
	inOtherID:       "providerAlertId",
	inTitle:         "title",
	inDescription:   "description",
	inCategory:      "category",
	inCreated:       "creationTime",
	inUpdated:       "lastUpdatedTime",
	inFirst:         "firstActivity",
	inLast:          "lastActivity",
	inIncident:      "incidentId",
	inService:       "serviceSource",
	inFeature:       "detectionSource",
	inDetector:      "detectorId",
	inTechniques:    "mitreTechniques",
	inDetermination: "determination",
	inEvidence:      "entities",
	inDevices:       "devices",
}, nil)

// graphEvidence has the fields of all types of evidence that Graph has.
var graphEvidence = newShape(paths{
	atKind:    odataType,
	atVerdict: "verdict",
	atRoles:   "roles",

	atDNSName:         "deviceDnsName",
	atHostName:        "hostName",
	atDeviceID:        "mdeDeviceId",
	atOtherDeviceID:   "azureAdDeviceId",
	atLastAddress:     "lastIpAddress",
	atDNSDomain:       "dnsDomain",
	atNTDomain:        "ntDomain",
	atOS:              "osPlatform",
	atOSVersion:       "version",
	atOSBuild:         "osBuild",
	atRisk:            "riskScore",
	atFirstSeen:       "firstSeenDateTime",
	atInterfaces:      "ipInterfaces",
	atExternalAddress: "lastExternalIpAddress",

	atPID:           "processId",
	atParentPID:     "parentProcessId",
	atCommand:       "processCommandLine",
	atStarted:       "processCreationDateTime",
	atParentStarted: "parentProcessCreationDateTime",

	atAddress:          "ipAddress",
	atSource:           "sourceAddress.ipAddress",
	atPlainSource:      "sourceAddress",
	atSourcePort:       "sourcePort",
	atDestination:      "destinationAddress.ipAddress",
	atPlainDestination: "destinationAddress",
	atDestinationPort:  "destinationPort",
	atProtocol:         "protocol",
	atURL:              "url",
	atURLs:             "urls",

	atSender:            "p2Sender.emailAddress",
	atOtherSender:       "p1Sender.emailAddress",
	atReportedSender:    "sender",
	atRecipient:         "recipientEmailAddress",
	atReportedRecipient: "recipient",
	atSubject:           "subject",
	atInternetID:        "internetMessageId",
	atMessageID:         "networkMessageId",
	atSenderAddress:     "senderIp",
	atSubmitter:         "submitter",
	atMailbox:           "primaryAddress",
	atPrincipal:         "upn",

	atHive:          "registryHive",
	atRegistryKey:   "registryKey",
	atRegistryValue: "registryValue",
	atRegistryName:  "registryValueName",
	atRegistryType:  "registryValueType",

	atAlgorithm: "algorithm",
	atHash:      "value",

	atDomain:      "domainName",
	atHostAddress: "hostIpAddress.ipAddress",
	atAddresses:   "ipAddresses",
	atDNSServer:   "dnsServerIp.ipAddress",

	atContainerID: "containerId",
	atImageID:     "image.imageId",
	atNamespace:   "namespace.name",

	atDisplayName:     "displayName",
	atName:            "name",
	atResourceName:    "resourceName",
	atServiceName:     "servicePrincipalName",
	atFriendlyName:    "friendlyName",
	atAgentName:       "agentName",
	atDeviceName:      "deviceName",
	atLogin:           "login",
	atADDomain:        "activeDirectoryDomainName",
	atRegistry:        "registry",
	atCluster:         "clusterByValue",
	atResourceID:      "resourceId",
	atAmazonID:        "amazonResourceId",
	atFullName:        "fullResourceName",
	atServiceID:       "servicePrincipalObjectId",
	atObjectID:        "objectId",
	atAppID:           "appId",
	atAgentID:         "agentId",
	atIoTID:           "deviceId",
	atOrganizationID:  "orgId",
	atRepoID:          "repoId",
	atGitHubUserID:    "userId",
	atGroupID:         "securityGroupId",
	atSID:             "sid",
	atTeamsID:         "messageId",
	atConfigurationID: "configurationId",
	atSessionID:       "sessionId",
	atRequestID:       "requestId",
	atURN:             "urn",
	atSignature:       "signatureHash",
	atMAC:             "macAddress",
	atPlainImageID:    "imageId",

	atSessionHost:        "host.deviceDnsName",
	atSessionHostName:    "host.hostName",
	atSessionHostAddress: "host.lastIpAddress",
	atNestedAddress:      "ipAddress.ipAddress",
	atPodAddress:         "podIp.ipAddress",
	atClusterAddress:     "clusterIP.ipAddress",
	atTeamsSender:        "senderFromAddress",
	atConfigured:         "mailboxPrimaryAddress",
	atMailAddress:        "email",
}.with(atFile, graphFile("fileDetails.")...).
	with(atImageFile, graphFile("imageFile.")...).
	with(atParentFile, graphFile("parentProcessImageFile.")...).
	with(atUser, graphUser("userAccount.")...).
	with(atAccount, graphUser("account.userAccount.")...).list(artifactFields))

// graphFile returns the names of the fields of a file of Graph, in their order.
func graphFile(prefix string) []string {
	return []string{
		prefix + "fileName",
		prefix + "filePath",
		prefix + "fileSize",
		prefix + "md5",
		prefix + "sha1",
		prefix + "sha256",
	}
}

// graphUser returns the names of the fields of a user of Graph, in their order.
func graphUser(prefix string) []string {
	return []string{
		prefix + "accountName",
		prefix + "domainName",
		prefix + "userSid",
		prefix + "azureAdUserId",
		prefix + "userPrincipalName",
		prefix + "displayName",
	}
}

// flatEvidence has the fields of the evidence of Defender for Endpoint, and of the
// entities and devices of Defender XDR's incidents.
var flatEvidence = newShape(paths{
	atKind:    "entityType",
	atVerdict: "verdict",

	atDNSName:       "deviceDnsName",
	atDeviceID:      "mdatpDeviceId",
	atOtherDeviceID: "aadDeviceId",
	atOS:            "osPlatform",
	atOSVersion:     "version",
	atOSBuild:       "osBuild",
	atRisk:          "riskScore",
	atFirstSeen:     "firstSeen",

	atPID:           "processId",
	atParentPID:     "parentProcessId",
	atCommand:       "processCommandLine",
	atStarted:       "processCreationTime",
	atParentStarted: "parentProcessCreationTime",

	atAddress: "ipAddress",
	atURL:     "url",

	atSender:    "sender",
	atRecipient: "recipient",
	atSubject:   "subject",
	atMailbox:   "mailboxAddress",

	atHive:          "registryHive",
	atRegistryKey:   "registryKey",
	atRegistryValue: "registryValue",
	atRegistryType:  "registryValueType",

	atDisplayName: "mailboxDisplayName",
	atName:        "securityGroupName",
	atGroupID:     "securityGroupId",
	atCluster:     "clusterBy",
}.with(atFile, "fileName", "filePath", "", "", "sha1", "sha256").
	with(atParentFile, "parentProcessFileName", "parentProcessFilePath").
	with(atUser, "accountName", "domainName", "userSid", "aadUserId", "userPrincipalName").
	list(artifactFields))
