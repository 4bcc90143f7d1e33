package simulator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"fluent-bit-defender/internal/tick"
)

// tenant is the state of one tenant. Its settings are guarded by the simulator's lock,
// its alerts by its own.
type tenant struct {
	sim *Simulator
	Tenant
	number int
	gone   bool

	mu           sync.Mutex
	alerts       map[string]*alertState
	order        []*alertState
	incidents    map[int64][]*alertState
	views        map[string]*view
	lastIncident int64
}

// alertState is the history of one alert, oldest version first.
type alertState struct {
	versions []version
	// parts says how many detections the SIEM view has made rows of.
	parts int
}

// version is an alert as it is listed from a moment on, in true time.
type version struct {
	Alert
	listed time.Time
}

// row is one version of an alert as one API sends it. It does not change, apart from
// next, gone, masked and the ledger.
type row struct {
	identity, version string
	updated, created  tick.Tick
	listed            time.Time
	// next is the version that replaces this one once it is listed.
	next *row
	// gone says that another row replaced it before or at the moment when it would have
	// been listed.
	gone bool
	// full is the row itself.
	full []byte
	// cut is where that begins which is last and is left out without $expand, and short
	// what is written instead; 0 if nothing is ever left out.
	cut   int
	short []byte
	// masked is the row for clients that do not know newer enumeration members, and
	// mask makes it; both nil if it is the same.
	masked []byte
	mask   func() []byte
	ledger served
}

// key returns the row's key in a Ledger.
func (r *row) key() string { return r.identity + "\n" + r.version }

// listedAt reports whether the row is listed at a moment, in true time.
func (r *row) listedAt(now time.Time) bool {
	return !r.gone && !r.listed.After(now) && (r.next == nil || r.next.listed.After(now))
}

// view is a tenant's alerts as one API shows them.
type view struct {
	api  string
	rows []*row
	// latest is the newest row of each alert, history the rows of each incident.
	latest  map[string]*row
	history map[int64][]*row
	// byUpdated and byCreated are the rows in ascending order, sorted when needed.
	byUpdated, byCreated []*row
	sorted               bool
}

func newTenant(s *Simulator, t Tenant, number int) *tenant {
	t.ID, t.Domain = strings.ToLower(t.ID), strings.ToLower(t.Domain)
	if t.User == "" {
		t.User = "soc@" + cmp.Or(t.Domain, t.ID)
	}

	return &tenant{
		sim:          s,
		Tenant:       t,
		number:       number,
		alerts:       map[string]*alertState{},
		incidents:    map[int64][]*alertState{},
		views:        map[string]*view{},
		lastIncident: int64(1000 + 100000*number),
	}
}

// add completes an alert and adds it. The caller holds the tenant's lock. listedFrom is
// the earliest moment it can be listed.
func (t *tenant) add(a Alert, listedFrom time.Time, skew time.Duration) string {
	if a.Created.IsZero() {
		a.Created = listedFrom
	}

	if a.Updated.IsZero() {
		a.Updated = a.Created
	}

	if a.ID == "" {
		r := random(t.sim.cfg.Seed, "id", t.ID, len(t.order))
		a.ID = alertID(a.Created, int32(r.Uint32()))
	}

	if a.IncidentID == 0 {
		t.lastIncident++
		a.IncidentID = t.lastIncident
	}

	complete(&a, t.sim.cfg.Seed, t.ID)

	v := version{Alert: a, listed: laterOf(cmp.Or(a.VisibleAt, a.Updated), listedFrom)}
	for i := range v.Detections {
		v.Detections[i].VisibleAt = laterOf(
			cmp.Or(v.Detections[i].VisibleAt, a.VisibleAt, v.Detections[i].LastProcessed),
			listedFrom,
		)
	}

	v.Created = v.Created.Add(skew)
	v.shift(skew, 0)

	if old := t.alerts[a.ID]; old != nil { // adding an alert again is an update
		t.push(old, v)
		return a.ID
	}

	state := &alertState{versions: []version{v}}
	t.alerts[a.ID] = state
	t.order = append(t.order, state)

	t.incidents[a.IncidentID] = append(t.incidents[a.IncidentID], state)
	for _, w := range t.views {
		t.show(w, state)
	}

	return a.ID
}

