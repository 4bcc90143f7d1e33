package metrics

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/version"
)

// statusDocument is the body of /api/status: what the page shows, for programs. A
// tenant has the keys of `defenderctl status --json`, and some more.
type statusDocument struct {
	Time    string         `json:"time"`
	Version string         `json:"version"`
	Summary statusSummary  `json:"summary"`
	Input   statusInput    `json:"input"`
	Tenants []statusTenant `json:"tenants"` // what needs attention first
}

// statusSummary counts the tenants, each API of a tenant for itself.
type statusSummary struct {
	Tenants int                  `json:"tenants"`
	States  map[health.State]int `json:"states"`
	Reasons map[string]int       `json:"reasons"`
}

// statusInput is about all inputs that the server shows.
type statusInput struct {
	BufferBytes         int  `json:"buffer_bytes"`
	QueueEvents         int  `json:"queue_events"`
	DeliveryBlocked     bool `json:"delivery_blocked"`
	TenantsFileRejected bool `json:"tenants_file_rejected"`
	// Nodes are the nodes that this process is, if several share a store; else it is
	// empty.
	Nodes []statusNode `json:"nodes"`
	// Discovery is null where no input discovers customers.
	Discovery   *statusDiscovery `json:"discovery"`
	StoreErrors uint64           `json:"store_errors"`
	// Notices are what is wrong with the inputs as a whole.
	Notices []statusNotice `json:"notices"`
}

// statusDiscovery says whether the lists of customers can be read; of several inputs
// the worst counts.
type statusDiscovery struct {
	Failed      bool    `json:"failed"`
	LastSuccess *string `json:"last_success"`
}

// statusNode is this process as one of the nodes that share a store.
type statusNode struct {
	NodeID   string  `json:"node_id"`
	Live     int     `json:"nodes_live"`
	LeaseAge float64 `json:"lease_age_seconds"`
	Held     int     `json:"units_held"`
	Wanted   int     `json:"units_wanted"`
	Unowned  int     `json:"units_unowned"`
}

// statusNotice is something that is wrong with an input as a whole.
type statusNotice struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// statusTenant is one tenant and API.
type statusTenant struct {
	measure.Document

	Attention bool `json:"attention"` // a person has to look at it now or soon

	AlertsByHour [health.HoursShown]uint32 `json:"alerts_by_hour"` // of UTC, oldest first
	Alerts24h    uint64                    `json:"alerts_24h"`

	CredentialExpires *string `json:"credential_expires"`
	GDAPEnds          *string `json:"gdap_ends"`
}

// serveStatus answers a request for the page's data.
func (v *server) serveStatus(w http.ResponseWriter, r *http.Request) {
	v.serve(w, r, "application/json", func(to io.Writer, s *snapshot) error {
		return json.NewEncoder(to).Encode(s.document())
	})
}

// document returns the body of /api/status.
func (s *snapshot) document() statusDocument {
	rows := s.rows()
	counted := summarize(rows)

	d := statusDocument{
		Time:    s.at.UTC().Format(time.RFC3339),
		Version: version.This().Version,
		Summary: statusSummary{
			Tenants: counted.all,
			States:  make(map[health.State]int),
			Reasons: make(map[string]int),
		},
		Input: statusInput{
			BufferBytes:         s.input.Bytes,
			QueueEvents:         s.input.Events,
			DeliveryBlocked:     s.input.Blocked,
			TenantsFileRejected: s.input.FileRejected,
			StoreErrors:         s.input.StoreErrors,
			Notices:             []statusNotice{},
			Nodes:               []statusNode{},
		},
		Tenants: make([]statusTenant, len(rows)),
	}

	if found := s.input.Discovery; found.On {
		d.Input.Discovery = &statusDiscovery{found.Failed, measure.Moment(found.Listed)}
	}

	for _, n := range s.input.Nodes {
		d.Input.Nodes = append(d.Input.Nodes, statusNode{
			NodeID:   n.ID,
			Live:     n.Live,
			LeaseAge: n.LeaseAge.Seconds(),
			Held:     n.Held,
			Wanted:   n.Wanted,
			Unowned:  n.Unowned,
		})
	}

	for _, n := range s.notices {
		d.Input.Notices = append(d.Input.Notices, statusNotice{string(n.Reason), n.Message, n.Remedy})
	}

	for _, c := range counted.reasons {
		d.Summary.Reasons[string(c.reason)] = c.n
	}

	for i := range rows {
		d.Summary.States[rows[i].Status.State]++
		d.Tenants[i] = rows[i].document(s.at)
	}

	return d
}

// document returns a row as it is in /api/status.
func (r *row) document(now time.Time) statusTenant {
	d := measure.DocumentOf(r.Key, &r.Status)
	d.Tenant = r.name
	d.TokenExpires = measure.Moment(r.Ends.RefreshToken)
	d.SetTrouble(r.problem)
	d.SetHolder(r.Holder.Node, now.Sub(r.Holder.Renewed))
	d.Unowned = r.unowned()

	return statusTenant{
		Document:          d,
		Attention:         r.urgency <= soon,
		AlertsByHour:      r.hours,
		Alerts24h:         r.alerts,
		CredentialExpires: measure.Moment(r.Ends.Credential),
		GDAPEnds:          measure.Moment(r.Ends.Relationship),
	}
}
