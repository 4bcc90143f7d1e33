package record

// Keys of a line that describe one thing come from one and the same entity: the name of a
// host and its id, the name of a user and the domain. The tables here say which entities
// may describe each thing, and which of their fields fill which keys.

// The groups of keys.
const (
	groupHost       = iota
	groupUser       // who did it
	groupMail       // a message
	groupMailbox    // whom it was sent to, when no message says so
	groupFile       // a file that has evidence of its own
	groupImage      // a process and its file
	groupProcess    // a process or an application
	groupConnection // a network connection
	groupAddress    // where it came from
	groupURL
	numGroups
)

// A cefForm is the form in which an API has its evidence.
type cefForm int

// The forms. The alerts inside an incident of Graph have the same form as those in
// Graph's list of alerts.
const (
	formNone cefForm = iota
	formEndpoint
	formGraph
	formXDR
	numForms
)

// Names of fields that are read from an entity but are not keys of its group.
const (
	readAddress   = "(address)"
	readPrincipal = "(principal)"
	readURL       = "(url)"
)

// A cefGroup is a set of keys and the entities that may fill them.
type cefGroup struct {
	// keys are those that count when entities are compared: the one that fills most of
	// them is chosen.
	keys []string
	// also are read from the chosen entity, but do not count.
	also []string
	// byRole says that an entity that was attacked comes before all others.
	byRole bool
	// entities are the kinds of evidence that may fill the keys, in each form.
	entities [numForms][]cefEntity
}

// A cefEntity is a kind of evidence that may fill a group's keys.
type cefEntity struct {
	kind string
	// later says that the kind is chosen only if no entity of the others fills a key.
	later  bool
	fields []cefField
}

// A cefField says where a key's value is in an entity: at the first path that has one. A
// path "a + b" stands for two values with a dot between them, if both are there. If the
// value is an array, its first text counts.
type cefField struct {
	key   string
	paths []string
}

// cefRoles are the roles of evidence that was attacked, or from which the attack came.
var cefRoles = map[string]bool{"attacked": true, "compromised": true, "source": true}

// maxGroupKeys is how many keys a group has at most, with those that do not count.
const maxGroupKeys = 5

var cefGroups = [numGroups]cefGroup{
	groupHost: {
		keys:   []string{"shost", "deviceExternalId"},
		also:   []string{readAddress},
		byRole: true,
		entities: [numForms][]cefEntity{
			formGraph: {
				{kind: "device", fields: graphDevice("")},
				{kind: "hostLogonSession", fields: graphDevice("host.")},
			},
			formXDR: {{
				kind: kindDevice,
				fields: []cefField{
					{"shost", []string{"deviceDnsName"}},
					{"deviceExternalId", []string{"mdatpDeviceId", "deviceId"}},
				},
			}},
		},
	},
	groupUser: {
		keys:   []string{"sntdom", "suser", "suid"},
		also:   []string{readPrincipal},
		byRole: true,
		entities: [numForms][]cefEntity{
			formEndpoint: {
				{
					kind: kindRelatedUser,
					fields: []cefField{
						{"sntdom", []string{"domainName"}},
						{"suser", []string{"userName"}},
					},
				},
				{
					kind:  "User",
					later: true,
					fields: []cefField{
						{"sntdom", []string{"domainName"}},
						{"suser", []string{"accountName", "userPrincipalName"}},
					},
				},
			},
			formGraph: {
				{kind: "user", fields: graphUser("userAccount.")},
				{kind: "cloudLogonSession", fields: graphUser("account.userAccount.")},
				{kind: "hostLogonSession", fields: graphUser("account.userAccount.")},
			},
			formXDR: {{
				kind: "User",
				fields: []cefField{
					{"sntdom", []string{"domainName"}},
					{"suser", []string{"accountName", "userPrincipalName"}},
					{"suid", []string{"userSid", "aadUserId"}},
					{readPrincipal, []string{"userPrincipalName"}},
				},
			}},
		},
	},
	groupMail: {
		keys: []string{"suser", "duser", "fileId", readAddress, readURL},
		entities: [numForms][]cefEntity{
			formGraph: {{kind: "analyzedMessage", fields: mail}, {kind: "submissionMail", fields: mail}},
			formXDR:   {{kind: "MailMessage", fields: mail}},
		},
	},
	groupMailbox: {
		keys: []string{"duser"},
		entities: [numForms][]cefEntity{
			formGraph: {{
				kind:   "mailbox",
				fields: []cefField{{"duser", []string{"primaryAddress", "userAccount.userPrincipalName", "upn"}}},
			}},
			formXDR: {{
				kind:   "MailBox",
				fields: []cefField{{"duser", []string{"mailboxAddress", "userPrincipalName"}}},
			}},
		},
	},
	groupFile: {
		keys: []string{"fname", "filePath", "fileHash", "cs6"},
		entities: [numForms][]cefEntity{
			formEndpoint: {{kind: "File", fields: fileAt("")}},
			formGraph:    {{kind: "file", fields: fileAt("fileDetails.")}},
			formXDR:      {{kind: "File", fields: fileAt("")}},
		},
	},
	groupImage: {
		keys: []string{"sproc", "fname", "filePath", "fileHash", "cs6"},
		entities: [numForms][]cefEntity{
			formEndpoint: {{kind: "Process", fields: append(fileAt(""), processLine)}},
			formGraph:    {{kind: "process", fields: append(fileAt("imageFile."), processLine)}},
			formXDR:      {{kind: "Process", fields: append(fileAt(""), processLine)}},
		},
	},
	groupProcess: {
		keys: []string{"sproc", "fileId"},
		entities: [numForms][]cefEntity{
			formEndpoint: {{kind: "Process", fields: []cefField{processLine}}},
			formGraph: {
				{kind: "process", fields: []cefField{processLine}},
				{kind: "oauthApplication", later: true, fields: application},
				{kind: "cloudApplication", later: true, fields: application},
				{kind: "servicePrincipal", later: true, fields: application},
			},
			formXDR: {
				{kind: "Process", fields: []cefField{processLine}},
				{kind: "OauthApplication", later: true, fields: application},
				{kind: "CloudApplication", later: true, fields: application},
				{kind: "ServicePrincipal", later: true, fields: application},
			},
		},
	},
	groupConnection: {
		keys: []string{readAddress, "spt", "dst", "dpt", "proto"},
		entities: [numForms][]cefEntity{
			formGraph: {{kind: "networkConnection", fields: connection}},
			formXDR:   {{kind: "NetworkConnection", fields: connection}},
		},
	},
	groupAddress: {
		keys: []string{readAddress},
		entities: [numForms][]cefEntity{
			formEndpoint: {{kind: "Ip", fields: []cefField{{readAddress, []string{"ipAddress"}}}}},
			formGraph:    {{kind: "ip", fields: []cefField{{readAddress, []string{"ipAddress"}}}}},
			formXDR:      {{kind: "Ip", fields: []cefField{{readAddress, []string{"ipAddress"}}}}},
		},
	},
	groupURL: {
		keys: []string{readURL},
		entities: [numForms][]cefEntity{
			formEndpoint: {{kind: "Url", fields: []cefField{{readURL, []string{"url"}}}}},
			formGraph:    {{kind: "url", fields: []cefField{{readURL, []string{"url"}}}}},
			formXDR:      {{kind: "Url", fields: []cefField{{readURL, []string{"url"}}}}},
		},
	},
}

