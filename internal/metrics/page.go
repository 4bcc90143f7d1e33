package metrics

import (
	"crypto/sha256"
	_ "embed" // the page's style and script
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/version"
)

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// pagePolicy lets a browser use the page's own style and script, ask this server again,
// and nothing else: no other host, no other script, no frame. Its icon is in the page.
var pagePolicy = "default-src 'none'; style-src '" + hashOf(pageStyle) + "'; script-src '" + hashOf(pageScript) +
	"'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// hashOf returns the source of a style or script in a content security policy.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// mostRows is how many tenants one page shows: a browser is slow with more.
const mostRows = 2000

// servePage answers a request for the status page.
func (v *server) servePage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", pagePolicy)

	chosen := choiceOf(r.URL.Query())
	v.serve(w, r, "text/html; charset=utf-8", func(to io.Writer, s *snapshot) error {
		m := &markup{to: to}
		m.page(s, chosen)

		return m.err
	})
}

// markup writes HTML. Only constant text goes through raw; everything else goes through
// text, which escapes it.
type markup struct {
	to  io.Writer
	err error // the first one
}

// raw writes markup that is part of the program.
func (m *markup) raw(parts ...string) {
	for _, part := range parts {
		if m.err == nil {
			_, m.err = io.WriteString(m.to, part)
		}
	}
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")

// mostText bounds what is shown of a text, in characters.
const mostText = 2000

// text writes text of any origin, in an element or between quotation marks.
func (m *markup) text(s string) { m.raw(escapes.Replace(plain.Text(s, mostText))) }

// number writes a number with separators: 12,345.
func (m *markup) number(n uint64) { m.raw(grouped(n)) }

// grouped returns a number with separators.
func grouped(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}

	return digits
}

// page writes the whole page.
func (m *markup) page(s *snapshot, c choice) {
	rows := s.rows()
	counted := summarize(rows)
	chosen := c.apply(rows)

	m.head(&counted)
	m.raw(`<body><header><h1>Defender alerts</h1><p id="fresh" role="status">As of <time datetime="`,
		s.at.UTC().Format(time.RFC3339), `">`, s.at.UTC().Format("15:04:05"), ` UTC</time></p></header>`)
	m.raw(`<main id="main"><div>`) // the parts stay in their place, so that the script finds them again
	m.warnings(s)
	m.raw(`</div><div>`)
	m.summary(&counted, c)
	m.raw(`</div>`)
	m.filter(c)
	m.result(len(chosen), counted.all, c)
	m.table(chosen[:min(len(chosen), mostRows)], s.at, c)
	m.raw(`</main><p id="news" class="unseen" aria-live="polite"></p><footer>`)
	m.text("fluent-bit-defender " + version.This().Version)
	m.raw(` · <a href="/api/status">JSON</a> · <a href="/metrics">metrics</a></footer><script>`, pageScript,
		`</script></body></html>`)
}

// head writes what is before the body. The title and the icon show whether a tenant
// fails.
func (m *markup) head(s *summary) {
	bad := s.urgency[failing] + s.urgency[waiting]
	title, color := "", "%23188038"

	if bad > 0 {
		title, color = "("+strconv.Itoa(bad)+") ", "%23c5221f"
	}

	m.raw(`<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>`, title, `Defender alerts</title>`,
		`<meta name="viewport" content="width=device-width, initial-scale=1">`,
		`<meta name="color-scheme" content="light dark">`,
		`<noscript><meta http-equiv="refresh" content="30"></noscript>`,
		`<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E`,
		`%3Ccircle cx='8' cy='8' r='7' fill='`, color, `'/%3E%3C/svg%3E"><style>`, pageStyle, `</style></head>`)
}

// warnings writes what is wrong with the inputs as a whole.
func (m *markup) warnings(s *snapshot) {
	list := slices.Clone(s.notices)

	if s.input.Blocked {
		list = append(list, health.Trouble{
			Message: "Fluent Bit takes no alerts: they wait, and nothing is lost",
			Remedy:  "see whether its outputs deliver, and whether the disk of `storage.path` is full",
		})
	}

	for _, one := range list {
		m.raw(`<p class="warning" role="alert">`)
		m.prose(one.Message)

		if one.Remedy != "" {
			m.raw(`<span class="remedy">`)
			m.prose(one.Remedy)
			m.raw(`</span>`)
		}

		m.raw(`</p>`)
	}
}

