package defender

import (
	"context"
	"errors"
	"hash/maphash"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/tick"
)

// dialect is what tells the three OData APIs apart.
type dialect struct {
	api    cloud.API
	expand string // $expand, empty for none
	prefer string // the header Prefer
	links  bool   // long answers are linked by @odata.nextLink; else $skip leads on
	op     string
}

// dialects: defender-apis, sections 3.3, 4.2 and 5.
var dialects = map[cloud.API]dialect{
	cloud.Endpoint:  {api: cloud.Endpoint, expand: "evidence", op: "reading alerts"},
	cloud.Graph:     {api: cloud.Graph, prefer: "include-unknown-enum-members", links: true, op: "reading alerts"},
	cloud.Incidents: {api: cloud.Incidents, op: "reading incidents"},
}

// odata reads an API with $filter, $orderby and $top: walk.go where the service keeps the order it is asked for, slices.go where not.
type odata struct {
	dialect
	client client
	field  string // the time that windows go by
	seed   maphash.Seed

	maxTop, top int // rows asked for at a time, at most and now
	capacity    int // the largest page seen with this top: a smaller one was not cut
	unordered   bool
	plain       bool // $expand is left out
	span        tick.Tick
	failures    int
	foreignLink bool // a link to another host was reported
}

// newOData makes a reader of the API a.
func newOData(a cloud.API, s Settings) *odata {
	d := dialects[a]
	field := fieldsOf[a].updated
	if s.ByCreation {
		field = fieldsOf[a].created
	}
	host := hostOf(s.BaseURL)
	return &odata{dialect: d, field: field, seed: maphash.MakeSeed(), maxTop: s.MaxPage, top: s.PageSize, client: client{Settings: s, op: d.op,
		service: service{host: host, resource: s.Resource, forbidden: "the token has no permission for this API in the customer's tenant",
			forbiddenRemedy: permissionRemedy(a, s)}}}
}

// permissionRemedy names what has to be granted, and where.
func permissionRemedy(a cloud.API, s Settings) string {
	role := map[cloud.API]string{
		cloud.Endpoint:  "Alert.Read.All (delegated: Alert.Read) of WindowsDefenderATP",
		cloud.Graph:     "SecurityAlert.Read.All of Microsoft Graph",
		cloud.Incidents: "Incident.Read.All (delegated: Incident.Read) of Microsoft Threat Protection",
	}[a]
	return "add " + role + " to application " + s.ClientID + " and have an administrator of tenant " + s.TenantID +
		" consent to it; a user who signed in also needs a role that may view alerts"
}

// Read implements Reader.
func (r *odata) Read(ctx context.Context, w Window, sink Sink) error {
	if !r.unordered {
		err := r.walk(ctx, w, sink)
		if !errors.Is(err, errOrder) {
			return err
		}
		r.unordered = true
		r.client.notice("warn", r.client.service.host+" does not keep the order asked for; it is read in small closed windows instead")
	}
	return r.slices(ctx, w, sink)
}

// errOrder says that the service refuses or does not keep $orderby.
var errOrder = errors.New("the service does not order its answer")

// query is one request: rows whose time is in [from, to), to 0 meaning no bound, skipping some; or a link to go on with.
type query struct {
	from, to  tick.Tick
	top, skip int
	ordered   bool
	link      string
}

// answer is what one page brought.
type answer struct {
	rows       int
	fresh      int // rows that the caller did not know
	last       tick.Tick
	next       tick.Tick // least time after the query's from
	lastKeys   keys      // rows whose time is last
	disordered bool
	link       string // checked: where the service says that it goes on
}

// keys tells rows apart by a hash of their bytes.
type keys map[uint64]struct{}

// fetch asks for one page and hands its rows to sink. Rows in known are not fresh; known may be nil.
func (r *odata) fetch(ctx context.Context, q query, known keys, sink Sink) (a answer, err error) {
	body, err := r.client.get(ctx, r.address(q), r.header())
	if err != nil {
		return a, err
	}
	defer body.Close()
	p := pages.Get().(*page.Reader)
	defer pages.Put(p)
	err = eachRow(p, body, r.client.service.host, rowFunc(func(raw []byte) error {
		r.note(&a, q, known, raw)
		return sink.Row(raw)
	}))
	if err != nil {
		return a, err
	}
	r.capacity = max(r.capacity, a.rows)
	a.link, err = r.checkLink(p.NextLink(), q)
	return a, err
}

