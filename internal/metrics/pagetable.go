package metrics

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
)

// columns are the columns of the table. The table cannot be sorted by one without an
// order.
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

// row writes the row of a unit. The id of the row depends on the unit only, so that the
// script finds it again.
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

// stateTitle returns the title of a row's state on the page.
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

// prose writes a sentence in which names of keys are between grave accents.
func (m *markup) prose(s string) {
	parts := strings.Split(plain.Text(s, maxText), "`")
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

// chartTitle returns in words what a chart shows.
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
