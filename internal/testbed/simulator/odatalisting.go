package simulator

import (
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

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

// badQuery answers 400 for a query that cannot be read.
func (x *exchange) badQuery(problem string) {
	x.refuse(http.StatusBadRequest, odataOf(x.api).code, problem)
}