// note takes a row into the account of its page.
func (r *odata) note(a *answer, q query, known keys, raw []byte) {
	a.rows++
	key := r.hash(raw)
	if _, ok := known[key]; !ok {
		a.fresh++
	}
	at := timeOf(raw, r.field)
	switch {
	case at == 0:
		return // a row without a time has no place in the order
	case at > a.last:
		a.last, a.lastKeys = at, keys{key: {}}
	case at == a.last:
		a.lastKeys[key] = struct{}{}
	default:
		a.disordered = true
	}
	if at > q.from && (a.next == 0 || at < a.next) {
		a.next = at
	}
}

func (r *odata) hash(raw []byte) uint64 { return maphash.Bytes(r.seed, raw) }

// rowFunc is a Sink for one page.
type rowFunc func(raw []byte) error

func (f rowFunc) Row(raw []byte) error { return f(raw) }
func (f rowFunc) Safe(tick.Tick) error { return nil }

func (r *odata) header() http.Header {
	if r.prefer == "" {
		return nil
	}
	return http.Header{"Prefer": {r.prefer}}
}

// address prints a query. Date literals are unquoted with a zone (trap T14), every option has its $ (T15).
func (r *odata) address(q query) string {
	if q.link != "" {
		return q.link
	}
	filter := r.field + " ge " + q.from.Text()
	if q.to != 0 {
		filter += " and " + r.field + " lt " + q.to.Text()
	}
	if r.client.Filter != "" {
		filter = "(" + filter + ") and (" + r.client.Filter + ")"
	}
	var b strings.Builder
	b.WriteString(r.client.BaseURL + r.client.Path + "?$filter=" + escape(filter))
	if q.ordered {
		b.WriteString("&$orderby=" + escape(r.field+" asc"))
	}
	b.WriteString("&$top=" + strconv.Itoa(q.top))
	if q.skip > 0 {
		b.WriteString("&$skip=" + strconv.Itoa(q.skip))
	}
	if r.expand != "" && !r.plain {
		b.WriteString("&$expand=" + r.expand)
	}
	return b.String()
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// checkLink makes sure that a link may be followed: to the configured host only, and not one whose options have lost their $, which
// would be ignored and make the service answer with everything, for ever (trap T10). A link that may not is no link.
func (r *odata) checkLink(link string, q query) (string, error) {
	if link == "" || !r.links {
		return "", nil
	}
	u, err := url.Parse(link)
	base, _ := url.Parse(r.client.BaseURL)
	if err != nil || base == nil || u.Scheme != base.Scheme || !strings.EqualFold(u.Host, base.Host) || u.User != nil {
		if !r.foreignLink {
			r.foreignLink = true
			host := "an address that is none"
			if err == nil {
				host = oneLine(u.Scheme+"://"+u.Host, 100)
			}
			r.client.notice("error", r.client.service.host+" links to "+host+", which is not followed: a token goes to the configured host only")
		}
		return "", nil
	}
	options := u.Query()
	lost := true
	for name := range options {
		if strings.HasPrefix(name, "$") {
			lost = false
		}
	}
	if lost || (options.Has("$skip") && !options.Has("$filter")) || link == q.link {
		return "", nil
	}
	return link, nil
}

// full tells whether a page may have been cut: one as large as any that was seen may have been.
func (r *odata) full(a answer) bool { return a.rows > 0 && a.rows >= min(r.capacity, r.top) }

// shrink reacts to a page that failed: fewer rows at the second failure, at last without what makes them large. The caller tries again later.
func (r *odata) shrink(err error) {
	var e *Error
	if !errors.As(err, &e) || !e.Smaller {
		return
	}
	if r.failures++; e.Status >= 500 && r.failures < 2 {
		return
	}
	switch {
	case r.top > 10:
		r.setTop(max(r.top/2, 10))
	case r.expand != "" && !r.plain:
		r.plain = true
		r.client.notice("warn", "pages with $expand="+r.expand+" fail; alerts are read without it until they can be read again")
	default:
		r.setTop(max(r.top/2, 1))
	}
}

// grow goes back towards full pages after one that worked.
func (r *odata) grow() {
	r.failures = 0
	if want := min(r.client.PageSize, r.maxTop); r.top < want {
		r.setTop(min(2*r.top, want))
	} else {
		r.plain = false
	}
}

func (r *odata) setTop(n int) { r.top, r.capacity = n, min(r.capacity, n) }

// union adds b to a.
func (a keys) union(b keys) {
	for k := range b {
		a[k] = struct{}{}
	}
}

// isStatus tells whether err is the API's refusal with one of these codes.
func isStatus(err error, codes ...int) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(codes, e.Status)
}