// summary writes the counts, each a link to the tenants that it counts.
func (m *markup) summary(s *summary, c choice) {
	m.raw(`<nav class="summary" aria-label="Tenants by state"><a href="/" class="all"`)
	m.current(c.view == 0 && c.reason == "")
	m.raw(`><b>`)
	m.number(uint64(s.all))
	m.raw(`</b> `, plural(s.all, "tenant", "tenants"), `</a>`)

	for i, n := range s.urgency {
		if n == 0 && urgency(i) != failing {
			continue
		}

		only := c
		only.view = i + 1
		only.reason = ""

		m.raw(`<a href="`)
		m.text(only.address())
		m.raw(`" class="`, views[i].name)

		if n == 0 {
			m.raw(` none`)
		}

		m.raw(`"`)
		m.current(c.view == i+1)
		m.raw(`><b>`)
		m.number(uint64(n))
		m.raw(`</b> `, views[i].title, `</a>`)
	}

	m.raw(`</nav>`)

	if len(s.reasons) > 0 {
		m.reasons(s.reasons, c)
	}
}

// reasons writes why tenants fail, each a link to the tenants that fail for that reason.
func (m *markup) reasons(list []reasonCount, c choice) {
	m.raw(`<nav class="reasons" aria-label="Why tenants fail">`)

	for _, one := range list {
		only := c
		only.view = 0

		only.reason = one.reason
		if c.reason == one.reason {
			only.reason = "" // a second click shows all again
		}

		m.raw(`<a href="`)
		m.text(only.address())
		m.raw(`"`)
		m.current(c.reason == one.reason)
		m.raw(`>`)
		m.text(reasonTitle(one.reason))
		m.raw(` <b>`)
		m.number(uint64(one.n))
		m.raw(`</b></a>`)
	}

	m.raw(`</nav>`)
}

// current marks the link of what is shown.
func (m *markup) current(is bool) {
	if is {
		m.raw(` aria-current="true"`)
	}
}

// filter writes the field to search in, as a form: it works without the script.
func (m *markup) filter(c choice) {
	m.raw(`<form id="filter" role="search" action="/"><label for="q">Filter</label>`,
		`<input id="q" name="q" type="search" autocomplete="off" spellcheck="false" `,
		`placeholder="name, id, API or what is wrong" value="`)
	m.text(c.words)
	m.raw(`"><button>Apply</button></form>`)
}

// result writes how many tenants are shown, and how to see all of them.
func (m *markup) result(shown, all int, c choice) {
	m.raw(`<p class="result" id="result">`)

	switch {
	case shown > mostRows:
		m.raw(`The first `, grouped(mostRows), ` of `, grouped(uint64(shown)), `: filter to see others. `)
	case shown < all:
		m.raw(grouped(uint64(shown)), ` of `, grouped(uint64(all)), ` shown. `)
	}

	if c != (choice{}) {
		m.raw(`<a href="/" id="reset">Show all, what needs attention first</a>`)
	}

	m.raw(`</p>`)
}

// columns are those of the table; one without an order cannot be sorted by.
var columns = []struct{ title, order, class string }{
	{"Tenant", "tenant", "tenant"},
	{"State", "state", "state"},
	{"Last alert", "alert", "last"},
	{"Lag", "lag", "lag"},
	{"Alerts, 24 h", "alerts", "chart"},
	{"What is wrong, and what to do", "", "problem"},
	{"Sign-in ends", "ends", "ends"},
}

// table writes the table of tenants.
func (m *markup) table(rows []row, now time.Time, c choice) {
	m.raw(`<table id="tenants"><caption class="unseen">Tenants, each API of a tenant in a row</caption><thead><tr>`)

	for _, col := range columns {
		m.columnHead(col.title, col.order, col.class, c)
	}

	m.raw(`</tr></thead><tbody>`)

	for i := range rows {
		m.row(&rows[i], now)
	}

	if len(rows) == 0 {
		m.raw(
			`<tr id="none"><td class="empty" colspan="`,
			strconv.Itoa(len(columns)),
			`">No tenant matches.</td></tr>`,
		)
	}

	m.raw(`</tbody></table>`)
}

