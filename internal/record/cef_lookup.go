package record

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/tick"
)

// A cefAlert is what the sources of the table look into: a row that is known to be valid
// JSON, read once.
type cefAlert struct {
	col    int
	id     alert.ID
	tenant string
	fields []gjson.Result   // by index in rowFields
	alerts [][]gjson.Result // of an incident, each by index in alertFields
	cefChoice
}

// rowFields are the row's own fields that the table asks for; first adds to them.
var rowFields = newShape("alerts", "evidence", "relatedUser")

// alertFields are the fields of an incident's alerts that the table asks for.
var alertFields = newShape("category", "detectionSource", "firstActivity", "lastActivity", "actorName",
	"mitreTechniques", "devices", "entities")

// Where the fields are that hold other fields.
var (
	atAlerts      = rowFields.add("alerts")
	atEvidence    = rowFields.add("evidence")
	atRelatedUser = rowFields.add("relatedUser")
	atDevices     = alertFields.add("devices")
	atEntities    = alertFields.add("entities")
	atOwnEvidence = alertFields.add("evidence")
)

// read reads the row, and chooses the entities that the line is about.
func (a *cefAlert) read(raw []byte, entities *cefCandidates) {
	rowFields.read(gjson.ParseBytes(raw), a.fields)

	switch a.col {
	case colEndpoint:
		entities.one(a.col, kindRelatedUser, a.fields[atRelatedUser])
		entities.all(a.col, a.fields[atEvidence], entityKind)
	case colGraph:
		entities.all(a.col, a.fields[atEvidence], odataKind)
	case colIncidents, colGraphIncidents:
		a.readAlerts(entities)
	}

	a.cefChoice = entities.choose()
}

func (a *cefAlert) readAlerts(entities *cefCandidates) {
	list := a.fields[atAlerts]
	if !list.IsArray() {
		return
	}

	list.ForEach(func(_, alert gjson.Result) bool {
		fields := make([]gjson.Result, len(alertFields.paths))
		alertFields.read(alert, fields)
		a.alerts = append(a.alerts, fields)

		if a.col == colGraphIncidents {
			entities.all(a.col, fields[atOwnEvidence], odataKind)
			return true
		}

		entities.all(a.col, fields[atDevices], func(gjson.Result) string { return kindDevice })
		entities.all(a.col, fields[atEntities], entityKind)

		return true
	})
}

func entityKind(entity gjson.Result) string { return kindAt(entity, "entityType") }

// odataKind returns "device" of #microsoft.graph.security.deviceEvidence.
func odataKind(entity gjson.Result) string {
	const suffix = "Evidence"

	kind := kindAt(entity, "@odata.type")
	kind = kind[strings.LastIndexByte(kind, '.')+1:]

	if end := len(kind) - len(suffix); end >= 0 && strings.EqualFold(kind[end:], suffix) {
		return kind[:end]
	}

	return kind
}

func kindAt(entity gjson.Result, key string) (kind string) {
	if !entity.IsObject() {
		return ""
	}

	entity.ForEach(func(k, v gjson.Result) bool {
		if !strings.EqualFold(k.Str, key) {
			return true
		}

		kind = v.Str

		return kind == ""
	})

	return kind
}

// A source returns the text for one key, empty if the alert has none. A source without
// get never has one.
type source struct {
	get func(*cefAlert) string
	// what says in Markdown where the text comes from, for the page that is made of the
	// table.
	what string
}

var (
	recordID   = source{func(a *cefAlert) string { return string(a.id[:]) }, "`record_id`"}
	tenantName = source{func(a *cefAlert) string { return a.tenant }, "`tenant_name`"}
)

func constant(s string) source { return source{func(*cefAlert) string { return s }, "`" + s + "`"} }

// plain returns a value as text: strings unescaped, numbers as they are written, null
// as nothing.
func plain(v gjson.Result) string {
	switch v.Type {
	case gjson.Null:
		return ""
	case gjson.String:
		return v.Str
	case gjson.JSON:
		return joined(v, nil)
	default:
		return v.Raw
	}
}

// joined returns the members of an array as text with commas between them, without
// those already in seen, which may be nil.
func joined(v gjson.Result, seen map[string]bool) string {
	if !v.IsArray() {
		return ""
	}

	var parts []string

	v.ForEach(func(_, x gjson.Result) bool {
		if s := plain(x); s != "" && !seen[s] {
			if seen != nil {
				seen[s] = true
			}

			parts = append(parts, s)
		}

		return true
	})

	return strings.Join(parts, ",")
}

// first returns the first of the row's fields that has a text.
func first(keys ...string) source {
	at := make([]int, len(keys))
	for i, key := range keys {
		at[i] = rowFields.add(key)
	}

	return source{
		get: func(a *cefAlert) string {
			for _, i := range at {
				if s := plain(a.fields[i]); s != "" {
					return s
				}
			}

			return ""
		},
		what: "`" + strings.Join(keys, "`, else `") + "`",
	}
}

