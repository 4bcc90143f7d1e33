package examples

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/testbed/receiver"
)

// The mapping to CEF once more, as a reader of the page would do it by hand, so that a
// mistake in the encoder's table (package record) does not check itself: a list of
// pairs per API, made of the decoded row.

// A mapping is the mapping of one API.
type mapping struct {
	class, name, severity []string // fields of the row, of which the first that is there counts
	write                 func(l *line, a map[string]any, get func(...string) string, id string, f unit)
}

var mappings = map[string]mapping{
	"siem": {
		class:    []string{"IoaDefinitionId", "Category"},
		name:     []string{"AlertTitle"},
		severity: []string{"Severity"},
		write:    (*line).siem,
	},
	"endpoint": {
		class:    []string{"detectorId", "category"},
		name:     []string{"title"},
		severity: []string{"severity"},
		write:    (*line).alert,
	},
	"graph": {
		class:    []string{"detectorId", "category"},
		name:     []string{"title"},
		severity: []string{"severity"},
		write:    (*line).alert,
	},
	"incidents": { // the class is "incident", as always where there is no other
		name:     []string{"incidentName"},
		severity: []string{"severity"},
		write: func(l *line, a map[string]any, get func(...string) string, id string, f unit) {
			l.incident(a, get, id, f, xdrNames)
		},
	},
	"graph-incidents": {
		name:     []string{"displayName"},
		severity: []string{"severity"},
		write: func(l *line, a map[string]any, get func(...string) string, id string, f unit) {
			l.incident(a, get, id, f, graphNames)
		},
	},
}

// mappingOf returns the mapping of an API, and the API's descriptor.
func mappingOf(api string) (mapping, *alert.Descriptor) {
	m, ok := mappings[api]
	if !ok {
		panic("mapping_test.go: mappings has no row for the API " + api)
	}

	facts, err := alert.API(api).Descriptor()
	if err != nil {
		panic(err)
	}

	return m, facts
}

// productOf returns the product that the lines of an API name.
func productOf(api string) string {
	_, facts := mappingOf(api)
	return facts.CEF.Product
}

// A line is what a CEF line should hold: the pairs in their order, texts already
// cut to the key's length.
type line struct {
	api, class, name, severity string
	pairs                      [][2]string
}

// text is a value of a row as text: null and what is no text or number is nothing,
// lists are joined by commas.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		var parts []string

		for _, x := range v {
			if s := text(x); s != "" {
				parts = append(parts, s)
			}
		}

		return strings.Join(parts, ",")
	}

	return ""
}

// at follows keys into nested objects.
func at(v any, path ...string) any {
	for _, k := range path {
		m, _ := v.(map[string]any)
		v = m[k]
	}

	return v
}

func list(v any) []any { l, _ := v.([]any); return l }

// clean takes out what a line cannot hold, and cuts to most bytes between characters.
// In the header a line break is a space.
func clean(s string, most int, header bool) string {
	if header {
		s = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ").Replace(s)
	}

	var b strings.Builder

	for _, r := range s {
		if !unicode.IsControl(r) || r == '\n' || r == '\r' {
			b.WriteRune(r)
		}
	}

	s = strings.Trim(b.String(), " ")
	for len(s) > most {
		_, size := utf8.DecodeLastRuneInString(s)

		s = s[:len(s)-size]
		if len(s) <= most {
			s = strings.TrimRight(s, " ")
		}
	}

	return s
}

func (l *line) add(key string, most int, label, value string) {
	if value = clean(value, most, false); value == "" {
		return
	}

	l.pairs = append(l.pairs, [2]string{key, value})
	if label != "" {
		l.pairs = append(l.pairs, [2]string{key + "Label", label})
	}
}

func (l *line) time(key string, v any) {
	if when, err := time.Parse(time.RFC3339Nano, text(v)); err == nil && when.Unix() > 0 {
		l.add(key, 20, "", strconv.FormatInt(when.UnixMilli(), 10))
	}
}

