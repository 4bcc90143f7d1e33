package record

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/tick"
)

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
