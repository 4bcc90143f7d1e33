package simulator

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// graph answers Microsoft Graph: the lists of relationships and those of the data APIs.
func (s *Simulator) graph(x *exchange) {
	if x.scope == Discovery {
		s.relationshipsOf(x, x.r.URL.Path[len("/v1.0/tenantRelationships/"):])
		return
	}

	s.odata(x)
}

// odata answers a request for a list or one of its elements.
func (s *Simulator) odata(x *exchange) {
	path, list := x.r.URL.Path, dataAPIOf(x.api).path

	// Defender for Endpoint has its list under a version, too.
	if rest, versioned := strings.CutPrefix(path, "/api/v1.0/"); versioned && x.api == Endpoint {
		path = "/api/" + rest
	}

	if len(path) < len(list) || !strings.EqualFold(path[:len(list)], list) {
		x.refuse(http.StatusNotFound, "ResourceNotFound", "Resource not found for the segment.")
		return
	}

	id, one := strings.CutPrefix(path[len(list):], "/")
	if !one && len(path) > len(list) {
		x.refuse(http.StatusNotFound, "ResourceNotFound", "Resource not found for the segment.")
		return
	}

	if !x.allowGet() || !x.authorise() {
		return
	}

	if one && id != "" {
		s.odataOne(x, id)
		return
	}

	s.odataList(x)
}

// odataList answers a list: the page that the query asks for, with its faults.
func (s *Simulator) odataList(x *exchange) {
	a := odataOf(x.api)

	l, problem := s.parseListing(a, x.r.URL.RawQuery)
	if problem != "" {
		x.badQuery(problem)
		return
	}

	if isGraph(x.api) {
		s.graphListing(x, &l)
	}

	if !s.limit(x, &l) {
		x.badQuery("Query option 'Skip' is not allowed. To allow it, set the 'AllowedQueryOptions' property.")
		return
	}

	linked, broken := s.links(x, l)
	if broken == "skiptoken" && l.followed {
		x.badQuery(errQuery + "Query option 'SkipToken' is not allowed. To allow it, " +
			"set the 'AllowedQueryOptions' property on EnableQueryAttribute or QueryValidationSettings.")

		return
	}

	if l.skip > 0 && s.strikes(x, "move") != nil {
		s.move(x.tenant, x.api, l)
	}

	if s.strikes(x, "ties") != nil {
		l.ties = x.random()
	}

	p := s.distort(x, s.readPage(x, l), linked)
	if s.expandFails(x, l.variant, p.rows) {
		return
	}

	link := ""

	if p.more && linked && (broken != "none" || len(p.rows) == 0) {
		link = x.nextLink(l, p.next, broken)
	}

	x.listPage(a, l, p, link)
}

// graphListing applies what is special to Graph: its default page size, and the masking
// of newer members.
func (s *Simulator) graphListing(x *exchange, l *listing) {
	if !l.topGiven {
		l.top = min(s.cfg.GraphPageSize, odataOf(x.api).maxTop)
	}

	if !x.prefersUnknown() && l.variant == asFull {
		l.variant = asMasked
	}
}