// columnHead writes the head of a column.
func (m *markup) columnHead(title, order, class string, c choice) {
	m.raw(`<th scope="col" class="`, class, `"`)

	if order == "" {
		m.raw(`>`, title, `</th>`)
		return
	}

	switch {
	case c.order == order && c.reverse:
		m.raw(` aria-sort="descending"`)
	case c.order == order:
		m.raw(` aria-sort="ascending"`)
	}

	m.raw(`><a href="`)
	m.text(c.sortedBy(order).address())
	m.raw(`" data-sort="`, order, `">`, title, `</a></th>`)
}

// row writes the row of a unit. Its id stays the same as long as the unit does.
func (m *markup) row(r *row, now time.Time) {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%q", r.Key)))
	m.raw(`<tr id="u`, base64.RawURLEncoding.EncodeToString(sum[:9]), `" class="`, views[r.urgency].name,
		`" data-name="`)
	m.text(r.name)
	m.raw(`"><th scope="row" class="tenant"><span class="name">`)
	m.text(r.name)
	m.raw(`</span> <span class="minor">`)
	m.text(string(r.Key.API))

	if r.Key.StateID != "" {
		m.raw(` / `)
		m.text(r.Key.StateID)
	}

	if id := string(r.Key.TenantID); id != r.Status.TenantName {
		m.raw(` <span class="id">`)
		m.text(id)
		m.raw(`</span>`)
	}

	m.raw(`</span></th><td class="state" data-label="State"><span class="badge">`, stateTitle(r),
		`</span> <span class="minor">`)

	if r.urgency < soon && !r.unowned() {
		m.since(r.Status.Since, now)
	}

	m.raw(`</span>`)
	m.holder(r, now)
	m.raw(`</td><td class="last" data-label="Last alert">`)
	m.ago(r.Status.LastAlert, now)
	m.raw(`</td><td class="lag" data-label="Lag">`, span(time.Duration(r.Status.LagSeconds*float64(time.Second))),
		`</td><td class="chart" data-label="Alerts, 24 h">`)
	m.chart(r, now)
	m.raw(`</td><td class="problem" data-label="What is wrong">`)
	m.problem(r)
	m.raw(`</td><td class="ends" data-label="Sign-in ends">`)
	m.end(r.ends, now)
	m.raw(`</td></tr>`)
}

// holder writes which node polls a unit, where several share the store.
func (m *markup) holder(r *row, now time.Time) {
	if !r.Shared {
		return
	}

	if r.Holder.Node == "" {
		m.raw(` <span class="minor node">held by nobody</span>`)
		return
	}

	m.raw(` <span class="minor node">on `)
	m.text(r.Holder.Node)
	m.raw(`, lease `)
	m.moment(r.Holder.Renewed)
	m.raw(span(now.Sub(r.Holder.Renewed)), ` old</time></span>`)
}

// stateTitle returns a state as the page names it.
func stateTitle(r *row) string {
	if r.unowned() {
		return "no node"
	}

	if r.urgency == soon {
		return "look soon"
	}

	return views[r.urgency].title
}

// problem writes what is wrong, and what to do.
func (m *markup) problem(r *row) {
	p := r.problem
	if p.Message == "" {
		return
	}

	if p.Reason != "" {
		m.raw(`<b>`)
		m.text(reasonTitle(p.Reason))
		m.raw(`:</b> `)
	}

	m.prose(p.Message)

	if p.Remedy != "" {
		m.raw(`<span class="remedy"><span class="unseen">What to do: </span>`)
		m.prose(p.Remedy)
		m.raw(`</span>`)
	}

	if p.Trace != "" {
		m.raw(`<span class="minor trace">`)
		m.text(p.Trace)
		m.raw(`</span>`)
	}
}

// prose writes a sentence in which names of keys stand between grave accents.
func (m *markup) prose(s string) {
	parts := strings.Split(plain.Text(s, mostText), "`")
	for i, part := range parts {
		name := i%2 == 1 && i < len(parts)-1

		switch {
		case name:
			m.raw(`<code>`, escapes.Replace(part), `</code>`)
		case i%2 == 1: // an accent without another one
			m.raw("`", escapes.Replace(part))
		default:
			m.raw(escapes.Replace(part))
		}
	}
}

