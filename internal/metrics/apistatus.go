package metrics

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/version"
)

// statusDocument is the body of /api/status: what the page shows, for programs. The keys
// of a tenant are those of `defenderctl status --json`, as far as that has them.
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
	// Nodes has what this process is where several nodes share a store; else it is empty.
	Nodes []statusNode `json:"nodes"`
	// Discovery is null where no input discovers customers.
	Discovery   *statusDiscovery `json:"discovery"`
	StoreErrors uint64           `json:"store_errors"`
	// Notices are what is wrong with the inputs as a whole.
	Notices []statusNotice `json:"notices"`
}

// statusDiscovery is how the lists of customers come in, of all inputs the worst.
type statusDiscovery struct {
	Failed      bool    `json:"failed"`
	LastSuccess *string `json:"last_success"`
}

// statusNode is what this process is on a store that several nodes share.
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
	TenantID  string       `json:"tenant_id"`
	Tenant    string       `json:"tenant"`
	API       string       `json:"api"`
	StateID   string       `json:"state_id"`
	LoginHost string       `json:"login_host"`
	ClientID  string       `json:"client_id"`
	State     health.State `json:"state"`
	Attention bool         `json:"attention"` // a person has to look at it now or soon
	Reason    string       `json:"reason,omitempty"`
	Message   string       `json:"message,omitempty"`
	Remedy    string       `json:"remedy,omitempty"`
	Trace     string       `json:"trace,omitempty"`

	Since       *string `json:"since"`
	LastSuccess *string `json:"last_success"`
	LastAlert   *string `json:"last_alert"`
	LagSeconds  float64 `json:"lag_seconds"`

	AlertsByHour [health.HoursShown]uint32 `json:"alerts_by_hour"` // of UTC, oldest first
	Alerts24h    uint64                    `json:"alerts_24h"`

	Emitted  uint64  `json:"emitted"`
	Repeats  uint64  `json:"repeats"`
	Deferred int     `json:"deferred"`
	Errors   uint64  `json:"errors"`
	Polls    uint64  `json:"polls"`
	Interval float64 `json:"effective_interval_seconds"`

	TokenExpires      *string `json:"token_expires"`
	CredentialExpires *string `json:"credential_expires"`
	GDAPEnds          *string `json:"gdap_ends"`
	UpdatedAt         *string `json:"updated_at"`

	// Node is the node that holds it, and LeaseAge how long ago that renewed its lease;
	// null where nobody holds it, and where no nodes share the store. Unowned says that
	// no live node holds it.
	Node     *string  `json:"node"`
	LeaseAge *float64 `json:"lease_age_seconds"`
	Unowned  bool     `json:"unowned"`
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
		d.Input.Discovery = &statusDiscovery{found.Failed, moment(found.Listed)}
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

// document returns a row for programs.
func (r *row) document(now time.Time) statusTenant {
	s := &r.Status

	var (
		node *string
		age  *float64
	)

	if id := r.Holder.Node; id != "" {
		seconds := now.Sub(r.Holder.Renewed).Seconds()
		node, age = &id, &seconds
	}

	return statusTenant{
		TenantID:          string(r.Key.TenantID),
		Tenant:            r.name,
		API:               string(r.Key.API),
		StateID:           r.Key.StateID,
		LoginHost:         r.Key.LoginHost,
		ClientID:          string(s.ClientID),
		State:             s.State,
		Attention:         r.urgency <= soon,
		Reason:            string(r.problem.Reason),
		Message:           r.problem.Message,
		Remedy:            r.problem.Remedy,
		Trace:             r.problem.Trace,
		Since:             moment(s.Since),
		LastSuccess:       moment(s.LastSuccess),
		LastAlert:         moment(s.LastAlert),
		LagSeconds:        s.LagSeconds,
		AlertsByHour:      r.hours,
		Alerts24h:         r.alerts,
		Emitted:           s.Emitted,
		Repeats:           s.Repeats,
		Deferred:          s.Deferred,
		Errors:            s.Errors,
		Polls:             s.Polls,
		Interval:          s.EffectiveInterval.Seconds(),
		TokenExpires:      moment(r.Ends.RefreshToken),
		CredentialExpires: moment(r.Ends.Credential),
		GDAPEnds:          moment(r.Ends.Relationship),
		UpdatedAt:         moment(s.UpdatedAt),
		Node:              node,
		LeaseAge:          age,
		Unowned:           r.unowned(),
	}
}

// moment returns a time as JSON has it; nil, which becomes null, for none.
func moment(t time.Time) *string {
	if t.IsZero() {
		return nil
	}

	text := t.UTC().Format(time.RFC3339)

	return &text
}
