package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/tick"
)

// comparedAlert is an alert as one API lists it.
type comparedAlert struct {
	ID       string `json:"alert_id"`
	Created  string `json:"created,omitempty"`
	Severity string `json:"severity,omitempty"`
	Source   string `json:"source,omitempty"`
	Title    string `json:"title,omitempty"`

	created tick.Tick // 0 if it is not known
}

// comparedSide collects what one API lists. It is the writer that a pull prints to.
type comparedSide struct {
	tenantID, tenant string
	facts            *alert.Descriptor
	alerts           map[string]comparedAlert
}

func newComparedSide(t *config.Tenant) (*comparedSide, error) {
	facts, err := t.API.Descriptor()
	if err != nil {
		return nil, err
	}

	return &comparedSide{
		tenantID: string(t.TenantID),
		tenant:   t.TenantName,
		facts:    facts,
		alerts:   map[string]comparedAlert{},
	}, nil
}

// Write takes one record, as a line of JSON.
func (s *comparedSide) Write(line []byte) (int, error) {
	row := gjson.ParseBytes(line)
	if s.facts.Row.Alerts == "" {
		s.add(row)
		return len(line), nil
	}

	row.Get(s.facts.Row.Alerts).ForEach(func(_, inner gjson.Result) bool {
		s.add(inner)
		return true
	})

	return len(line), nil
}

// add records an alert. Of several versions the last one counts.
func (s *comparedSide) add(row gjson.Result) {
	names := s.facts.Alert

	id := row.Get(names.ID).String()
	if id == "" {
		return
	}

	created := row.Get(names.Created).String()
	at, _ := tick.Parse(created) // what is not a time is 0

	s.alerts[id] = comparedAlert{
		ID:       id,
		Created:  created,
		Severity: row.Get(names.Severity).String(),
		Source:   row.Get(names.Source).String(),
		Title:    row.Get(names.Title).String(),
		created:  at,
	}
}

// comparison is what two APIs list of a tenant.
type comparison struct {
	TenantID string    `json:"tenant_id"`
	Tenant   string    `json:"tenant"`
	From     alert.API `json:"from"`
	To       alert.API `json:"to"`
	// Since and Until bound the times of creation that count.
	Since string `json:"since"`
	Until string `json:"until"`
	// FromAlerts, ToAlerts and Both are numbers of alerts.
	FromAlerts int `json:"from_alerts"`
	ToAlerts   int `json:"to_alerts"`
	Both       int `json:"both"`
	// OnlyFrom and OnlyTo are the alerts that one API lists and the other does not,
	// oldest first.
	OnlyFrom []comparedAlert `json:"only_from"`
	OnlyTo   []comparedAlert `json:"only_to"`

	sides        [2]*comparedSide
	since, until tick.Tick
}

// compare fills in the result from what both sides list.
func (r *comparison) compare() {
	from, to := r.sides[0], r.sides[1]
	r.TenantID, r.Tenant = from.tenantID, from.tenant
	r.From, r.To = from.facts.API, to.facts.API
	r.Since, r.Until = r.since.Text(), r.until.Text()
	r.FromAlerts, r.Both, r.OnlyFrom = r.without(from, to)
	r.ToAlerts, _, r.OnlyTo = r.without(to, from)
}

// without counts the alerts of a side that were created within the window, those of them
// that the other side lists too, and returns the rest. An alert without a time counts.
func (r *comparison) without(side, other *comparedSide) (all, both int, only []comparedAlert) {
	only = []comparedAlert{}

	for id, a := range side.alerts {
		if a.created != 0 && (a.created < r.since || a.created >= r.until) {
			continue
		}

		all++

		if _, listed := other.alerts[id]; listed {
			both++
		} else {
			only = append(only, a)
		}
	}

	slices.SortFunc(only, func(a, b comparedAlert) int {
		return cmp.Or(cmp.Compare(a.created, b.created), strings.Compare(a.ID, b.ID))
	})

	return all, both, only
}

// maxListed is how many alerts of one API are printed without --json.
const maxListed = 20

// print writes the result for people.
func (r *comparison) print(w io.Writer) error {
	var b strings.Builder

	fmt.Fprintf(&b, "%s: alerts created from %s to %s\n\n", label(r.Tenant, r.TenantID),
		r.since.Time().Format(time.RFC3339), r.until.Time().Format(time.RFC3339))
	fmt.Fprintf(&b, "%-24s %d\n", r.From, r.FromAlerts)
	fmt.Fprintf(&b, "%-24s %d\n", r.To, r.ToAlerts)
	fmt.Fprintf(&b, "%-24s %d\n", "both", r.Both)
	only(&b, r.From, r.OnlyFrom)
	only(&b, r.To, r.OnlyTo)

	_, err := io.WriteString(w, b.String())

	return err
}

// only writes which alerts only one API lists: how many of each source, and the first
// maxListed of them.
func only(b *strings.Builder, api alert.API, list []comparedAlert) {
	fmt.Fprintf(b, "%-24s %d\n", "only "+string(api), len(list))

	sources := map[string]int{}
	for _, a := range list {
		sources[cmp.Or(a.Source, "no source")]++
	}

	for _, name := range slices.Sorted(maps.Keys(sources)) {
		fmt.Fprintf(b, "  of %s: %d\n", plain.Text(name, 64), sources[name])
	}

	for i, a := range list {
		if i == maxListed {
			fmt.Fprintf(b, "  … and %d more; --json prints all\n", len(list)-i)
			return
		}

		fmt.Fprintf(b, "  %s  %s  %s  %s\n",
			plain.Text(a.ID, 64), plain.Text(a.Created, 40), plain.Text(a.Severity, 16), plain.Text(a.Title, 80))
	}
}