// Kinds of entities that are not in a list of evidence.
const (
	kindDevice      = "devices"
	kindRelatedUser = "relatedUser"
)

var (
	processLine = cefField{"sproc", []string{"processCommandLine"}}

	mail = []cefField{
		{"suser", []string{"p2Sender.emailAddress", "p1Sender.emailAddress", "sender"}},
		{"duser", []string{"recipientEmailAddress", "recipient"}},
		{"fileId", []string{"networkMessageId"}},
		{readAddress, []string{"senderIp"}},
		{readURL, []string{"urls"}},
	}

	application = []cefField{
		{"sproc", []string{"displayName", "servicePrincipalName"}},
		{"fileId", []string{"appId"}},
	}

	connection = []cefField{
		{readAddress, []string{"sourceAddress.ipAddress", "sourceAddress"}},
		{"spt", []string{"sourcePort"}},
		{"dst", []string{"destinationAddress.ipAddress", "destinationAddress"}},
		{"dpt", []string{"destinationPort"}},
		{"proto", []string{"protocol"}},
	}
)

// fileAt returns the fields of a file; its properties are in the object at the prefix.
func fileAt(prefix string) []cefField {
	return []cefField{
		{"fname", []string{prefix + "fileName"}},
		{"filePath", []string{prefix + "filePath"}},
		{"fileHash", []string{prefix + "sha1"}},
		{"cs6", []string{prefix + "sha256"}},
	}
}

// graphDevice returns the fields of Graph's deviceEvidence.
func graphDevice(prefix string) []cefField {
	return []cefField{
		{"shost", []string{
			prefix + "deviceDnsName",
			prefix + "hostName + " + prefix + "dnsDomain",
			prefix + "hostName + " + prefix + "ntDomain",
			prefix + "hostName",
		}},
		{"deviceExternalId", []string{prefix + "mdeDeviceId"}},
		{readAddress, []string{prefix + "lastIpAddress"}},
	}
}

// graphUser returns the fields of Graph's userAccount.
func graphUser(prefix string) []cefField {
	return []cefField{
		{"sntdom", []string{prefix + "domainName"}},
		{"suser", []string{prefix + "accountName", prefix + "userPrincipalName"}},
		{"suid", []string{prefix + "userSid", prefix + "azureAdUserId"}},
		{readPrincipal, []string{prefix + "userPrincipalName"}},
	}
}
