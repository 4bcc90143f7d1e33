package measure

import (
	"cmp"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// StaleAfter is the age from which on a unit's status is stale. Inputs and nodes write it
// every few seconds, so nobody polls the unit any more.
const StaleAfter = 30 * time.Second

// Document is the JSON form of a unit that `defenderctl status --json` and /api/status
// have in common.
type Document struct {
	TenantID  string       `json:"tenant_id"`
	Tenant    string       `json:"tenant"`
	API       string       `json:"api"`
	StateID   string       `json:"state_id"`
	LoginHost string       `json:"login_host"`
	ClientID  string       `json:"client_id"`
	State     health.State `json:"state"`
	Reason    string       `json:"reason,omitempty"`
	Message   string       `json:"message,omitempty"`
	Remedy    string       `json:"remedy,omitempty"`
	Trace     string       `json:"trace,omitempty"`

	Since        *string `json:"since"`
	LastSuccess  *string `json:"last_success"`
	LastAlert    *string `json:"last_alert"`
	LagSeconds   float64 `json:"lag_seconds"`
	Emitted      uint64  `json:"emitted"`
	Repeats      uint64  `json:"repeats"`
	Deferred     int     `json:"deferred"`
	Errors       uint64  `json:"errors"`
	Polls        uint64  `json:"polls"`
	TokenExpires *string `json:"token_expires"`
	Interval     float64 `json:"effective_interval_seconds"`
	UpdatedAt    *string `json:"updated_at"`

	// Node is the node that holds the unit, and LeaseAge how long ago that node renewed
	// its lease. Both are null if no node holds it, and if the store is in files of one
	// machine. Unowned says that no live node holds it.
	Node     *string  `json:"node"`
	LeaseAge *float64 `json:"lease_age_seconds"`
	Unowned  bool     `json:"unowned"`
}

// DocumentOf returns the document of a unit with what its status says. The caller adds
// the holder and the end of the refresh token, which the status does not have.
func DocumentOf(key alert.UnitKey, s *store.Status) Document {
	d := Document{
		TenantID:    string(key.TenantID),
		Tenant:      cmp.Or(s.TenantName, string(key.TenantID)),
		API:         string(key.API),
		StateID:     key.StateID,
		LoginHost:   key.LoginHost,
		ClientID:    string(s.ClientID),
		State:       s.State,
		Since:       Moment(s.Since),
		LastSuccess: Moment(s.LastSuccess),
		LastAlert:   Moment(s.LastAlert),
		LagSeconds:  s.LagSeconds,
		Emitted:     s.Emitted,
		Repeats:     s.Repeats,
		Deferred:    s.Deferred,
		Errors:      s.Errors,
		Polls:       s.Polls,
		Interval:    s.EffectiveInterval.Seconds(),
		UpdatedAt:   Moment(s.UpdatedAt),
	}
	d.SetTrouble(s.Trouble)

	return d
}

// SetTrouble sets what is wrong, in the place of what the status says.
func (d *Document) SetTrouble(t health.Trouble) {
	d.Reason, d.Message, d.Remedy, d.Trace = string(t.Reason), t.Message, t.Remedy, t.Trace
}

// SetHolder sets which node holds the unit, and how long ago that node renewed its lease.
// An empty node means that no node holds it.
func (d *Document) SetHolder(node string, age time.Duration) {
	if node == "" {
		return
	}

	seconds := age.Seconds()
	d.Node, d.LeaseAge = &node, &seconds
}

// Moment returns a time as the document has it: RFC 3339 in UTC. For the zero time it
// returns nil, which becomes null.
func Moment(t time.Time) *string {
	if t.IsZero() {
		return nil
	}

	text := t.UTC().Format(time.RFC3339)

	return &text
}
