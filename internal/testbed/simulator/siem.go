package simulator

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/tick"
)

// siemParameters are the query parameters of the SIEM API
// (pull-alerts-using-rest-api.md).
var siemParameters = []string{
	"sinceTimeUtc",
	"untilTimeUtc",
	"ago",
	"limit",
	"machinegroups",
	"DeviceCreatedMachineTags",
	"CloudCreatedMachineTags",
}

// siemWindow is what a request asks for.
type siemWindow struct {
	since, until tick.Tick
	limit        int
	equal        map[string][]string // field: accepted values
}

// siem answers GET /api/alerts of the legacy alert exporter.
func (s *Simulator) siem(x *exchange) {
	if strings.TrimSuffix(strings.ToLower(x.r.URL.Path), "/") != dataAPIOf(SIEM).path {
		x.refuse(http.StatusNotFound, "", "No HTTP resource was found that matches the request URI.")
		return
	}

	if !x.allowGet() || !x.authorise() {
		return
	}

	w, problem := s.parseSIEM(x.r.URL.RawQuery, x.now)
	if problem != "" {
		x.refuse(s.cfg.SIEMRefusalStatus, "", problem)
		return
	}

	rows := s.siemRows(x.tenant, w)
	if s.strikes(x, "dup") != nil {
		rows = append(rows, rows[:len(rows)/2]...)
	}
	// The order is not documented, so it is random each time.
	x.random().Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	x.list("[", rows, asFull, "]")
}

// siemRows returns the rows of a window, newest first.
func (s *Simulator) siemRows(t *tenant, w siemWindow) []*row {
	now := s.cfg.Clock()

	from, to := w.since, w.until
	if s.cfg.SIEMBounds[0] == '(' {
		from++
	}

	if s.cfg.SIEMBounds[1] == ']' {
		to++
	}

	t.mu.Lock()
	defer t.mu.Unlock()

	v := t.view(SIEM)
	v.sort()

	at := func(limit tick.Tick) int {
		i, _ := slices.BinarySearchFunc(v.byUpdated, limit, func(r *row, l tick.Tick) int {
			if r.updated < l {
				return -1
			}

			return 1
		})

		return i
	}

	var rows []*row

	lo, hi := at(from), at(to)
	for i := hi - 1; i >= lo && (w.limit == 0 || len(rows) < w.limit); i-- { // the most recent are kept
		if r := v.byUpdated[i]; r.listedAt(now) && r.matches(w.equal) {
			rows = append(rows, r)
		}
	}

	return rows
}

// matches reports whether each of these fields has one of its values.
func (r *row) matches(equal map[string][]string) bool {
	for field, values := range equal {
		if !slices.Contains(values, gjson.GetBytes(r.full, field).String()) {
			return false
		}
	}

	return true
}

// parseSIEM reads the query.
func (s *Simulator) parseSIEM(query string, now time.Time) (w siemWindow, problem string) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return w, "The query is malformed."
	}

	w.until = tick.FromTime(now)
	w.since = w.until - 120*tick.Minute
	w.equal = map[string][]string{}

	for _, name := range sortedKeys(values) {
		i := slices.IndexFunc(siemParameters, func(p string) bool { return strings.EqualFold(p, name) })

		switch {
		case i < 0 && s.cfg.SIEMUnknownParameters:
			continue
		case i < 0:
			return w, "The query parameter '" + name + "' is not known."
		case len(values[name]) > 1 && siemParameters[i] != "machinegroups":
			return w, "The query parameter '" + name + "' is given more than once."
		case siemParameters[i] == "ago" && (values.Has("sinceTimeUtc") || values.Has("untilTimeUtc")):
			return w, "'ago' cannot be combined with other bounds." // their precedence is not documented
		}

		if !w.set(siemParameters[i], values[name]) {
			return w, "The value of '" + name + "' is not valid."
		}
	}

	return w, ""
}

// set reads the values of one parameter. It reports whether they are valid.
func (w *siemWindow) set(parameter string, values []string) (ok bool) {
	switch parameter {
	case "sinceTimeUtc":
		w.since, ok = siemTime(values[0])
		return ok
	case "untilTimeUtc":
		w.until, ok = siemTime(values[0])
		return ok
	case "ago":
		d, ok := isoDuration(values[0])
		w.since = w.until - tick.FromDuration(d)

		return ok
	case "limit":
		n, err := strconv.Atoi(values[0])
		w.limit = n

		return err == nil && n > 0
	case "machinegroups":
		w.equal["MachineGroup"] = values
	default:
		w.equal[parameter] = values
	}

	return true
}

// siemTime reads a date-time without quotes. The samples have milliseconds and no zone.
func siemTime(s string) (tick.Tick, bool) {
	t, err := tick.Parse(s)
	return t, err == nil
}

var isoForm = regexp.MustCompile(`^P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?$`)

// isoDuration reads an ISO 8601 duration in days, hours, minutes and seconds.
func isoDuration(s string) (time.Duration, bool) {
	m := isoForm.FindStringSubmatch(s)
	if m == nil || strings.HasSuffix(s, "P") || strings.HasSuffix(s, "T") {
		return 0, false
	}

	var d time.Duration

	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if n, err := strconv.Atoi(m[i+1]); err == nil {
			d += time.Duration(n) * unit
		}
	}

	return d, true
}