// addresses adds the first IPv4 and the first IPv6 address.
func (l *line) addresses(texts []string) {
	var v4, v6 string

	for _, s := range texts {
		ip, err := netip.ParseAddr(strings.TrimSpace(s))
		switch {
		case err != nil:
		case ip.Unmap().Is4() && v4 == "":
			v4 = ip.Unmap().String()
		case !ip.Unmap().Is4() && v6 == "":
			v6 = ip.WithZone("").String()
		}
	}

	l.add("src", 15, "", v4)
	l.add("c6a2", 45, "Source IPv6 Address", v6)
}

// addressList returns the members of a list of addresses; nothing if another text is
// among them.
func addressList(s string) []string {
	parts := strings.Fields(strings.NewReplacer(",", " ", ";", " ").Replace(s))
	for _, part := range parts {
		if _, err := netip.ParseAddr(part); err != nil {
			return nil
		}
	}

	return parts
}

func (l *line) truth(key, label string, v any) {
	if b, ok := v.(bool); ok {
		l.add(key, 1, label, map[bool]string{true: "1", false: "0"}[b])
	}
}

// mapped is the line of a row.
func mapped(a map[string]any, id string, f unit) line {
	get := func(keys ...string) string { // the first that is there
		for _, k := range keys {
			if s := text(a[k]); s != "" {
				return s
			}
		}

		return ""
	}

	m, facts := mappingOf(f.api)
	kind := facts.Noun

	l := line{
		api:      f.api,
		class:    get(m.class...),
		name:     get(m.name...),
		severity: get(m.severity...),
	}
	m.write(&l, a, get, id, f)

	if l.class = clean(l.class, 1023, true); l.class == "" {
		l.class = kind
	}

	if l.name = clean(l.name, 512, true); l.name == "" {
		l.name = "Untitled " + kind
	}

	severity, known := map[string]string{
		"informational": "1",
		"low":           "3",
		"medium":        "6",
		"high":          "8",
	}[strings.ToLower(l.severity)]
	if l.severity = "Unknown"; known {
		l.severity = severity
	}

	return l
}

func (l *line) siem(a map[string]any, get func(...string) string, id string, f unit) {
	l.time("rt", a["AlertTime"])
	l.add("externalId", 40, "", get("AlertId"))
	l.add("cat", 1023, "", get("Category"))
	l.add("sourceServiceName", 1023, "", get("Source"))
	l.add("shost", 1023, "", get("MachineName"))

	l.add("sourceDnsDomain", 255, "", get("MachineDomain"))
	l.add("deviceExternalId", 255, "", get("DeviceID"))
	l.add("sntdom", 255, "", get("UserDomain"))
	l.add("suser", 1023, "", get("UserName"))
	l.add("suid", 1023, "", get("LogOnUsers"))

	l.addresses(addressList(get("IpAddress")))
	l.add("request", 1023, "", get("Url"))
	l.add("fname", 1023, "", get("FileName"))
	l.add("filePath", 1023, "", get("FilePath"))
	l.add("fileHash", 255, "", get("Sha1"))
	l.add("sproc", 1023, "", get("CommandLine"))

	l.add("cs1", 4000, "ThreatName", get("ThreatName"))
	l.add("cs2", 4000, "FullId", get("FullId"))
	l.add("cs3", 4000, "RecordId", id)
	l.add("cs4", 4000, "Actor", get("Actor"))
	l.add("cs5", 4000, "Md5", get("Md5"))
	l.add("cs6", 4000, "Sha256", get("Sha256"))
	l.truth("cn1", "WasExecutingWhileDetected", a["WasExecutingWhileDetected"])

	l.truth("cn2", "RemediationIsSuccess", a["RemediationIsSuccess"])
	l.add("flexString1", 1023, "AlertLink", get("LinkToWDATP", "LinkToMTP"))
	l.add("flexString2", 1023, "Tenant", f.tenant)
	l.add("msg", 1023, "", get("Description"))
}

