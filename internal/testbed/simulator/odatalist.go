package simulator

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/tick"
)

// odataAPI holds the differences between the OData APIs.
type odataAPI struct {
	api     string
	context string
	filter  []property
	// maxTop is the largest $top. A larger one is refused with 400; with clamp it is
	// silently reduced.
	maxTop int
	clamp  bool
	// maxSkip is the largest $skip; 0 is any.
	maxSkip int
	expand  string // what $expand may name
	selects bool   // it has $select
	code    string // of a 400 for a bad query
}

var odataAPIs = map[string]*odataAPI{
	Endpoint: {
		api:     Endpoint,
		context: "https://api.securitycenter.microsoft.com/api/$metadata#Alerts",
		maxTop:  10000,
		expand:  "evidence",
		code:    "ODataError",
		filter: []property{ // get-alerts.md
			{
				name: "lastUpdateTime",
				kind: propTime,
				role: 'u',
			},
			{name: "alertCreationTime", kind: propTime, role: 'c'},
			{name: "lastEventTime", kind: propTime},
			{
				name: "incidentId",
				kind: propNumber,
			},
			{name: "InvestigationId", kind: propNumber, path: "investigationId"},
			{
				name: "investigationId",
				kind: propNumber,
			},
			{name: "id"},
			{name: "assignedTo"},
			{name: "detectionSource"},
			{name: "status"},
			{name: "severity"},
			{name: "category"},
		},
	},
	Graph: {
		api:     Graph,
		context: "https://graph.microsoft.com/v1.0/$metadata#security/alerts_v2",
		maxTop:  1000,
		clamp:   true,
		maxSkip: 500,
		code:    "BadRequest",
		filter: []property{ // security-list-alerts_v2.md
			{
				name: "lastUpdateDateTime",
				kind: propTime,
				role: 'u',
			},
			{name: "createdDateTime", kind: propTime, role: 'c'},
			{name: "assignedTo"},
			{name: "classification"},
			{name: "determination"},
			{name: "severity"},
			{name: "serviceSource"},
			{name: "status"},
			{name: "incidentId"}, // in use, though not in the page's list
		},
	},
	GraphIncidents: {
		api:     GraphIncidents,
		context: "https://graph.microsoft.com/v1.0/$metadata#security/incidents",
		maxTop:  50,
		clamp:   true,
		maxSkip: 500,
		expand:  "alerts",
		code:    "BadRequest",
		filter: []property{ // security-list-incidents.md
			{
				name: "lastUpdateDateTime",
				kind: propTime,
				role: 'u',
			},
			{name: "createdDateTime", kind: propTime, role: 'c'},
			{name: "assignedTo"},
			{name: "classification"},
			{name: "determination"},
			{name: "severity"},
			{name: "status"},
		},
	},
	Incidents: {
		api:     Incidents,
		context: "https://api.security.microsoft.com/api/$metadata#Incidents",
		maxTop:  100,
		code:    "ODataError",
		filter: []property{ // api-list-incidents.md
			{
				name: "lastUpdateTime",
				kind: propTime,
				role: 'u',
			},
			{name: "createdTime", kind: propTime, role: 'c'},
			{name: "status"},
			{name: "assignedTo"},
		},
	},
}

// listing is what a request for a list asks for.
type listing struct {
	where     condition // nil: everything
	order     []orderKey
	skip, top int
	topGiven  bool
	count     bool
	variant   variant
	rest      string     // the query without $skip and $skiptoken, for the link
	followed  bool       // it came from a link
	bySkip    bool       // it had $skip
	ties      *rand.Rand // if set, chooses the order of rows that are equal
	token     string     // the $skiptoken, empty for none
	selects   []string   // the properties that $select names, empty for all
}

type orderKey struct {
	prop *property
	desc bool
}

// errQuery begins the text of most refusals of a query.
const errQuery = "The query specified in the URI is not valid. "

// parseListing reads the query. It ignores an option whose name lacks its "$", as the
// services do (trap 15 in internal/defender/doc.go).
func (s *Simulator) parseListing(a *odataAPI, query string) (l listing, problem string) {
	l.top, l.variant = a.maxTop, asFull
	if a.expand != "" {
		l.variant = asShort
	}

	seen := map[string]bool{}

	var rest []string

	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}

		k, v, _ := strings.Cut(pair, "=")
		key, keyErr := url.QueryUnescape(k)

		value, valueErr := url.QueryUnescape(v)
		if keyErr != nil || valueErr != nil {
			return l, strings.TrimSpace(errQuery)
		}

		if key != "$skip" && key != "$skiptoken" {
			rest = append(rest, pair)
		}

		if !strings.HasPrefix(key, "$") {
			continue
		}

		if seen[key] {
			return l, "Query option '" + key + "' was specified more than once, but it must be specified at most once."
		}

		seen[key] = true

		if problem = s.option(&l, a, key, value); problem != "" {
			return l, problem
		}
	}

	l.rest = strings.Join(rest, "&")

	return l, l.followToken(seen["$skip"])
}

