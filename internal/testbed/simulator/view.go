package simulator

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/tick"
)

// view returns the tenant's alerts as an API shows them; the caller holds the tenant's
// lock. Rows are made at first use and kept.
func (t *tenant) view(api string) *view {
	v := t.views[api]
	if v == nil {
		v = &view{api: api, latest: map[string]*row{}, history: map[int64][]*row{}}

		t.views[api] = v
		for _, a := range t.order {
			if listsIncidents(api) && t.incidents[a.versions[0].IncidentID][0] != a {
				continue // its incident was shown with its first alert
			}

			t.show(v, a)
		}
	}

	return v
}

// show brings a view up to date with an alert.
func (t *tenant) show(v *view, state *alertState) {
	switch a := dataAPIOf(v.api); {
	case a == nil:
		panic(fmt.Sprintf("simulator: dataAPIs has no row for the API %q", v.api))
	case a.alertRow != nil:
		t.showAlert(v, state, a.alertRow)
	case a.incidentRow != nil:
		t.showIncident(v, state.versions[0].IncidentID, a.incidentRow)
	default:
		t.showSIEM(v, state)
	}
}

func (t *tenant) showSIEM(v *view, state *alertState) {
	a := &state.versions[len(state.versions)-1]
	for ; state.parts < len(a.Detections); state.parts++ {
		d := a.Detections[state.parts]
		r := &row{updated: tick.FromTime(d.LastProcessed), created: tick.FromTime(d.AlertTime), listed: d.VisibleAt}
		d.LastProcessed = t.printed(SIEM, d.LastProcessed)
		r.full = replaced(&a.Alert, SIEM, func() []byte { return renderSIEM(&a.Alert, &d, state.parts) })
		v.put(r, nil)
	}
}

func (t *tenant) showAlert(v *view, state *alertState, render func(*tenant, *row, Alert)) {
	var before *row
	if n := len(state.versions); n > 1 {
		before = v.latest[state.versions[0].ID]
	}

	from := len(state.versions) - 1
	if before == nil {
		from = 0
	}

	for ; from < len(state.versions); from++ {
		a := state.versions[from]
		r := &row{updated: tick.FromTime(a.Updated), created: tick.FromTime(a.Created), listed: a.listed}

		render(t, r, a.Alert)

		v.put(r, before)
		v.latest[a.ID] = r
		before = r
	}
}

// showIncident makes the history of an incident anew from the histories of its alerts:
// at each moment at which one of them changes what is listed, the incident has the
// alerts listed then. Versions that were there before keep their rows.
func (t *tenant) showIncident(v *view, id int64, render func(*tenant, *row, incident)) {
	states := t.incidents[id]

	var moments []time.Time

	for _, s := range states {
		for i := range s.versions {
			moments = append(moments, s.versions[i].listed)
		}
	}

	slices.SortFunc(moments, time.Time.Compare)
	moments = slices.CompactFunc(moments, time.Time.Equal)

	old, history := v.history[id], make([]*row, 0, len(moments))
	for _, m := range moments {
		i := incidentAt(id, states, m)
		r := &row{updated: tick.FromTime(i.updated), created: tick.FromTime(i.created), listed: m}
		render(t, r, i)

		for _, o := range old {
			if o.listed.Equal(m) && bytes.Equal(o.full, r.full) {
				r = o
			}
		}

		history = append(history, r)
	}

	v.history[id] = history
	if len(old) > len(history) || !slices.Equal(old, history[:len(old)]) {
		for _, r := range old {
			r.gone = !slices.Contains(history, r)
		}
	}

	for i, r := range history {
		var before *row
		if i > 0 {
			before = history[i-1]
		}

		if r.next = nil; !slices.Contains(old, r) {
			v.put(r, before)
		} else if before != nil {
			before.next = r
		}
	}
}

// incidentAt returns an incident as it is listed at a moment.
func incidentAt(id int64, states []*alertState, at time.Time) incident {
	i := incident{id: id}

	for _, s := range states {
		for k := len(s.versions) - 1; k >= 0; k-- {
			if a := &s.versions[k]; !a.listed.After(at) {
				i.alerts = append(i.alerts, &a.Alert)

				i.updated = laterOf(i.updated, a.Updated)
				if i.created.IsZero() || a.Created.Before(i.created) {
					i.created = a.Created
				}

				break
			}
		}
	}

	i.first = i.alerts[0] // what comes to an incident later changes nothing of its name
	slices.SortFunc(i.alerts, byCreation)

	return i
}