// A thing is a piece of evidence: its kind in lower case, and the object that has its
// fields.
type thing struct {
	kind   string
	fields any
}

// find is ev(X).f: field f of the first thing of a kind that has it.
func find(things []thing, kind string, path ...string) string {
	for _, e := range things {
		if e.kind == kind {
			if s := text(at(e.fields, path...)); s != "" {
				return s
			}
		}
	}

	return ""
}

// all returns a field of every thing of a kind.
func all(things []thing, kind, field string) (texts []string) {
	for _, e := range things {
		if e.kind == kind {
			texts = append(texts, text(at(e.fields, field)))
		}
	}

	return texts
}

// best returns the texts at the paths in the thing of a kind that has most of them; one
// whose roles say that it was attacked comes before others.
func best(things []thing, kind string, paths ...string) (texts []string) {
	texts = make([]string, len(paths))
	most := 0

	for _, e := range things {
		if e.kind != kind {
			continue
		}

		var got []string

		filled := 0

		for _, path := range paths {
			s := ""
			for one := range strings.SplitSeq(path, "|") {
				if s == "" {
					s = text(at(e.fields, strings.Split(one, ".")...))
				}
			}

			if got = append(got, s); s != "" {
				filled++
			}
		}

		for _, role := range list(at(e.fields, "roles")) {
			switch text(role) {
			case "attacked", "compromised", "source":
				if filled > 0 && filled < 100 {
					filled += 100
				}
			}
		}

		if filled > most {
			most, texts = filled, got
		}
	}

	return texts
}

// theFile returns name, path, SHA-1 and SHA-256 of the file, and the command line.
func theFile(things []thing, inFile, inProcess string) []string {
	file := best(things, "file", inFile+"fileName", inFile+"filePath", inFile+"sha1", inFile+"sha256")
	process := best(
		things,
		"process",
		inProcess+"fileName",
		inProcess+"filePath",
		inProcess+"sha1",
		inProcess+"sha256",
		"processCommandLine",
	)

	named := find(things, "file", strings.Split(inFile+"fileName", ".")...) != ""
	if strings.Join(file, "") == "" || !named && process[0] != "" {
		return process
	}

	return append(file, find(things, "process", "processCommandLine"))
}

// thingsOf returns the evidence of an alert.
func thingsOf(a map[string]any, graph bool) (things []thing) {
	for _, e := range list(a["evidence"]) {
		if graph {
			things = append(things, graphThing(e))
		} else {
			things = append(things, thing{strings.ToLower(text(at(e, "entityType"))), e})
		}
	}

	return things
}