// option reads one option of a query into l.
func (s *Simulator) option(l *listing, a *odataAPI, key, value string) (problem string) {
	switch key {
	case "$filter":
		c, err := parseFilter(value, a.filter)
		if err != nil {
			return err.Error()
		}

		l.where = c
	case "$orderby":
		return s.orderBy(l, a, value)
	case "$select":
		return l.setSelect(a, value)
	case "$top":
		return l.setTop(a, value)
	case "$skip":
		return l.setSkip(a, value)
	case "$skiptoken":
		l.token = value
	case "$count":
		l.count = value == "true"
		if !l.count && value != "false" {
			return "Invalid value for $count query option found."
		}
	case "$expand":
		l.variant = asFull
		if a.expand == "" || value != a.expand {
			return errQuery + "Could not find a property named '" + value + "' to expand."
		}
	default:
		return "The query parameter '" + key + "' is not supported."
	}

	return ""
}

// setSelect reads $select.
func (l *listing) setSelect(a *odataAPI, value string) (problem string) {
	if !a.selects {
		return "The query parameter '$select' is not supported."
	}

	for name := range strings.SplitSeq(value, ",") {
		l.selects = append(l.selects, strings.TrimSpace(name))
	}

	return ""
}

// setTop reads $top.
func (l *listing) setTop(a *odataAPI, value string) (problem string) {
	n, problem := natural("$top", value)
	if problem != "" {
		return problem
	}

	if n > a.maxTop && !a.clamp {
		return exceeded("Top", a.maxTop, n)
	}

	l.top = min(n, a.maxTop)
	l.topGiven = true

	return ""
}

// setSkip reads $skip.
func (l *listing) setSkip(a *odataAPI, value string) (problem string) {
	n, problem := natural("$skip", value)
	if problem != "" {
		return problem
	}

	if a.maxSkip > 0 && n > a.maxSkip {
		return exceeded("Skip", a.maxSkip, n)
	}

	l.skip = n
	l.followed = n > 0
	l.bySkip = n > 0

	return ""
}

// natural reads the value of an option that is a number.
func natural(option, value string) (n int, problem string) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, fmt.Sprintf("Invalid value '%s' for %s query option found. "+
			"The %s query option requires a non-negative integer value.", value, option, option)
	}

	return n, ""
}

// exceeded returns the refusal of a number that is too large.
func exceeded(option string, limit, value int) string {
	return fmt.Sprintf("The limit of '%d' for %s query has been exceeded. "+
		"The value from the incoming request is '%d'.", limit, option, value)
}

// followToken goes to the place that the query's $skiptoken names, if it has one.
func (l *listing) followToken(alsoSkip bool) (problem string) {
	if l.token == "" {
		return ""
	}

	n, ok := readSkipToken(l.token, l.rest)
	if !ok || alsoSkip {
		return errQuery + "The skip token is not valid."
	}

	l.skip = n
	l.followed = true

	return ""
}

// orderBy reads $orderby.
func (s *Simulator) orderBy(l *listing, a *odataAPI, value string) (problem string) {
	if a.selects { // the lists of relationships, whose pages do not say that they sort
		return "The query parameter '$orderby' is not supported."
	}

	switch s.cfg.OrderBy {
	case OrderRefused:
		return errQuery + "Query option 'OrderBy' is not allowed. To allow it, set the 'AllowedQueryOptions' property."
	case OrderIgnored:
		return ""
	}

	for item := range strings.SplitSeq(value, ",") {
		words := strings.Fields(item)
		if len(words) == 0 || len(words) > 2 || len(words) == 2 && words[1] != "asc" && words[1] != "desc" {
			return "Invalid orderby clause: Syntax error in '" + value + "'."
		}

		i := slices.IndexFunc(a.filter, func(p property) bool { return p.name == words[0] })
		if i < 0 {
			return "Invalid orderby clause: Could not find a property named '" + words[0] + "'."
		}

		l.order = append(l.order, orderKey{&a.filter[i], len(words) == 2 && words[1] == "desc"})
	}

	return ""
}

// skipToken returns a token, opaque to clients, for the place offset of a query.
func skipToken(offset int, query string, nonce uint32) string {
	h := fnv.New32a()
	h.Write([]byte(query))

	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d.%d", offset, h.Sum32(), nonce))
}