// byCreation sorts the alerts of an incident.
func byCreation(a, b *Alert) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}

// put adds a row after the version that it follows.
func (v *view) put(r, before *row) {
	r.full = bytes.Clone(r.full) // frees unused capacity

	r.identity, r.version = describe(v.api, r.full)
	if before != nil {
		before.next = r
	}

	if n := len(v.rows); n > 0 && v.sorted && v.byUpdated[n-1].updated <= r.updated &&
		v.byCreated[n-1].created <= r.created {
		v.byUpdated, v.byCreated = append(v.byUpdated, r), append(v.byCreated, r)
	} else {
		v.sorted = false
	}

	v.rows = append(v.rows, r)
}

// sort updates the indexes.
func (v *view) sort() {
	if v.sorted {
		return
	}

	v.byUpdated, v.byCreated = slices.Clone(v.rows), slices.Clone(v.rows)
	slices.SortStableFunc(v.byUpdated, func(a, b *row) int { return cmp.Compare(a.updated, b.updated) })
	slices.SortStableFunc(v.byCreated, func(a, b *row) int { return cmp.Compare(a.created, b.created) })
	v.sorted = true
}

// printed rounds a time down to the precision that the API prints.
func (t *tenant) printed(api string, at time.Time) time.Time {
	if step := t.sim.cfg.PrintedStep[api]; step > 0 {
		return at.Truncate(step)
	}

	return at
}

// replaced returns the alert's own raw row if it has one.
func replaced(a *Alert, api string, render func() []byte) []byte {
	if raw := a.Raw[api]; raw != nil {
		return raw
	}

	return render()
}

// describe returns identity and version of a row, as docs/contract.md has them: what
// names the alert, and its update time in ticks; for an incident also the number of its
// alerts. It reads what is sent, so that replaced fields count.
func describe(api string, raw []byte) (identity, version string) {
	var (
		at    tick.Tick
		count string
	)

	switch a := dataAPIOf(api); {
	case a.list == nil:
		identity = detectionID(raw)
	case a.incidentRow != nil:
		identity = textAt(raw, a.identity)
		at, count = incidentVersion(raw, a.updated, a.alertUpdated)
	default:
		identity = textAt(raw, a.identity)
		at = timeAt(raw, a.updated)
	}

	switch {
	case identity == "":
		return sha256Hex(raw), ""
	case at == 0:
		return identity, ""
	}

	return identity, strconv.FormatInt(int64(at), 10) + count
}

// incidentVersion returns the greatest update time of an incident and its alerts, and the
// number of these behind ":".
func incidentVersion(raw []byte, updated, alertUpdated string) (at tick.Tick, count string) {
	at = timeAt(raw, updated)

	for _, r := range gjson.GetBytes(raw, "alerts.#."+alertUpdated).Array() {
		at = max(at, parseTime(r.String()))
	}

	return at, ":" + strconv.FormatInt(gjson.GetBytes(raw, "alerts.#").Int(), 10)
}

// detectionID returns the identity of a detection, "" if it has none.
func detectionID(raw []byte) string {
	if id := textAt(raw, "FullId"); id != "" {
		return id
	}

	id, part, processed := textAt(raw, "AlertId"), textAt(raw, "AlertPart"), textAt(raw, "LastProcessedTimeUtc")
	if id == "" || part == "" || processed == "" {
		return ""
	}

	return id + ":" + part + ":" + processed
}

// textAt returns a text or a number of a row, "" if there is none.
func textAt(raw []byte, path string) string {
	switch r := gjson.GetBytes(raw, path); r.Type {
	case gjson.String:
		return r.Str
	case gjson.Number:
		return r.Raw
	}

	return ""
}

// timeAt returns a time of a row, 0 if there is none.
func timeAt(raw []byte, path string) tick.Tick { return parseTime(textAt(raw, path)) }

// parseTime returns the time of a text, 0 if it is none.
func parseTime(text string) tick.Tick {
	t, err := tick.Parse(text)
	if err != nil {
		return 0
	}

	return t
}

// each goes through the rows with an identity.
func (v *view) each(identity string) func(yield func(*row) bool) {
	return func(yield func(*row) bool) {
		for _, r := range v.rows {
			if r.identity == identity && !yield(r) {
				return
			}
		}
	}
}