// alert is the line of endpoint and graph.
func (l *line) alert(a map[string]any, get func(...string) string, id string, f unit) {
	graph := f.api == "graph"

	things := thingsOf(a, graph)
	file := theFile(things, "", "")

	user := best(things, "user", "domainName", "accountName|userPrincipalName")
	if graph {
		file = theFile(things, "fileDetails.", "imageFile.")
		user = best(things, "user", "userAccount.domainName", "userAccount.accountName|userAccount.userPrincipalName",
			"userAccount.userSid|userAccount.azureAdUserId")
	}

	host := best(things, "device", "deviceDnsName|hostName", "mdeDeviceId")
	sources := all(things, "ip", "ipAddress")

	l.timesOf(a, graph)

	l.add("externalId", 40, "", get("id"))
	l.add("cat", 1023, "", get("category"))
	l.add("sourceServiceName", 1023, "", get("detectionSource"))
	l.add("outcome", 63, "", get("status"))

	if graph {
		l.add("shost", 1023, "", host[0])
		l.add("deviceExternalId", 255, "", host[1])
		l.add("sntdom", 255, "", user[0])
		l.add("suser", 1023, "", user[1])
		l.add("suid", 1023, "", user[2])
	} else {
		l.add("shost", 1023, "", get("computerDnsName"))
		l.add("deviceExternalId", 255, "", get("machineId"))

		domain, name := text(at(a["relatedUser"], "domainName")), text(at(a["relatedUser"], "userName"))
		if domain != "" || name != "" {
			user = []string{domain, name}
		}

		l.add("sntdom", 255, "", user[0])
		l.add("suser", 1023, "", user[1])
	}

	l.addresses(sources)
	l.add("request", 1023, "", find(things, "url", "url"))
	l.add("fname", 1023, "", file[0])
	l.add("filePath", 1023, "", file[1])
	l.add("fileHash", 255, "", file[2])
	l.add("sproc", 1023, "", file[4])

	if graph {
		l.add("cs1", 4000, "ThreatName", get("threatDisplayName"))
	} else {
		l.add("cs1", 4000, "ThreatName", get("threatName"))
	}

	if whole := get("id"); len(whole) > 40 {
		l.add("cs2", 4000, "FullId", whole)
	}

	l.add("cs3", 4000, "RecordId", id)

	if graph {
		l.add("cs4", 4000, "Actor", get("actorDisplayName"))
	}

	l.add("cs5", 4000, "MitreTechniques", get("mitreTechniques"))
	l.add("cs6", 4000, "Sha256", file[3])

	if graph {
		l.add("flexString1", 1023, "AlertLink", get("alertWebUrl"))
	}

	l.add("flexString2", 1023, "Tenant", f.tenant)
	l.add("msg", 1023, "", get("description"))
}

func (l *line) timesOf(a map[string]any, graph bool) {
	if graph {
		l.time("rt", a["createdDateTime"])
		l.time("start", a["firstActivityDateTime"])
		l.time("end", a["lastActivityDateTime"])
	} else {
		l.time("rt", a["alertCreationTime"])
		l.time("start", a["firstEventTime"])
		l.time("end", a["lastEventTime"])
	}
}

// graphThing is a piece of evidence of Graph.
func graphThing(e any) thing {
	kind := text(at(e, "@odata.type"))
	kind = strings.TrimSuffix(kind[strings.LastIndex(kind, ".")+1:], "Evidence")

	return thing{strings.ToLower(kind), e}
}

// incidentNames are the names of the two APIs that list incidents.
type incidentNames struct {
	created, id, first, last, actor string
	things                          func(alert any) []thing
	inFile, inProcess               string
	user, host                      []string
}

var xdrNames = incidentNames{
	created: "createdTime",
	id:      "incidentId",
	first:   "firstActivity",
	last:    "lastActivity",
	actor:   "actorName",
	things: func(alert any) (things []thing) {
		for _, e := range list(at(alert, "entities")) {
			things = append(things, thing{strings.ToLower(text(at(e, "entityType"))), e})
		}

		for _, d := range list(at(alert, "devices")) {
			things = append(things, thing{"device", d})
		}

		return things
	},
	user: []string{"domainName", "accountName|userPrincipalName", "userSid|aadUserId"},
	host: []string{"deviceDnsName", "mdatpDeviceId|deviceId"},
}

var graphNames = incidentNames{
	created: "createdDateTime",
	id:      "id",
	first:   "firstActivityDateTime",
	last:    "lastActivityDateTime",
	actor:   "actorDisplayName",
	things: func(alert any) (things []thing) {
		for _, e := range list(at(alert, "evidence")) {
			things = append(things, graphThing(e))
		}

		return things
	},
	inFile:    "fileDetails.",
	inProcess: "imageFile.",
	user: []string{"userAccount.domainName", "userAccount.accountName|userAccount.userPrincipalName",
		"userAccount.userSid|userAccount.azureAdUserId"},
	host: []string{"deviceDnsName|hostName", "mdeDeviceId"},
}

