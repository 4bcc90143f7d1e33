package record

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"fluent-bit-defender/internal/alert"
)

// graphEvidence returns an alert of Graph with the evidence; each begins with its kind.
func graphEvidence(evidence ...string) string {
	for i, e := range evidence {
		kind, fields, _ := strings.Cut(e, " ")
		evidence[i] = `{"@odata.type":"#microsoft.graph.security.` + kind + `Evidence",` + fields + `}`
	}

	return `{"id":"1","evidence":[` + strings.Join(evidence, ",") + `]}`
}

// flatEvidence returns a list of the entities that endpoint and incidents have.
func flatEvidence(evidence ...string) string {
	for i, e := range evidence {
		kind, fields, _ := strings.Cut(e, " ")
		evidence[i] = `{"entityType":"` + kind + `",` + fields + `}`
	}

	return `[` + strings.Join(evidence, ",") + `]`
}

func incident(entities ...string) string {
	return `{"incidentId":1,"alerts":[{"devices":[],"entities":` + flatEvidence(entities...) + `}]}`
}

// evidenceGroup is an alert with evidence, and the keys of its CEF line.
type evidenceGroup struct{ promise, api, raw, want string }

func evidenceGroups() []evidenceGroup {
	const (
		message = `analyzedMessage "senderIp":"198.51.100.4","networkMessageId":"n1",` +
			`"p1Sender":{"emailAddress":"bounce@evil.example"},"p2Sender":{"emailAddress":"bad@evil.example"},` +
			`"recipientEmailAddress":"victim@x.example","urls":["http://evil.example/x","http://evil.example/y"]`
		mailbox = `mailbox "primaryAddress":"victim@x.example","userAccount":{"accountName":"victim",` +
			`"userSid":"S-9"}`
		connection = `networkConnection "sourceAddress":{"ipAddress":"10.0.0.1"},"sourcePort":1025,` +
			`"destinationAddress":{"ipAddress":"192.0.2.9"},"destinationPort":443,"protocol":"tcp"`
	)

	return []evidenceGroup{
		{
			"the user that fills most keys", "graph",
			graphEvidence(`user "userAccount":{"accountName":"s.t","userSid":"S-1"}`,
				`user "userAccount":{"accountName":"admin","domainName":"LAB","userSid":"S-2"}`),
			"sntdom=LAB suser=admin suid=S-2",
		},
		{
			"the first of equal users, without the other's domain", "graph",
			graphEvidence(`user "userAccount":{"accountName":"a","userSid":"S-1"}`,
				`user "userAccount":{"accountName":"b","domainName":"LAB"}`),
			"suser=a suid=S-1",
		},
		{
			"an attacked user before others", "graph",
			graphEvidence(`user "userAccount":{"accountName":"a","domainName":"LAB","userSid":"S-1"}`,
				`user "roles":["contextual","Compromised"],"userAccount":{"accountName":"b"}`),
			"suser=b",
		},
		{
			"the device that fills most keys", "graph",
			graphEvidence(`device "deviceDnsName":null,"mdeDeviceId":"aa"`,
				`device "deviceDnsName":"b.example","mdeDeviceId":"bb"`),
			"shost=b.example deviceExternalId=bb",
		},
		{
			"the device from which the attack came", "graph",
			graphEvidence(`device "deviceDnsName":"a.example","mdeDeviceId":"aa"`,
				`device "deviceDnsName":"b.example","roles":["source"]`),
			"shost=b.example",
		},
		{
			"a device without a DNS name", "graph",
			graphEvidence(`device "hostName":"dc01","dnsDomain":"corp.example","ntDomain":"CORP",` +
				`"lastIpAddress":"10.1.1.1"`),
			"shost=dc01.corp.example src=10.1.1.1",
		},
		{"its NT domain", "graph", graphEvidence(`device "hostName":"dc01","ntDomain":"CORP"`), "shost=dc01.CORP"},
		{"no domain", "graph", graphEvidence(`device "hostName":"dc01"`), "shost=dc01"},
		{
			"no address of the device beside one of evidence", "graph",
			graphEvidence(`device "deviceDnsName":"a","lastIpAddress":"10.1.1.1"`, `ip "ipAddress":"fe80::1"`),
			"shost=a c6a2=fe80::1 c6a2Label=Source IPv6 Address",
		},
		{
			"an IPv6 address first does not hide an IPv4 one", "graph",
			graphEvidence(`ip "ipAddress":"fe80::1"`, `ip "ipAddress":"203.0.113.9"`, `ip "ipAddress":"203.0.113.8"`),
			"src=203.0.113.9 c6a2=fe80::1 c6a2Label=Source IPv6 Address",
		},
		{"several addresses in one field", "siem", `{"IpAddress":"fe80::1, 203.0.113.9"}`,
			"src=203.0.113.9 c6a2=fe80::1 c6a2Label=Source IPv6 Address"},
		{
			"the file without the process's hash", "graph",
			graphEvidence(`file "fileDetails":{"fileName":"a.dll","filePath":"x","sha1":null}`,
				`process "processCommandLine":"b","imageFile":{"fileName":"b.exe","filePath":"y","sha1":"22",`+
					`"sha256":"33"}`),
			"fname=a.dll filePath=x sproc=b",
		},
		{
			"the file that fills most keys", "endpoint",
			`{"evidence":` + flatEvidence(`File "fileName":"a.dll"`, `File "fileName":"b.dll","sha1":"22"`) + `}`,
			"fname=b.dll fileHash=22",
		},
		{
			"a process with its own file", "incidents",
			incident(`Process "processCommandLine":"a -x"`,
				`Process "processCommandLine":"b","fileName":"b.exe","sha256":"33"`),
			"fname=b.exe sproc=b cs6=33 cs6Label=Sha256 cnt=1",
		},
		{
			"the users and devices of all alerts", "incidents",
			`{"alerts":[{"devices":[{"mdatpDeviceId":"d1"}],"entities":[{"entityType":"User","accountName":"a",` +
				`"userSid":"S-1"}]},{"devices":[{"deviceDnsName":"h2","mdatpDeviceId":"d2"}],` +
				`"entities":[{"entityType":"User","accountName":"b","domainName":"C","userSid":"S-2"}]}]}`,
			"shost=h2 deviceExternalId=d2 sntdom=C suser=b suid=S-2 cnt=2",
		},
		{
			"the related user without another's domain", "endpoint",
			`{"relatedUser":{"userName":"u"},"evidence":` +
				flatEvidence(`User "accountName":"o","domainName":"OTHER"`) + `}`,
			"suser=u",
		},
		{
			"a related user without name and domain", "endpoint",
			`{"relatedUser":{"userName":null},"evidence":` +
				flatEvidence(`User "accountName":"a"`, `User "accountName":"o","domainName":"OTHER"`) + `}`,
			"sntdom=OTHER suser=o",
		},
		{
			"a message and its mailbox", "graph", graphEvidence(mailbox, message),
			"suser=bad@evil.example duser=victim@x.example src=198.51.100.4 request=http://evil.example/x fileId=n1",
		},
		{
			"the recipient is not the sender", "graph",
			graphEvidence(`user "userAccount":{"accountName":"victim","domainName":"X",`+
				`"userPrincipalName":"Victim@x.example"}`, message),
			"suser=bad@evil.example duser=victim@x.example src=198.51.100.4 request=http://evil.example/x fileId=n1",
		},
		{
			"the sender of the envelope and of a submission", "graph",
			graphEvidence(`submissionMail "sender":"bad@evil.example","recipient":"r@x.example",` +
				`"senderIp":"2001:db8::4"`),
			"suser=bad@evil.example duser=r@x.example c6a2=2001:db8::4 c6a2Label=Source IPv6 Address",
		},
		{
			"a mailbox without an address", "graph",
			graphEvidence(`mailbox "userAccount":{"userPrincipalName":"v@x.example"}`), "duser=v@x.example",
		},
		{
			"the mail of an incident", "incidents",
			incident(`MailBox "mailboxAddress":"other@x.example"`,
				`MailMessage "sender":"bad@evil.example","recipient":"v@x.example"`),
			"suser=bad@evil.example duser=v@x.example cnt=1",
		},
		{
			"a user who has only a principal name", "graph",
			graphEvidence(`user "userAccount":{"userPrincipalName":"u@x.example","azureAdUserId":"guid-1"}`),
			"suser=u@x.example suid=guid-1",
		},
		{
			"the account of a cloud logon", "graph",
			graphEvidence(`cloudLogonSession "account":{"userAccount":{"accountName":"u","domainName":"D",` +
				`"azureAdUserId":"g"}}`),
			"sntdom=D suser=u suid=g",
		},
		{
			"a network connection before other addresses", "graph",
			graphEvidence(`ip "ipAddress":"203.0.113.9"`, connection),
			"src=10.0.0.1 spt=1025 dst=192.0.2.9 dpt=443 proto=tcp",
		},
		{
			"no port beside another's address", "graph",
			graphEvidence(`ip "ipAddress":"203.0.113.9"`,
				`networkConnection "sourcePort":1025,"destinationAddress":{"ipAddress":"2001:db8::9"},`+
					`"destinationPort":70000`),
			"src=203.0.113.9 c6a3=2001:db8::9 c6a3Label=Destination IPv6 Address",
		},
		{"an application", "graph", graphEvidence(`oauthApplication "displayName":"App","appId":"a1"`),
			"fileId=a1 sproc=App"},
		{"a cloud application", "graph", graphEvidence(`cloudApplication "displayName":"App","appId":11161`),
			"fileId=11161 sproc=App"},
		{"a service principal", "graph", graphEvidence(`servicePrincipal "servicePrincipalName":"S","appId":"a1"`),
			"fileId=a1 sproc=S"},
		{
			"a process without an application's id", "graph",
			graphEvidence(`oauthApplication "displayName":"App","appId":"a1"`, `process "processCommandLine":"p"`),
			"sproc=p",
		},
		{
			"an application where there is no process", "graph",
			graphEvidence(`oauthApplication "appId":"a1","displayName":"Evil app"`),
			"fileId=a1 sproc=Evil app",
		},
		{
			"an application with a number as its id", "graph",
			graphEvidence(`cloudApplication "appId":11161,"displayName":"Office 365"`),
			"fileId=11161 sproc=Office 365",
		},
		{
			"a service principal by its own name", "graph",
			graphEvidence(`servicePrincipal "appId":"a2","servicePrincipalName":"spn"`),
			"fileId=a2 sproc=spn",
		},
		{
			"the host and the user of a logon session", "graph",
			graphEvidence(`hostLogonSession "account":{"userAccount":{"userPrincipalName":"u@x.example",` +
				`"azureAdUserId":"g"}},"host":{"hostName":"dc01","ntDomain":"CORP","lastIpAddress":"10.1.1.1"}`),
			"shost=dc01.CORP suser=u@x.example suid=g src=10.1.1.1",
		},
		{
			"an IPv4 address in an IPv6 one", "graph",
			graphEvidence(`ip "ipAddress":"::ffff:192.0.2.1"`),
			"src=192.0.2.1",
		},
		{
			"both families of a list", "siem",
			`{"IpAddress":"2001:db8::1, 192.0.2.1;192.0.2.2"}`,
			"src=192.0.2.1 c6a2=2001:db8::1 c6a2Label=Source IPv6 Address",
		},
		{
			"a mailbox by its user, and a user of another mailbox", "graph",
			graphEvidence(`MAILBOX "primaryAddress":null,"userAccount":{"userPrincipalName":"v@x.example"}`,
				`user "userAccount":{"accountName":"a","azureAdUserId":"g"}`),
			"suser=a suid=g duser=v@x.example",
		},
		{
			"the addresses of a connection of both families", "graph",
			graphEvidence(`networkConnection "sourceAddress":{"ipAddress":"2001:db8::1"},"sourcePort":53,`+
				`"destinationAddress":{"ipAddress":"2001:db8::2"},"destinationPort":53,"protocol":"udp"`,
				`ip "ipAddress":"192.0.2.1"`),
			"src=192.0.2.1 c6a2=2001:db8::1 c6a2Label=Source IPv6 Address spt=53 c6a3=2001:db8::2 " +
				"c6a3Label=Destination IPv6 Address dpt=53 proto=udp",
		},
		{
			"the devices and users of Graph's incidents", "graph-incidents",
			`{"id":"1","ALERTS":[{"Evidence":[{"@odata.type":"#microsoft.graph.security.deviceEvidence",` +
				`"deviceDnsName":"h"},{"@odata.type":"#microsoft.graph.security.userEvidence",` +
				`"userAccount":{"accountName":"a","userSid":"S-1"}}]}]}`,
			"shost=h suser=a suid=S-1 cnt=1",
		},
		{
			"keys in any case", "siem",
			`{"SHA1":"11","url":"http://a.example/","FULLID":"f","machinename":"h","MACHINEDOMAIN":"d","deviceId":"i"}`,
			"shost=h sourceDnsDomain=d deviceExternalId=i request=http://a.example/ fileHash=11 cs2=f cs2Label=FullId",
		},
		{
			"keys of evidence in any case", "graph",
			`{"Evidence":[{"@OData.Type":"microsoft.graph.security.DEVICEevidence","DeviceDNSName":"h",` +
				`"MDEDEVICEID":"i"},{"@odata.type":"#microsoft.graph.security.FileEvidence",` +
				`"FileDetails":{"FILENAME":"f","SHA1":"11"}}]}`,
			"shost=h deviceExternalId=i fname=f fileHash=11",
		},
		{"a null does not hide a value in another case", "siem", `{"SHA1":null,"Sha1":"11"}`, "fileHash=11"},
		{"evidence that is none", "graph",
			`{"evidence":[null,7,"x",[],{},{"@odata.type":7},{"@odata.type":"#x.userEvidence","userAccount":7}]}`, ""},
	}
}

