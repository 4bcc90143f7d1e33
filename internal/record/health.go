package record

import (
	"math"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/record/msgpack"
	"fluent-bit-defender/internal/tick"
)

// Health is the state of a tenant at one moment.
type Health struct {
	health.Trouble
	State       health.State
	LastSuccess time.Time // end of the last complete poll; zero when there was none
	LagSeconds  float64   // age of the watermark
	// RelationshipEnd is when the relationship with the customer ends (GDAP); zero if
	// that is not known. The record has no key for it then.
	RelationshipEnd time.Time
	At              time.Time // the moment; the event's time
}

// status returns the value of the record's key status. A tenant whose first poll has not
// ended yet is "ok".
func (h Health) status() string {
	if h.State.Good() {
		return string(health.OK)
	}

	return string(h.State)
}

// healthKeys is how many keys every health record has.
const healthKeys = 8

// sentence returns message and remedy in one text.
func (h Health) sentence() string {
	if h.Message == "" || h.Remedy == "" {
		return h.Message + h.Remedy
	}

	return h.Message + "; " + h.Remedy
}

// Health appends a record of kind "health". last_success is RFC 3339 in UTC, or null if
// there was none; relationship_end is left out if it is not known. The record_id is made
// from the tenant, the API and the moment.
func (e *Encoder) Health(dst []byte, h Health) []byte {
	e.prepare()

	at := tick.FromTime(h.At)
	id := alert.HealthID(e.opt.TenantID, e.opt.API, at)
	start := len(dst)
	dst = begin(dst, e.health, at, &id)
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "status"), h.status())
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "reason"), string(h.Reason))
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "message"), strings.ToValidUTF8(h.Message, "\uFFFD"))
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "remedy"), strings.ToValidUTF8(h.Remedy, "\uFFFD"))
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "trace"), strings.ToValidUTF8(h.Trace, "\uFFFD"))

	dst = msgpack.AppendStr(dst, "last_success")
	if h.LastSuccess.IsZero() {
		dst = append(dst, msgpack.Nil)
	} else {
		dst = msgpack.AppendStr(dst, h.LastSuccess.UTC().Format(time.RFC3339Nano))
	}

	dst = msgpack.AppendDouble(msgpack.AppendStr(dst, "lag_seconds"), finite(h.LagSeconds))
	keys := healthKeys

	if !h.RelationshipEnd.IsZero() {
		end := h.RelationshipEnd.UTC().Format(time.RFC3339)
		dst = msgpack.AppendStr(msgpack.AppendStr(dst, "relationship_end"), end)
		keys++
	}

	if e.cef != nil {
		return appendCEF(dst, start+atRecord, keys, e.cef.health(h))
	}

	return setSize(dst, start+atRecord, keys)
}

// finite returns f, or 0 for an infinity or NaN, which JSON outputs cannot write.
func finite(f float64) float64 {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return 0
	}

	return f
}