// readSkipToken returns the place that a token of this query names.
func readSkipToken(text, query string) (int, bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return 0, false
	}

	parts := strings.Split(string(b), ".")
	h := fnv.New32a()
	h.Write([]byte(query))

	if len(parts) != 3 || parts[1] != strconv.FormatUint(uint64(h.Sum32()), 10) {
		return 0, false
	}

	n, err := strconv.Atoi(parts[0])

	return n, err == nil && n >= 0
}

// page is what a listing brings.
type page struct {
	rows  []*row
	more  bool // there are further rows
	total int  // the number of all rows, if it was asked for
	next  int  // the place of the first row behind the page
}

// page picks the rows of a listing. The caller holds the tenant's lock.
func (t *tenant) page(v *view, l listing) page {
	v.sort()

	if len(l.order) == 0 { // "newest first"; which time is meant is not documented
		l.order = []orderKey{{&property{kind: propTime, role: 'c'}, true}}
	}

	role := byte('c')
	if l.order[0].prop.role == 'u' {
		role = 'u'
	}

	rows := v.within(l.where, role)
	others := v.within(l.where, otherRole(role))
	ordered := len(l.order) == 1 && l.order[0].prop.role != 0

	if ordered && l.ties == nil && len(rows) <= 4*len(others)+100 {
		return l.inOrder(rows, t.sim.cfg.Clock())
	}

	if len(others) < len(rows) {
		rows = others
	}

	return l.sorted(rows, t.sim.cfg.Clock())
}

// sorted picks from rows in any order, which it sorts.
func (l listing) sorted(rows []*row, now time.Time) page {
	var list []*row

	for _, r := range rows {
		if l.lists(r, now) {
			list = append(list, r)
		}
	}

	if l.ties != nil {
		l.ties.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}

	slices.SortStableFunc(list, func(a, b *row) int { return compareRows(a, b, l.order) })

	total := len(list)
	list = list[min(l.skip, total):]

	return page{rows: list[:min(l.top, len(list))], more: len(list) > l.top, total: total}
}

// inOrder picks from rows that are in ascending order of the time asked for.
func (l listing) inOrder(rows []*row, now time.Time) page {
	var p page

	for i := range rows {
		r := rows[i]
		if l.order[0].desc {
			r = rows[len(rows)-1-i]
		}

		if !l.lists(r, now) {
			continue
		}

		p.total++
		if p.total <= l.skip {
			continue
		}

		if len(p.rows) < l.top {
			p.rows = append(p.rows, r)
			continue
		}

		p.more = true
		if !l.count {
			break
		}
	}

	return p
}

// lists reports whether a listing has a row.
func (l listing) lists(r *row, now time.Time) bool {
	return r.listedAt(now) && (l.where == nil || l.where.holds(r))
}

// otherRole returns the role of the other time: 'c' is that of creation, 'u' that of the
// last update.
func otherRole(role byte) byte {
	if role == 'c' {
		return 'u'
	}

	return 'c'
}

// within returns a part of the index of a time outside of which the condition holds for
// no row.
func (v *view) within(c condition, role byte) []*row {
	index, at := v.byUpdated, func(r *row) tick.Tick { return r.updated }
	if role == 'c' {
		index, at = v.byCreated, func(r *row) tick.Tick { return r.created }
	}

	if c == nil {
		return index
	}

	from, to := bounds(c, role)
	find := func(limit tick.Tick) int {
		i, _ := slices.BinarySearchFunc(index, limit, func(r *row, l tick.Tick) int {
			if at(r) < l {
				return -1
			}

			return 1
		})

		return i
	}
	low, high := find(from), find(to)

	return index[low:max(low, high)]
}

// compareRows compares two rows by the keys of an order.
func compareRows(a, b *row, order []orderKey) int {
	for _, k := range order {
		c := 0

		if k.prop.kind == propTime {
			x, _ := k.prop.time(a)
			y, _ := k.prop.time(b)
			c = cmp.Compare(x, y)
		} else {
			path := first(k.prop.path, k.prop.name)

			x, y := gjson.GetBytes(a.full, path), gjson.GetBytes(b.full, path)
			if c = cmp.Compare(x.Num, y.Num); k.prop.kind == propString {
				c = cmp.Compare(x.Str, y.Str)
			}
		}

		if c != 0 && k.desc {
			c = -c
		}

		if c != 0 {
			return c
		}
	}

	return 0
}

// badQuery answers 400 for a query that cannot be read.
func (x *exchange) badQuery(problem string) {
	x.refuse(http.StatusBadRequest, odataAPIs[x.api].code, problem)
}
