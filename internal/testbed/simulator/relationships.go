package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxRelationships is the largest $top of the lists.
const maxRelationships = 300

// relationshipLists are the lists of Microsoft Graph below tenantRelationships, as far
// as a query of them is concerned.
var relationshipLists = map[string]*odataAPI{
	"delegatedadminrelationships": {
		context: "https://graph.microsoft.com/v1.0/$metadata#tenantRelationships/delegatedAdminRelationships",
		maxTop:  maxRelationships,
		code:    "BadRequest",
		selects: true,
		filter: []property{
			{name: "status"},
			{name: "displayName"},
			{name: "id"},
			{name: "customer/tenantId", path: "customer.tenantId"},
			{name: "endDateTime", kind: propTime},
		},
	},
	"delegatedadmincustomers": {
		context: "https://graph.microsoft.com/v1.0/$metadata#tenantRelationships/delegatedAdminCustomers",
		maxTop:  maxRelationships,
		code:    "BadRequest",
		selects: true,
		filter:  []property{{name: "tenantId"}, {name: "displayName"}, {name: "id"}},
	},
}

// scopeOf returns what the faults and the statistics call a request: the API, or one of
// its parts that has a name of its own.
func scopeOf(api, path string) string {
	if api == Graph && hasPrefixFold(path, "/v1.0/tenantRelationships/") {
		return Discovery
	}

	return api
}

// hasPrefixFold reports whether s begins with prefix, in any case.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// relationshipsOf answers the requests of Microsoft Graph below tenantRelationships.
func (s *Simulator) relationshipsOf(x *exchange, path string) {
	needs, byTenant := "DelegatedAdminRelationship.Read.All", false

	name := strings.ToLower(path)
	if strings.HasPrefix(name, "findtenantinformationbytenantid(") {
		needs, byTenant = "CrossTenantInformation.ReadBasic.All", true
	}

	list := relationshipLists[name]
	if list == nil && !byTenant {
		x.refuse(http.StatusNotFound, "ResourceNotFound", "Resource not found for the segment.")
		return
	}

	if !x.allowGet() || !x.authoriseHome(needs) {
		return
	}

	if byTenant {
		s.tenantInformation(x, path)
		return
	}

	s.listRelationships(x, list, name)
}

// authoriseHome checks that the access token is one of the provider's own tenant with a
// permission. If it reports false, it has answered the request.
func (x *exchange) authoriseHome(permission string) bool {
	s := x.sim
	text := bearer(x.r)

	s.mu.Lock()
	t, home := s.access[text], s.home
	s.mu.Unlock()

	if problem := x.tokenProblem(text, t); problem != "" {
		x.refuse(http.StatusUnauthorized, "", problem)
		return false
	}

	if home == nil || t.tenant != home || !slices.Contains(t.others, permission) {
		x.refuse(http.StatusForbidden, "Forbidden", "Insufficient privileges to complete the operation.")
		return false
	}

	return true
}

// listRelationships answers a list.
func (s *Simulator) listRelationships(x *exchange, a *odataAPI, name string) {
	l, problem := s.parseListing(a, x.r.URL.RawQuery)
	if problem != "" {
		x.badQuery(problem)
		return
	}

	if !l.topGiven {
		l.top = s.cfg.RelationshipPage
	}

	var rows []json.RawMessage
	if name == "delegatedadmincustomers" {
		rows = s.customerRows()
	} else {
		rows = s.relationshipRows()
	}

	rows = slices.DeleteFunc(rows, func(text json.RawMessage) bool {
		return l.where != nil && !l.where.holds(&row{full: text})
	})
	total := len(rows)

	if s.strikes(x, "vanish") != nil {
		rows = nil
	}

	rows = rows[min(l.skip, len(rows)):]

	link := ""

	if len(rows) > l.top {
		rows = rows[:l.top]
		link = x.nextLink(l, l.skip+l.top, "")
	}

	x.listRaw(a, l, rows, total, link)
}

// listRaw answers a page of rows with the properties that $select names.
func (x *exchange) listRaw(a *odataAPI, l listing, rows []json.RawMessage, total int, link string) {
	o := object{}
	o.open()
	o.text("@odata.context", a.context)

	if l.count {
		o.int("@odata.count", int64(total))
	}

	if link != "" {
		o.text("@odata.nextLink", link)
	}

	parts := make([]string, 0, len(rows))
	for _, row := range rows {
		parts = append(parts, selected(row, l.selects))
	}

	o.raw("value", "["+strings.Join(parts, ",")+"]")
	o.close()
	x.json(http.StatusOK, o.b)
}