// listPage answers with a page. link is the address of the next one, empty for none.
func (x *exchange) listPage(a *odataAPI, l listing, p page, link string) {
	head := `{"@odata.context":"` + a.context + `",`

	if l.count {
		head += `"@odata.count":` + strconv.Itoa(p.total) + `,`
	}

	if link != "" {
		head += `"@odata.nextLink":` + string(appendText(nil, link, EscapeMin)) + `,`
	}

	x.list(head+`"value":[`, p.rows, l.variant, "]}")

	if isGraph(x.api) {
		x.header.Set("Content-Type",
			"application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
	}
}

// links reports whether pages have a link to the next one, and the fault of that link,
// if it has one.
func (s *Simulator) links(x *exchange, l listing) (linked bool, broken string) {
	linked = isGraph(x.api) || s.cfg.EndpointLinks && x.api == Endpoint && !l.topGiven ||
		s.strikes(x, "links") != nil
	if !linked {
		return false, ""
	}

	if f := s.strikes(x, "link"); f != nil {
		broken = f.Kind
	}

	return true, broken
}

// readPage reads the page that a listing asks for. It takes the tenant's lock.
func (s *Simulator) readPage(x *exchange, l listing) page {
	x.tenant.mu.Lock()
	defer x.tenant.mu.Unlock()

	p := x.tenant.page(x.tenant.view(x.api), l)
	if l.variant == asMasked {
		makeMasked(p.rows)
	}

	p.next = l.skip + len(p.rows)

	return p
}

// distort applies the faults that change the rows of a page.
func (s *Simulator) distort(x *exchange, p page, linked bool) page {
	if linked && len(p.rows) > 0 && s.strikes(x, "emptypage") != nil {
		p.next -= len(p.rows)
		p.rows, p.more = nil, true
	}

	if linked && !p.more && len(p.rows) > 0 && s.strikes(x, "lastlink") != nil {
		p.more = true
	}

	if s.strikes(x, "dup") != nil && len(p.rows) > 0 {
		p.rows = append(p.rows[:len(p.rows):len(p.rows)], p.rows[len(p.rows)/2])
	}

	if s.strikes(x, "shuffle") != nil {
		p.rows = append([]*row(nil), p.rows...)
		x.random().Shuffle(len(p.rows), func(i, j int) { p.rows[i], p.rows[j] = p.rows[j], p.rows[i] })
	}

	return p
}

// limit applies the faults that concern $top and $skip. It reports whether the request
// is accepted.
func (s *Simulator) limit(x *exchange, l *listing) bool {
	if f := s.strikes(x, "clamp"); f != nil {
		l.top = min(l.top, int(f.Size))
	}

	if !l.bySkip {
		return true
	}

	f := s.strikes(x, "skip")
	if f != nil && f.Kind == "ignored" {
		l.skip = 0
	}

	return f == nil || f.Kind != "refused"
}

// nextLink returns the address of the next page: the same options, and where that page
// begins. broken is the fault of the link, empty for none.
func (x *exchange) nextLink(l listing, next int, broken string) string {
	base, query := x.base(), l.rest
	if query != "" {
		query += "&"
	}

	if x.sim.cfg.GraphLinks == LinkSkip {
		query += "$skip=" + strconv.Itoa(next)
	} else {
		query += "$skiptoken=" + skipToken(next, l.rest, x.random().Uint32())
	}

	switch broken {
	case "repeat":
		return base + x.r.URL.RequestURI()
	case "nodollar": // microsoft-365-docs issue 8316
		query = strings.ReplaceAll(strings.ReplaceAll(l.rest, "%24", ""), "$", "") + "&$skip=" + strconv.Itoa(next)
	case "otherhost":
		base = "http://graph.attacker.example"
	}

	return base + x.r.URL.Path + "?" + query
}

// prefersUnknown reports whether the client knows of newer enumeration members.
func (x *exchange) prefersUnknown() bool {
	for _, h := range x.r.Header.Values("Prefer") {
		for item := range strings.SplitSeq(h, ",") {
			if strings.EqualFold(strings.TrimSpace(item), "include-unknown-enum-members") {
				x.header.Set("Preference-Applied", "include-unknown-enum-members")
				return true
			}
		}
	}

	return false
}

// move updates the first alert of the listing, so that rows change their places between
// two pages.
func (s *Simulator) move(t *tenant, api string, l listing) {
	skew, now := s.skew(), s.cfg.Clock()
	l.skip, l.top, l.count = 0, 1, false

	t.mu.Lock()
	defer t.mu.Unlock()

	rows := t.page(t.view(api), l).rows
	if len(rows) == 0 {
		return
	}

	id := rows[0].identity
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && listsIncidents(api) && len(t.incidents[n]) > 0 {
		id = t.incidents[n][0].versions[0].ID
	}

	_ = t.update(id, now, now, skew, nil) // rows whose fields were replaced have no alert of that name
}

// expandFails applies the fault of a request with $expand. It reports whether it has
// answered.
func (s *Simulator) expandFails(x *exchange, v variant, rows []*row) bool {
	if v == asShort || odataOf(x.api).expand == "" || len(rows) == 0 {
		return false
	}

	named := func(id string) bool {
		return id == "" || slices.ContainsFunc(rows, func(r *row) bool { return r.identity == id })
	}

	f := s.strikesIf(x, "expand", func(f *fault) bool { return named(f.ID) })
	if f == nil {
		return false
	}

	if f.Kind == "stall" {
		s.cfg.Sleep(x.r.Context(), f.By)
	}

	x.refuse(http.StatusInternalServerError, "InternalServerError", "An error has occurred.")

	return true
}

// odataOne answers one alert or incident.
func (s *Simulator) odataOne(x *exchange, id string) {
	v, problem := s.variantOf(x)
	if problem != "" {
		x.badQuery(problem)
		return
	}

	r := x.tenant.listed(x.api, id, v, s.cfg.Clock())

	switch {
	case r == nil:
		x.refuse(http.StatusNotFound, "ResourceNotFound", "The resource "+id+" was not found.")
	case !s.expandFails(x, v, []*row{r}):
		x.list("", []*row{r}, v, "")
		x.entity(odataOf(x.api).context + "/$entity")
	}
}

// entity puts the address of its description in front of the keys of the one row that is
// the answer, as OData has it (OData JSON Format 4.01, section 4.5.1).
func (x *exchange) entity(context string) {
	row, isObject := bytes.CutPrefix(x.body[1], []byte{'{'})
	if !isObject {
		return
	}

	head := `{"@odata.context":"` + context + `",`
	x.body[0], x.body[1] = []byte(head), row
	x.ends[0] += int64(len(head)) - 1
}

// variantOf returns the form in which a request for one element wants it. Incidents of
// Graph have their alerts only with $expand; the other APIs take no options.
func (s *Simulator) variantOf(x *exchange) (v variant, problem string) {
	if x.api == GraphIncidents {
		l, problem := s.parseListing(odataOf(x.api), x.r.URL.RawQuery)
		if problem != "" || l.variant == asShort {
			return l.variant, problem
		}
	}

	if isGraph(x.api) && !x.prefersUnknown() {
		return asMasked, ""
	}

	return asFull, ""
}

// listed returns the row of an element that an API lists now, or nil.
func (t *tenant) listed(api, id string, v variant, now time.Time) *row {
	t.mu.Lock()
	defer t.mu.Unlock()

	for r := range t.view(api).each(id) {
		if r.listedAt(now) {
			if v == asMasked {
				makeMasked([]*row{r})
			}

			return r
		}
	}

	return nil
}
