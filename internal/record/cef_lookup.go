package record

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/tick"
)

// A cefAlert is what the sources of the table look into: a row that is known to be valid JSON.
type cefAlert struct {
	fields map[string]gjson.Result // by key; of a key that is there twice, the first
	col    int
	id     ID
	tenant string
	// Filled when first asked for: the evidence, or the entities of all alerts of an incident, in order; the file the line
	// is about.
	proofs     []proof
	theFile    gjson.Result
	haveProofs bool
	haveFile   bool
}

// A proof is a piece of evidence and what it is about: "device" for Graph's #microsoft.graph.security.deviceEvidence, the
// entityType of the others.
type proof struct {
	kind string
	gjson.Result
}

// look puts the row's fields at hand: one pass, where gjson would make one per field asked for.
func (a *cefAlert) look(raw []byte) {
	gjson.ParseBytes(raw).ForEach(func(key, v gjson.Result) bool {
		if _, twice := a.fields[key.Str]; !twice {
			a.fields[key.Str] = v
		}
		return true
	})
}

// get is the value at a path in gjson's syntax, of which the first key is plain.
func (a *cefAlert) get(path string) gjson.Result {
	key, rest, nested := strings.Cut(path, ".")
	v := a.fields[key]
	if nested {
		v = v.Get(rest)
	}
	return v
}

// A source gives the text for one key, empty when the alert has none. A source without get never has one.
type source struct {
	get func(*cefAlert) string
	// what says in Markdown where the text comes from, for the page that is made of the table.
	what string
}

var (
	none       source
	recordID   = source{func(a *cefAlert) string { return string(a.id[:]) }, "`record_id`"}
	tenantName = source{func(a *cefAlert) string { return a.tenant }, "`tenant_name`"}
)

func constant(s string) source { return source{func(*cefAlert) string { return s }, "`" + s + "`"} }

// plain is a value as text: strings unescaped, numbers as they are written, null as nothing.
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

// joined is the members of an array as text with commas between them, without those already in seen, which may be nil.
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

// first is the first of the fields that has a text.
func first(paths ...string) source {
	return source{func(a *cefAlert) string {
		for _, p := range paths {
			if s := plain(a.get(p)); s != "" {
				return s
			}
		}
		return ""
	}, "`" + strings.ReplaceAll(strings.Join(paths, "`, else `"), ".0.", "[0].") + "`"}
}

// list is a field that is an array of texts, or a text as the documentation of some has it, joined by commas.
func list(path string) source {
	s := first(path)
	s.what += ", joined by commas"
	return s
}

func listOverAlerts(path string) source {
	return source{func(a *cefAlert) string {
		seen := map[string]bool{}
		var parts []string
		a.eachAlert(func(alert gjson.Result) bool {
			v := alert.Get(path)
			s := plain(v)
			if v.IsArray() {
				s = joined(v, seen)
			} else if seen[s] {
				s = ""
			}
			if s != "" {
				seen[s] = true
				parts = append(parts, s)
			}
			return true
		})
		return strings.Join(parts, ",")
	}, "`" + path + "` of all alerts, each once, joined by commas"}
}

// millis is a time in milliseconds since 1970, as CEF wants it.
func millis(path string) source {
	return source{func(a *cefAlert) string {
		at, ok := timeOf(a.get(path))
		return milliText(at, ok)
	}, "`" + path + "`"}
}

func timeOf(v gjson.Result) (tick.Tick, bool) {
	if v.Type != gjson.String {
		return 0, false
	}
	at, err := tick.Parse(v.Str)
	return at, err == nil && at > 0
}

func milliText(at tick.Tick, ok bool) string {
	if !ok {
		return ""
	}
	return strconv.FormatInt(int64(at/tick.Millisecond), 10)
}

func earliest(path string) source {
	return extreme(path, "least", func(a, b tick.Tick) bool { return a < b })
}

func latest(path string) source {
	return extreme(path, "greatest", func(a, b tick.Tick) bool { return a > b })
}

// extreme is the time of an incident's alerts that is better than all others.
func extreme(path, which string, better func(a, b tick.Tick) bool) source {
	return source{func(a *cefAlert) string {
		var best tick.Tick
		found := false
		a.eachAlert(func(alert gjson.Result) bool {
			if at, ok := timeOf(alert.Get(path)); ok && (!found || better(at, best)) {
				best, found = at, true
			}
			return true
		})
		return milliText(best, found)
	}, which + " `" + path + "` of its alerts"}
}

func (a *cefAlert) eachAlert(f func(gjson.Result) bool) {
	if alerts := a.get("alerts"); alerts.IsArray() {
		alerts.ForEach(func(_, alert gjson.Result) bool { return f(alert) })
	}
}

// anyAlert is a field of the first alert of an incident that has it.
func anyAlert(path string) source {
	return source{func(a *cefAlert) (s string) {
		a.eachAlert(func(alert gjson.Result) bool {
			s = plain(alert.Get(path))
			return s == ""
		})
		return s
	}, "`" + path + "` of the first alert that has one"}
}

