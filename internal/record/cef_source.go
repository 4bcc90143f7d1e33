package record

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/tick"
)

// A source is where the text for one key comes from.
type source struct {
	// get returns the text, empty if the alert has none.
	get func(*cefAlert) string
	// what says in Markdown where the text comes from, for the page that is made from the
	// table.
	what string
}

var (
	recordID   = source{func(a *cefAlert) string { return string(a.id[:]) }, "`record_id`"}
	tenantName = source{func(a *cefAlert) string { return a.tenant }, "`tenant_name`"}
)

// constant is the source of the same text for every alert.
func constant(s string) source { return source{func(*cefAlert) string { return s }, "`" + s + "`"} }

// plain returns a value as text: a string without escapes, a number as it is written, and
// nothing for null. Of an array it returns the texts with commas between them.
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

// joined returns the members of an array as text, with commas between them. It leaves out
// those in seen, to which it adds the others; seen may be nil.
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

// first is the source of the first of the row's fields that has a text.
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

// list is the source of a field that is an array of texts, which are joined by commas.
// The field may also be a single text, as the documentation of some fields says.
func list(key string) source {
	s := first(key)
	s.what += ", joined by commas"

	return s
}

// listOverAlerts is list for a field of an incident's alerts.
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

// milliText returns a time in milliseconds since 1970 as text, empty if ok is false.
func milliText(at tick.Tick, ok bool) string {
	if !ok {
		return ""
	}

	return strconv.FormatInt(int64(at/tick.Millisecond), 10)
}

// earliest is the source of the earliest time of an incident's alerts.
func earliest(key string) source {
	return extreme(key, "least", func(a, b tick.Tick) bool { return a < b })
}

// latest is the source of the latest time of an incident's alerts.
func latest(key string) source {
	return extreme(key, "greatest", func(a, b tick.Tick) bool { return a > b })
}

// extreme is the source of the time of an incident's alerts that better prefers to all
// others.
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

// longerThan is the source of a text of s that has more than n bytes.
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

// oneOrZero is the source of a truth value, as 1 or 0.
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