func (l *line) incident(a map[string]any, get func(...string) string, id string, f unit, names incidentNames) {
	var (
		things     []thing
		techniques []string
		seen       = map[string]bool{}
		start, end time.Time
		actor      string
		alerts     = list(a["alerts"])
	)
	for _, alert := range alerts {
		things = append(things, names.things(alert)...)
		for _, v := range list(at(alert, "mitreTechniques")) {
			if s := text(v); s != "" && !seen[s] {
				seen[s], techniques = true, append(techniques, s)
			}
		}

		if t, err := time.Parse(time.RFC3339Nano, text(at(alert, names.first))); err == nil &&
			(start.IsZero() || t.Before(start)) {
			start = t
		}

		if t, err := time.Parse(time.RFC3339Nano, text(at(alert, names.last))); err == nil && t.After(end) {
			end = t
		}

		if actor == "" {
			actor = text(at(alert, names.actor))
		}
	}

	firstAlert := func(key string) string {
		if len(alerts) == 0 {
			return ""
		}

		return text(at(alerts[0], key))
	}
	file := theFile(things, names.inFile, names.inProcess)
	user := best(things, "user", names.user...)
	host := best(things, "device", names.host...)
	sources := all(things, "ip", "ipAddress")

	l.time("rt", a[names.created])

	if !start.IsZero() {
		l.add("start", 20, "", strconv.FormatInt(start.UnixMilli(), 10))
	}

	if !end.IsZero() {
		l.add("end", 20, "", strconv.FormatInt(end.UnixMilli(), 10))
	}

	l.add("externalId", 40, "", get(names.id))
	l.add("cat", 1023, "", firstAlert("category"))
	l.add("sourceServiceName", 1023, "", firstAlert("detectionSource"))
	l.add("outcome", 63, "", get("status"))
	l.add("shost", 1023, "", host[0])
	l.add("deviceExternalId", 255, "", host[1])
	l.add("sntdom", 255, "", user[0])
	l.add("suser", 1023, "", user[1])
	l.add("suid", 1023, "", user[2])
	l.addresses(sources)
	l.add("request", 1023, "", find(things, "url", "url"))
	l.add("fname", 1023, "", file[0])
	l.add("filePath", 1023, "", file[1])
	l.add("fileHash", 255, "", file[2])
	l.add("sproc", 1023, "", file[4])
	l.add("cs3", 4000, "RecordId", id)
	l.add("cs4", 4000, "Actor", actor)
	l.add("cs5", 4000, "MitreTechniques", strings.Join(techniques, ","))
	l.add("cs6", 4000, "Sha256", file[3])
	l.add("cnt", 10, "", strconv.Itoa(len(alerts)))
	l.add("flexString2", 1023, "Tenant", f.tenant)
}

// differs says how a CEF line that arrived differs from the one that should have; both
// are within cef_max_bytes.
func (l line) differs(c receiver.CEF) string {
	head := fmt.Sprintf(
		"%q",
		[]string{c.Version, c.Vendor, c.Product, c.DeviceVersion, c.ClassID, c.Name, c.Severity},
	)

	_, facts := mappingOf(l.api)
	product := facts.CEF

	want := fmt.Sprintf(
		"%q",
		[]string{"0", "Microsoft", product.Product, product.Version, l.class, l.name, l.severity},
	)
	if head != want {
		return "the header is " + head + ", not " + want
	}

	for i, key := range c.Keys {
		if i >= len(l.pairs) || l.pairs[i] != [2]string{key, c.Values[key]} {
			want := "nothing"
			if i < len(l.pairs) {
				want = fmt.Sprintf("%q", l.pairs[i])
			}

			return fmt.Sprintf("pair %d is %s=%q, not %s", i, key, c.Values[key], want)
		}
	}

	if len(l.pairs) > len(c.Keys) {
		return fmt.Sprintf("%q is missing", l.pairs[len(c.Keys):])
	}

	return ""
}