var numberOfAlerts = source{func(a *cefAlert) string {
	n := a.get("alerts.#")
	if !n.Exists() {
		return ""
	}
	return strconv.FormatInt(n.Int(), 10)
}, "number of `alerts`"}

// device is a field of the first device of an incident.
func device(path string) source {
	return source{func(a *cefAlert) (s string) {
		a.eachAlert(func(alert gjson.Result) bool {
			d := alert.Get("devices.0")
			s = plain(d.Get(path))
			return !d.Exists()
		})
		return s
	}, "first device: `" + path + "`"}
}

// evidence is a field of the first piece of evidence of the given kind that has it.
func evidence(kind, path string) source {
	return source{func(a *cefAlert) string {
		for _, e := range a.evidence() {
			if strings.EqualFold(e.kind, kind) {
				if s := plain(e.Get(path)); s != "" {
					return s
				}
			}
		}
		return ""
	}, "ev(" + kind + "): `" + path + "`"}
}

func (a *cefAlert) evidence() []proof {
	if a.haveProofs {
		return a.proofs
	}
	a.haveProofs = true
	collect := func(list gjson.Result, kind func(gjson.Result) string) {
		if list.IsArray() {
			list.ForEach(func(_, e gjson.Result) bool {
				a.proofs = append(a.proofs, proof{kind(e), e})
				return true
			})
		}
	}
	switch a.col {
	case colGraph:
		collect(a.get("evidence"), odataKind)
	case colIncidents:
		a.eachAlert(func(alert gjson.Result) bool {
			collect(alert.Get("entities"), entityKind)
			return true
		})
	default:
		collect(a.get("evidence"), entityKind)
	}
	return a.proofs
}

func entityKind(e gjson.Result) string { return e.Get("entityType").Str }

func odataKind(e gjson.Result) string {
	kind := e.Get(`\@odata\.type`).Str
	return strings.TrimSuffix(kind[strings.LastIndexByte(kind, '.')+1:], "Evidence")
}

// relatedUser is a field of the user an endpoint alert names, or of its evidence when it names none: never the name of one and the
// domain of another.
func relatedUser(path, evidencePath string) source {
	other := evidence("User", evidencePath)
	return source{func(a *cefAlert) string {
		if u := a.get("relatedUser"); plain(u.Get("userName")) != "" || plain(u.Get("domainName")) != "" {
			return plain(u.Get(path))
		}
		return other.get(a)
	}, "`relatedUser." + path + "`; if `relatedUser` has neither name nor domain, " + other.what}
}

// file is a field of the one file that the line is about, so that name, path and hashes belong together: the first file
// that has a name, else the first process that has one, else the first of either that has any of the fields.
func file(path string) source {
	return source{func(a *cefAlert) string {
		if !a.haveFile {
			a.theFile, a.haveFile = a.findFile(), true
		}
		return plain(a.theFile.Get(path))
	}, "the file: `" + path + "`"}
}

func (a *cefAlert) findFile() gjson.Result {
	for _, fields := range [...][]string{{"fileName"}, {"filePath", "sha1", "sha256"}} {
		for _, kind := range [...]string{"file", "process"} {
			for _, e := range a.evidence() {
				if !strings.EqualFold(e.kind, kind) {
					continue
				}
				details := e.Result
				if a.col == colGraph {
					details = e.Get(map[string]string{"file": "fileDetails", "process": "imageFile"}[kind])
				}
				for _, f := range fields {
					if plain(details.Get(f)) != "" {
						return details
					}
				}
			}
		}
	}
	return gjson.Result{}
}

func longerThan(n int, s source) source {
	return source{func(a *cefAlert) string {
		if text := s.get(a); len(text) > n {
			return text
		}
		return ""
	}, s.what + " when longer than " + strconv.Itoa(n)}
}

// oneOrZero is a truth value as CEF's numbers have it; unknown (null) is nothing.
func oneOrZero(path string) source {
	return source{func(a *cefAlert) string {
		switch v := a.get(path); {
		case v.Type == gjson.True, strings.EqualFold(v.Str, "true"):
			return "1"
		case v.Type == gjson.False, strings.EqualFold(v.Str, "false"):
			return "0"
		}
		return ""
	}, "`" + path + "`: 1 or 0"}
}

// ipv4 and ipv6 are the address, if it is one of that family; src must not hold an IPv6 one.
func ipv4(s source) source {
	return source{func(a *cefAlert) string {
		if ip := address(s.get(a)); ip.Is4() {
			return ip.String()
		}
		return ""
	}, s.what}
}

func ipv6(s source) source {
	return source{func(a *cefAlert) string {
		if ip := address(s.get(a)); ip.Is6() {
			return ip.String()
		}
		return ""
	}, s.what}
}

func address(s string) netip.Addr {
	ip, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}