// update makes a new version of an alert. The caller holds the tenant's lock.
func (t *tenant) update(id string, at, listedFrom time.Time, skew time.Duration, mutate func(*Alert)) error {
	state := t.alerts[id]
	if state == nil {
		return fmt.Errorf("simulator: tenant %s has no alert %s", t.ID, id)
	}

	newest := &state.versions[len(state.versions)-1]
	v := version{Alert: newest.Alert}
	v.Detections, v.Evidence = slices.Clone(v.Detections), slices.Clone(v.Evidence)
	v.Comments, v.Techniques = slices.Clone(v.Comments), slices.Clone(v.Techniques)
	old, incident := len(v.Detections), v.IncidentID
	v.VisibleAt = time.Time{}

	v.Updated = at
	if mutate != nil {
		mutate(&v.Alert)
	}

	v.ID, v.IncidentID = newest.ID, incident
	if len(v.Detections) < old {
		v.Detections = newest.Detections
	}

	complete(&v.Alert, t.sim.cfg.Seed, t.ID)

	v.listed = laterOf(laterOf(cmp.Or(v.VisibleAt, at), listedFrom), newest.listed)
	for i := old; i < len(v.Detections); i++ {
		d := &v.Detections[i]
		d.VisibleAt = laterOf(cmp.Or(d.VisibleAt, v.VisibleAt, d.LastProcessed), listedFrom)
	}

	v.shift(skew, old)
	t.push(state, v)

	return nil
}

// push adds a version to an alert.
func (t *tenant) push(state *alertState, v version) {
	state.versions = append(state.versions, v)
	for _, w := range t.views {
		t.show(w, state)
	}
}

// shift moves the update times that the service stored by the error of its clock.
func (v *version) shift(by time.Duration, firstPart int) {
	v.Updated = v.Updated.Add(by)
	for i := firstPart; i < len(v.Detections); i++ {
		d := &v.Detections[i]
		d.AlertTime, d.LastProcessed = d.AlertTime.Add(by), d.LastProcessed.Add(by)
	}
}

// complete fills in the fields that every alert has.
func complete(a *Alert, seed uint64, tenantID string) {
	a.Title = cmp.Or(a.Title, "Suspicious activity")
	a.Category = cmp.Or(a.Category, "SuspiciousActivity")
	a.Severity = cmp.Or(a.Severity, "Medium")
	a.Status = cmp.Or(a.Status, "New")
	a.ServiceSource = cmp.Or(a.ServiceSource, "microsoftDefenderForEndpoint")
	a.DetectionSource = cmp.Or(a.DetectionSource, "microsoftDefenderForEndpoint")
	a.Machine = cmp.Or(a.Machine, "wks-0001.corp.example")

	a.Detections = slices.Clone(a.Detections)
	if len(a.Detections) == 0 {
		a.Detections = []Detection{{LastProcessed: a.Updated}}
	}

	for i := range a.Detections {
		d := &a.Detections[i]
		if d.AlertTime.IsZero() {
			d.AlertTime = a.Created
		}

		if d.LastProcessed.IsZero() {
			d.LastProcessed = a.Updated
		}

		if d.IocUniqueID == "" {
			d.IocUniqueID = base64Text(random(seed, "ioc", tenantID, a.ID, i), 32)
		}

		if d.ReportID == 0 {
			d.ReportID = 1_000_000_000 + int64(random(seed, "report", tenantID, a.ID, i).Uint32())
		}
	}
}

// laterOf returns the later of two times.
func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}

	return b
}

// alertID returns an alert's id: .NET ticks of its creation (100 ns since the year 1)
// and a signed 32-bit number.
func alertID(created time.Time, n int32) string {
	const year1 = 621_355_968_000_000_000
	return fmt.Sprintf("da%d_%d", year1+int64(tick.FromTime(created)), n)
}