// selected returns a row with some of its properties, with all if names is empty.
func selected(row json.RawMessage, names []string) string {
	if len(names) == 0 {
		return string(row)
	}

	o := object{}
	o.open()

	gjson.ParseBytes(row).ForEach(func(key, value gjson.Result) bool {
		if slices.Contains(names, key.Str) {
			o.raw(key.Str, value.Raw)
		}

		return true
	})
	o.close()

	return string(o.b)
}

// relationshipRows returns all relationships as Microsoft Graph writes them
// (delegatedadminrelationship.md).
func (s *Simulator) relationshipRows() []json.RawMessage {
	now := s.cfg.Clock()

	s.mu.Lock()
	defer s.mu.Unlock()

	rows := make([]json.RawMessage, 0, len(s.relationships))

	for _, r := range s.relationships {
		extend := "PT0S"
		if r.AutoExtend {
			extend = "P180D"
		}

		o := object{}
		o.open()
		o.text("@odata.etag", `W/"`+r.ID[:8]+`"`)
		o.text("id", r.ID)
		o.text("displayName", r.Name)
		o.text("duration", "P730D")
		o.text("autoExtendDuration", extend)

		if r.Customer == "" {
			o.raw("customer", "null")
		} else {
			o.nested("customer", func(o *object) {
				o.text("tenantId", r.Customer)
				o.text("displayName", r.CustomerName)
			})
		}

		o.nested("accessDetails", func(o *object) {
			o.list("unifiedRoles", len(r.Roles), func(o *object, i int) { o.text("roleDefinitionId", r.Roles[i]) })
		})
		o.text("status", r.statusAt(now))
		o.time("createdDateTime", r.End.AddDate(-2, 0, 0))
		o.time("activatedDateTime", r.End.AddDate(-2, 0, 0))
		o.time("lastModifiedDateTime", r.End.AddDate(-2, 0, 0))
		o.time("endDateTime", r.End)
		o.close()
		rows = append(rows, o.b)
	}

	return rows
}

// customerRows returns the customers with a relationship that grants access, each once
// (delegatedadmincustomer.md).
func (s *Simulator) customerRows() []json.RawMessage {
	now := s.cfg.Clock()

	s.mu.Lock()
	defer s.mu.Unlock()

	var rows []json.RawMessage

	seen := map[string]bool{}
	for _, r := range s.relationships {
		if r.Customer == "" || seen[r.Customer] || !r.grants(r.Customer, now) {
			continue
		}

		seen[r.Customer] = true
		o := object{}
		o.open()
		o.text("id", r.Customer)
		o.text("tenantId", r.Customer)
		o.text("displayName", r.CustomerName)
		o.close()
		rows = append(rows, o.b)
	}

	return rows
}

// tenantInformation answers what a tenant is called, for any tenant
// (tenantrelationship-findtenantinformationbytenantid.md).
func (s *Simulator) tenantInformation(x *exchange, path string) {
	_, argument, _ := strings.Cut(path, "(")

	argument, err := url.PathUnescape(strings.TrimSuffix(argument, ")"))
	name, quoted := strings.CutPrefix(argument, "tenantId='")

	id, closed := strings.CutSuffix(name, "'")
	if err != nil || !quoted || !closed || !isGUID(id) {
		x.badQuery("Invalid value for parameter tenantId.")
		return
	}

	s.mu.Lock()
	t := s.tenant(id)

	var domain, display string
	if t != nil {
		domain, display = t.Domain, first(t.Name, t.Domain, t.ID)
	}
	s.mu.Unlock()

	if t == nil {
		x.refuse(http.StatusNotFound, "Request_ResourceNotFound", "Resource "+strconv.Quote(id)+" does not exist.")
		return
	}

	o := object{}
	o.open()
	o.text("@odata.context", "https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.tenantInformation")
	o.text("tenantId", t.ID)
	o.orNull("federationBrandName", "")
	o.text("displayName", display)
	o.text("defaultDomainName", domain)
	o.close()
	x.json(http.StatusOK, o.b)
}