func TestKeysOfOneThingComeFromOneEntity(t *testing.T) {
	for _, c := range evidenceGroups() {
		line, _ := cefLine(t, Options{TenantID: "t", API: alert.API(c.api)}, c.raw)
		_, extension, _ := strings.Cut(line, "|Unknown|")

		got := regexp.MustCompile(`(^| )(externalId=1|cs3=\w+ cs3Label=RecordId|flexString2=t `+
			`flexString2Label=Tenant)`).ReplaceAllString(extension, "")
		if got = strings.TrimSpace(strings.ReplaceAll(got, `\=`, "=")); got != c.want {
			t.Errorf("%s: %s\ngives %s\nwant  %s", c.promise, c.raw, got, c.want)
		}
	}
}

// TestNoLineMixesEntities: whatever evidence an alert has, all keys of a group name the
// same piece of it. Every value ends in the number of its piece.
func TestNoLineMixesEntities(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	mark := regexp.MustCompile(`#(\d+)$`)
	groups := [][]string{
		{"shost", "deviceExternalId"},
		{"sntdom", "suser", "suid"},
		{"fname", "filePath", "fileHash", "cs6"},
	}
	fields := map[string][]string{
		"user":    {"accountName", "domainName", "userSid"},
		"device":  {"deviceDnsName", "mdeDeviceId", "mdatpDeviceId"},
		"file":    {"fileName", "filePath", "sha1", "sha256"},
		"process": {"fileName", "filePath", "sha1", "sha256", "processCommandLine"},
	}
	inner := map[string]string{"user": "userAccount", "file": "fileDetails", "process": "imageFile"}

	for range 3000 {
		var flat, nested []string

		for i := range 1 + random.IntN(6) {
			kind := pick(random, "user", "device", "file", "process")

			var values []string

			for _, field := range fields[kind] {
				if random.IntN(3) > 0 {
					values = append(values, fmt.Sprintf(`"%s":"v#%d"`, field, i))
				}
			}

			object := strings.Join(append(values, `"x":1`), ",")
			flat = append(flat, fmt.Sprintf(`{"entityType":"%s",%s}`, kind, object))
			nested = append(nested, fmt.Sprintf(`%s "%s":{%s},%s`, kind, inner[kind], object, object))
		}

		for api, raw := range map[string]string{
			"graph":    graphEvidence(nested...),
			"endpoint": `{"evidence":[` + strings.Join(flat, ",") + `]}`,
			"incidents": `{"alerts":[{"devices":[` + strings.Join(flat, ",") + `],"entities":[` +
				strings.Join(flat, ",") + `]}]}`,
		} {
			line, p := cefLine(t, Options{TenantID: "t", API: alert.API(api)}, raw)

			for _, group := range groups {
				var of []string

				for _, key := range group {
					if found := mark.FindString(p.ext[key]); found != "" {
						of = append(of, found)
					}
				}

				for _, piece := range of {
					if piece != of[0] {
						t.Fatalf("%s: %v of %s are of %v", raw, group, line, of)
					}
				}
			}
		}
	}
}