// list is the source of a field that is an array of texts; they are joined by commas. A
// single text is taken too, since the documentation of some fields has one.
func list(key string) source {
	s := first(key)
	s.what += ", joined by commas"

	return s
}

func listOverAlerts(key string) source {
	at := alertFields.add(key)

	return source{
		get: func(a *cefAlert) string {
			seen := map[string]bool{}

			var parts []string

			for _, alert := range a.alerts {
				s := plain(alert[at])
				if alert[at].IsArray() {
					s = joined(alert[at], seen)
				} else if seen[s] {
					s = ""
				}

				if s != "" {
					seen[s] = true
					parts = append(parts, s)
				}
			}

			return strings.Join(parts, ",")
		},
		what: "`" + key + "` of all alerts, each once, joined by commas",
	}
}

// millis is the source of a time, in milliseconds since 1970 as CEF wants it.
func millis(key string) source {
	at := rowFields.add(key)

	return source{
		get: func(a *cefAlert) string {
			return milliText(timeOf(a.fields[at]))
		},
		what: "`" + key + "`",
	}
}

// timeOf returns the time of a field. Times before 1970 and after 2106, the last year
// that the record's own time can have, stand for "unknown" and "never".
func timeOf(v gjson.Result) (tick.Tick, bool) {
	if v.Type != gjson.String {
		return 0, false
	}

	at, err := tick.Parse(v.Str)

	return at, err == nil && at > 0 && at/tick.Second <= maxSeconds
}

func milliText(at tick.Tick, ok bool) string {
	if !ok {
		return ""
	}

	return strconv.FormatInt(int64(at/tick.Millisecond), 10)
}

func earliest(key string) source {
	return extreme(key, "least", func(a, b tick.Tick) bool { return a < b })
}

func latest(key string) source {
	return extreme(key, "greatest", func(a, b tick.Tick) bool { return a > b })
}

// extreme returns the time of an incident's alerts that is better than all others.
func extreme(key, which string, better func(a, b tick.Tick) bool) source {
	field := alertFields.add(key)

	return source{
		get: func(a *cefAlert) string {
			var best tick.Tick

			found := false
			for _, alert := range a.alerts {
				if at, ok := timeOf(alert[field]); ok && (!found || better(at, best)) {
					best, found = at, true
				}
			}

			return milliText(best, found)
		},
		what: which + " `" + key + "` of its alerts",
	}
}

// firstAlert is the source of a field of the first alert of an incident.
func firstAlert(key string) source {
	at := alertFields.add(key)

	return source{
		get: func(a *cefAlert) string {
			if len(a.alerts) == 0 {
				return ""
			}

			return plain(a.alerts[0][at])
		},
		what: "`alerts[0]." + key + "`",
	}
}

// anyAlert is the source of a field of the first alert of an incident that has it.
func anyAlert(key string) source {
	at := alertFields.add(key)

	return source{
		get: func(a *cefAlert) string {
			for _, alert := range a.alerts {
				if s := plain(alert[at]); s != "" {
					return s
				}
			}

			return ""
		},
		what: "`" + key + "` of the first alert that has one",
	}
}

var numberOfAlerts = source{
	get: func(a *cefAlert) string {
		if !a.fields[atAlerts].IsArray() {
			return ""
		}

		return strconv.Itoa(len(a.alerts))
	},
	what: "number of `alerts`",
}

func longerThan(n int, s source) source {
	return source{
		get: func(a *cefAlert) string {
			if text := s.get(a); len(text) > n {
				return text
			}

			return ""
		},
		what: s.what + " when longer than " + strconv.Itoa(n),
	}
}

// oneOrZero is the source of a truth value, as 1 or 0. null becomes nothing.
func oneOrZero(key string) source {
	at := rowFields.add(key)

	return source{
		get: func(a *cefAlert) string {
			switch v := a.fields[at]; {
			case v.Type == gjson.True, strings.EqualFold(v.Str, "true"):
				return "1"
			case v.Type == gjson.False, strings.EqualFold(v.Str, "false"):
				return "0"
			}

			return ""
		},
		what: "`" + key + "`: 1 or 0",
	}
}

// addressIn4 and addressIn6 are the first address of that family in a field that holds
// one or several. src must not hold an IPv6 address.
func addressIn4(key string) source {
	s := first(key)

	return source{
		get: func(a *cefAlert) string {
			v4, _ := addressesIn(s.get(a))
			return addressText(v4)
		},
		what: s.what,
	}
}

func addressIn6(key string) source {
	s := first(key)

	return source{
		get: func(a *cefAlert) string {
			_, v6 := addressesIn(s.get(a))
			return addressText(v6)
		},
		what: s.what,
	}
}

// addressesIn returns the first addresses in a list of them; none if anything else is
// there.
func addressesIn(text string) (v4, v6 netip.Addr) {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
		if !address(part).IsValid() {
			return netip.Addr{}, netip.Addr{}
		}

		addSource(&v4, &v6, part)
	}

	return v4, v6
}