// The chart of alerts, in its own units.
const (
	barWidth    = 4
	chartWidth  = health.HoursShown * barWidth
	chartHeight = 20
)

// chart writes the alerts of the last hours as bars, the highest as high as the chart.
func (m *markup) chart(r *row, now time.Time) {
	most := uint32(0)
	for _, n := range r.hours {
		most = max(most, n)
	}

	m.raw(`<span class="sum">`)
	m.number(r.alerts)
	m.raw(`</span>`)

	if most == 0 {
		return
	}

	m.raw(`<svg viewBox="0 0 `, strconv.Itoa(chartWidth), ` `, strconv.Itoa(chartHeight), `" role="img"><title>`,
		chartTitle(r, most, now), `</title><path d="`)

	for i, n := range r.hours {
		if n == 0 {
			continue
		}

		height := max(2, int(uint64(n)*chartHeight/uint64(most)))
		m.raw(`M`, strconv.Itoa(i*barWidth), ` `, strconv.Itoa(chartHeight), `v-`, strconv.Itoa(height), `h`,
			strconv.Itoa(barWidth-1), `v`, strconv.Itoa(height), `z`)
	}

	m.raw(`"/></svg>`)
}

// chartTitle says in words what a chart shows.
func chartTitle(r *row, most uint32, now time.Time) string {
	peak := 0

	for i, n := range r.hours {
		if n == most {
			peak = i
		}
	}

	from := now.UTC().Truncate(time.Hour).Add(-time.Duration(health.HoursShown-1-peak) * time.Hour)

	return fmt.Sprintf("%s %s in 24 hours, %s in this hour; most, %s, from %s to %s UTC", grouped(r.alerts),
		plural(int(min(r.alerts, 2)), "alert", "alerts"), grouped(uint64(r.hours[health.HoursShown-1])),
		grouped(uint64(most)), from.Format("15:04"), from.Add(time.Hour).Format("15:04"))
}

// end writes what ends first.
func (m *markup) end(e ending, now time.Time) {
	if e.what == "" {
		m.raw(`–`)
		return
	}

	if e.soon {
		m.raw(`<span class="soon">`)
	} else {
		m.raw(`<span>`)
	}

	m.moment(e.at)

	if left := e.at.Sub(now); left > 0 {
		m.raw(`in `, span(left))
	} else {
		m.raw(`ended`)
	}

	m.raw(`</time></span> <span class="minor">`, e.what, `</span>`)
}

// moment begins an element for a time, which the caller ends.
func (m *markup) moment(t time.Time) {
	m.raw(`<time datetime="`, t.UTC().Format(time.RFC3339), `" title="`, t.UTC().Format("2006-01-02 15:04:05"),
		` UTC">`)
}

// ago writes how long ago something happened.
func (m *markup) ago(t, now time.Time) {
	if t.IsZero() {
		m.raw(`never`)
		return
	}

	m.moment(t)
	m.raw(span(now.Sub(t)), ` ago</time>`)
}

// since writes for how long something has been so.
func (m *markup) since(t, now time.Time) {
	if t.IsZero() {
		return
	}

	m.raw(`for `)
	m.moment(t)
	m.raw(span(now.Sub(t)), `</time>`)
}

// span returns a duration in its largest unit: "42 s", "5 min", "3 h", "12 d".
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}

	return strconv.Itoa(int(d.Hours()/24)) + " d"
}

// plural returns one of two words.
func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}

	return many
}

// reasonTitles has the reasons that are not their own name in words.
var reasonTitles = map[advice.Reason]string{
	advice.GDAPEnded:   "GDAP ended",
	advice.MFARequired: "MFA required",
	advice.ChainDead:   "Provider's sign-in ended",
	advice.TokenDead:   "Sign-in ended",
	advice.NotLicensed: "No licence",
	advice.BadAnswer:   "Unusable answer",
	advice.Store:       "Store",
	advice.Blocked:     "Fluent Bit takes nothing",
	advice.Budget:      "Call budget used up",
	advice.Internal:    "Fault of the plugin",
}

// reasonTitle returns a reason as the page names it.
func reasonTitle(r advice.Reason) string {
	if title := reasonTitles[r]; title != "" || r == "" {
		return title
	}

	words := strings.ReplaceAll(string(r), "_", " ")

	return strings.ToUpper(words[:1]) + words[1:]
}
