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

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/tick"
)

// odataAPI is what tells the three OData APIs apart.
type odataAPI struct {
	api     string
	context string
	filter  []property
	// maxTop is the largest $top; clamp says that a larger one is cut down to it
	// without a word, else it is a 400.
	maxTop int
	clamp  bool
	// maxSkip is the largest $skip; 0 is any.
	maxSkip int
	expand  string // what $expand may name
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
			{
				name: "classification",
			},
			{name: "determination"},
			{name: "severity"},
			{name: "serviceSource"},
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
	ties      *rand.Rand // if set, draws the order of rows that are equal in order
}

type orderKey struct {
	prop *property
	desc bool
}

// parseListing reads the query. An option whose name lacks its "$" is not an option,
// and is ignored (azure-docs issue 11920).
func (s *Simulator) parseListing(a *odataAPI, query string) (l listing, problem string) {
	l.top, l.variant = a.maxTop, asFull
	if a.expand != "" {
		l.variant = asShort
	}

	seen, skipToken, kept := map[string]bool{}, "", []string(nil)

	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}

		k, v, _ := strings.Cut(pair, "=")
		key, err1 := url.QueryUnescape(k)

		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil {
			return l, "The query specified in the URI is not valid."
		}

		if key != "$skip" && key != "$skiptoken" {
			kept = append(kept, pair)
		}

		if !strings.HasPrefix(key, "$") {
			continue
		}

		if seen[key] {
			return l, fmt.Sprintf(
				"Query option '%s' was specified more than once, but it must be specified at most once.",
				key,
			)
		}

		seen[key] = true
		switch key {
		case "$filter":
			c, err := parseFilter(value, a.filter)
			if err != nil {
				return l, err.Error()
			}

			l.where = c
		case "$orderby":
			if problem = s.orderBy(&l, a, value); problem != "" {
				return l, problem
			}
		case "$top":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return l, fmt.Sprintf(
					"Invalid value '%s' for $top query option found. The $top query option requires a non-negative integer value.",
					value,
				)
			}

			if n > a.maxTop && !a.clamp {
				return l, fmt.Sprintf(
					"The limit of '%d' for Top query has been exceeded. The value from the incoming request is '%d'.",
					a.maxTop,
					n,
				)
			}

			l.top, l.topGiven = min(n, a.maxTop), true
		case "$skip":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return l, fmt.Sprintf(
					"Invalid value '%s' for $skip query option found. The $skip query option requires a non-negative integer value.",
					value,
				)
			}

			if a.maxSkip > 0 && n > a.maxSkip {
				return l, fmt.Sprintf(
					"The limit of '%d' for Skip query has been exceeded. The value from the incoming request is '%d'.",
					a.maxSkip,
					n,
				)
			}

			l.skip, l.followed, l.bySkip = n, n > 0, n > 0
		case "$skiptoken":
			skipToken = value
		case "$count":
			if value != "true" && value != "false" {
				return l, "Invalid value for $count query option found."
			}

			l.count = value == "true"
		case "$expand":
			if a.expand == "" || value != a.expand {
				return l, fmt.Sprintf(
					"The query specified in the URI is not valid. Could not find a property named '%s' to expand.",
					value,
				)
			}

			l.variant = asFull
		default:
			return l, fmt.Sprintf("The query parameter '%s' is not supported.", key)
		}
	}

	l.rest = strings.Join(kept, "&")
	if skipToken != "" {
		n, ok := readSkipToken(skipToken, l.rest)
		if !ok || seen["$skip"] {
			return l, "The query specified in the URI is not valid. The skip token is not valid."
		}

		l.skip, l.followed = n, true
	}

	return l, ""
}

func (s *Simulator) orderBy(l *listing, a *odataAPI, value string) (problem string) {
	switch s.cfg.OrderBy {
	case OrderRefused:
		return "The query specified in the URI is not valid. Query option 'OrderBy' is not allowed. To allow it, set the 'AllowedQueryOptions' property."
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

// skipToken is opaque to clients: where to go on, bound to the query that it belongs to.
func skipToken(offset int, query string, nonce uint32) string {
	h := fnv.New32a()
	h.Write([]byte(query))

	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d.%d", offset, h.Sum32(), nonce))
}

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

// page picks the rows of a listing; more says that there are further ones, total is
// their number (if asked for). The tenant's lock is held.
func (t *tenant) page(v *view, l listing) (rows []*row, more bool, total int) {
	v.sort()

	now := t.sim.cfg.Clock()

	order := l.order
	if len(order) == 0 { // "newest first"; which time is meant is not documented
		order = []orderKey{{&property{kind: propTime, role: 'c'}, true}}
	}

	index, role := v.byCreated, byte('c')
	if order[0].prop.role == 'u' {
		index, role = v.byUpdated, 'u'
	}

	lo, hi := v.span(l.where, role)
	other := byte('c' + 'u' - role)
	lo2, hi2 := v.span(l.where, other)

	ordered := len(order) == 1 && order[0].prop.role != 0
	if !ordered || l.ties != nil || (hi-lo) > 4*(hi2-lo2)+100 {
		if hi2-lo2 < hi-lo {
			if index, lo, hi = v.byUpdated, lo2, hi2; other == 'c' {
				index = v.byCreated
			}
		}

		var list []*row

		for _, r := range index[lo:hi] {
			if r.listedAt(now) && (l.where == nil || l.where.holds(r)) {
				list = append(list, r)
			}
		}

		if l.ties != nil {
			l.ties.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}

		slices.SortStableFunc(list, func(a, b *row) int { return compareRows(a, b, order) })
		total = len(list)
		list = list[min(l.skip, total):]

		return list[:min(l.top, len(list))], len(list) > l.top, total
	}

	for i := range hi - lo {
		r := index[lo+i]
		if order[0].desc {
			r = index[hi-1-i]
		}

		if !r.listedAt(now) || l.where != nil && !l.where.holds(r) {
			continue
		}

		if total++; total <= l.skip {
			continue
		}

		if len(rows) < l.top {
			rows = append(rows, r)
		} else if more = true; !l.count {
			break
		}
	}

	return rows, more, total
}

// span is the part of an index outside of which the condition holds for no row.
func (v *view) span(c condition, role byte) (lo, hi int) {
	index, at := v.byUpdated, func(r *row) tick.Tick { return r.updated }
	if role == 'c' {
		index, at = v.byCreated, func(r *row) tick.Tick { return r.created }
	}

	if c == nil {
		return 0, len(index)
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
	lo, hi = find(from), find(to)

	return lo, max(lo, hi)
}

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