func addressText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}

	return ip.String()
}

// chosen is the source of a key of the entity that was chosen for the group.
func chosen(col, group int, key string) source {
	at := cefGroups[group].index(key)

	return source{
		get: func(a *cefAlert) string {
			if entity := a.groups[group]; entity != nil {
				return entity.values[at]
			}

			return ""
		},
		what: groupText(col, group, key),
	}
}

// orElse takes the text of the first of the sources that has one. Groups that exclude
// each other may fill the same key.
func orElse(sources ...source) source {
	what := make([]string, len(sources))
	for i, s := range sources {
		what[i] = s.what
	}

	return source{
		get: func(a *cefAlert) string {
			for _, s := range sources {
				if text := s.get(a); text != "" {
					return text
				}
			}

			return ""
		},
		what: strings.Join(what, "; else "),
	}
}

// process is the source of the application or the process that the line is about.
func process(col int) source {
	ofProcess, ofImage := chosen(col, groupProcess, "sproc"), chosen(col, groupImage, "sproc")
	s := orElse(ofProcess, ofImage)
	s.what = ofProcess.what

	return s
}

// fileOf is the source of a key of the file, or of the process that the line is about if
// there is no file.
func fileOf(col int, key string) source {
	return orElse(chosen(col, groupFile, key), chosen(col, groupImage, key))
}

// user is the source of a key of the user. The name may be the sender of a message.
func user(col int, key string) source {
	s := chosen(col, groupUser, key)
	if key == "suser" && len(cefGroups[groupMail].of(col)) > 0 {
		s.what += "; else " + groupText(col, groupMail, key)
	}

	return s
}

func recipient(col int) source {
	return orElse(chosen(col, groupMail, "duser"), chosen(col, groupMailbox, "duser"))
}

// fileID is the source of the id of the application that the line is about, else of that
// of a message.
func fileID(col int) source {
	application, message := chosen(col, groupProcess, "fileId"), chosen(col, groupMail, "fileId")

	return source{
		get: func(a *cefAlert) string {
			if entity := a.groups[groupProcess]; entity != nil && entity.later {
				return application.get(a)
			}

			return message.get(a)
		},
		what: application.what + "; else " + message.what,
	}
}

func requestURL(col int) source {
	if len(cefGroups[groupMail].of(col)) == 0 {
		return chosen(col, groupURL, readURL)
	}

	return orElse(chosen(col, groupURL, readURL), chosen(col, groupMail, readURL))
}

// source4 and source6 are the address that the alert came from.
func source4(col int) source {
	return source{
		get:  func(a *cefAlert) string { return addressText(a.source4) },
		what: sourceText(col),
	}
}

func source6(col int) source {
	return source{
		get:  func(a *cefAlert) string { return addressText(a.source6) },
		what: sourceText(col),
	}
}

func destination4(col int) source {
	return source{
		get: func(a *cefAlert) string {
			if !a.destination.Is4() {
				return ""
			}

			return a.destination.String()
		},
		what: groupText(col, groupConnection, "dst"),
	}
}

func destination6(col int) source {
	return source{
		get: func(a *cefAlert) string {
			if !a.destination.Is6() {
				return ""
			}

			return a.destination.String()
		},
		what: groupText(col, groupConnection, "dst"),
	}
}

// port is the source of a port of the connection. The port of the source is left out if
// its address is not in the line, since it would stand beside another address then.
func port(col int, key string) source {
	s := chosen(col, groupConnection, key)
	from := chosen(col, groupConnection, readAddress)

	return source{
		get: func(a *cefAlert) string {
			text := s.get(a)
			if _, err := strconv.ParseUint(text, 10, 16); err != nil {
				return ""
			}

			if key == "spt" && !address(from.get(a)).IsValid() {
				return ""
			}

			return text
		},
		what: s.what,
	}
}

// groupText says in Markdown which fields of which entities fill a key.
func groupText(col, group int, key string) string {
	var (
		fields []string
		kinds  [][]string
	)

	for _, entity := range cefGroups[group].of(col) {
		for _, field := range entity.fields {
			if field.key != key {
				continue
			}

			text := "`" + strings.ReplaceAll(strings.Join(field.paths, "`, else `"), " + ", "`.`") + "`"
			if at := slices.Index(fields, text); at >= 0 {
				kinds[at] = append(kinds[at], entity.kind)
			} else {
				fields, kinds = append(fields, text), append(kinds, []string{entity.kind})
			}
		}
	}

	for i := range fields {
		fields[i] = "ev(" + strings.Join(kinds[i], ", ") + "): " + fields[i]
	}

	return strings.Join(fields, "; else ")
}

// sourceText says in Markdown where the source address comes from, in the order asked.
func sourceText(col int) string {
	var parts []string

	for _, group := range [...]int{groupConnection, groupAddress, groupMail, groupHost} {
		if text := groupText(col, group, readAddress); text != "" {
			parts = append(parts, text)
		}
	}

	return strings.Join(parts, "; else ")
}
