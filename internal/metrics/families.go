package metrics

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/version"
)

// family is a family of metrics. unit writes its samples for one unit, or whole those
// for everything that the server shows; one of the two is nil.
type family struct {
	name, help, kind string // the name without its prefix

	unit  func(e *exposition, u *measure.Unit, labels string)
	whole func(e *exposition, s *snapshot)
}

// The kinds of families.
const (
	gauge     = "gauge"
	total     = "counter"
	histogram = "histogram"
	summaries = "summary"
)

// one makes a family with one sample for each unit.
func one(name, help, kind string, read func(*measure.Unit) float64) family {
	return family{
		name: name,
		help: help,
		kind: kind,
		unit: func(e *exposition, u *measure.Unit, labels string) {
			e.sample(name, "", labels, "", read(u))
		},
	}
}

// end makes a family with the time at which something ends, for the units where that is
// known.
func end(name, help string, read func(measure.Ends) time.Time) family {
	return family{
		name: name,
		help: help,
		kind: gauge,
		unit: func(e *exposition, u *measure.Unit, labels string) {
			if at := read(u.Ends); !at.IsZero() {
				e.sample(name, "", labels, "", unix(at))
			}
		},
	}
}

// process makes a family with one sample for the process.
func process(name, help, kind string, read func(*snapshot) float64) family {
	return family{
		name:  name,
		help:  help,
		kind:  kind,
		whole: func(e *exposition, s *snapshot) { e.sample(name, "", "", "", read(s)) },
	}
}

// discovery makes a family with one sample for the process, where an input discovers
// customers.
func discovery(name, help string, read func(measure.Discovery) float64) family {
	return family{
		name: name,
		help: help,
		kind: gauge,
		whole: func(e *exposition, s *snapshot) {
			if s.input.Discovery.On {
				e.sample(name, "", "", "", read(s.input.Discovery))
			}
		},
	}
}

// states are the states that a unit of a running input may have.
var states = []health.State{health.Starting, health.OK, health.Failing, health.Waiting, health.Stopped}

// stateLabels are their labels.
var stateLabels = func() (list []string) {
	for _, s := range states {
		list = append(list, label("state", string(s)))
	}

	return list
}()

// families are all families, in the order of docs/monitoring.md.
var families = slices.Concat(tenantFamilies, endFamilies, processFamilies, nodeFamilies)

var tenantFamilies = []family{
	{
		name: "tenant_info",
		help: "The tenant's name for people; always 1.",
		kind: gauge,
		unit: func(e *exposition, u *measure.Unit, labels string) {
			e.sample("tenant_info", "", labels, label("tenant", u.Status.TenantName), 1)
		},
	},
	one("up", "1 when the last poll was read to its end and nothing is missing, else 0.", gauge,
		func(u *measure.Unit) float64 { return number(u.Status.State == health.OK) }),
	{
		name: "state",
		help: "1 for the state that the tenant is in, 0 for the others.",
		kind: gauge,
		unit: func(e *exposition, u *measure.Unit, labels string) {
			for i, s := range states {
				e.sample("state", "", labels, stateLabels[i], number(u.Status.State == s))
			}
		},
	},
	one("last_success_timestamp_seconds", "When a poll was last read to its end; 0 for never.", gauge,
		func(u *measure.Unit) float64 { return unix(u.Status.LastSuccess) }),
	one("last_alert_timestamp_seconds", "When an alert last came in; 0 for never.", gauge,
		func(u *measure.Unit) float64 { return unix(u.Status.LastAlert) }),
	one("lag_seconds", "How far what was delivered to Fluent Bit is behind the present.", gauge,
		func(u *measure.Unit) float64 { return u.Status.LagSeconds }),
	{
		name: "alert_delay_seconds",
		help: "Time from an alert's last update until the API listed it to a poll.",
		kind: histogram,
		unit: func(e *exposition, u *measure.Unit, labels string) {
			e.histogram("alert_delay_seconds", labels, &u.Delays)
		},
	},
	{
		name: "poll_duration_seconds",
		help: "Time that a poll took, however it ended.",
		kind: histogram,
		unit: func(e *exposition, u *measure.Unit, labels string) {
			e.histogram("poll_duration_seconds", labels, &u.Polls)
		},
	},
	one("alerts_total", "Alert versions emitted since the start.", total,
		func(u *measure.Unit) float64 { return float64(u.Status.Emitted) }),
	one("repeats_total", "Rows read again and suppressed since the start.", total,
		func(u *measure.Unit) float64 { return float64(u.Status.Repeats) }),
	one("deferred", "Events and windows that are deferred and not through yet.", gauge,
		func(u *measure.Unit) float64 { return float64(u.Status.Deferred) }),
	{
		name: "errors_total",
		help: "Polls that failed since the start, by reason.",
		kind: total,
		unit: func(e *exposition, u *measure.Unit, labels string) {
			for _, reason := range slices.Sorted(maps.Keys(u.Errors)) {
				e.sample("errors_total", "", labels, label("reason", string(reason)), float64(u.Errors[reason]))
			}
		},
	},
	{
		name: "api_requests_total",
		help: "Requests to the API since the start, by HTTP status; none: no answer came.",
		kind: total,
		unit: func(e *exposition, u *measure.Unit, labels string) {
			for _, code := range slices.Sorted(maps.Keys(u.Requests)) {
				text := strconv.Itoa(code)
				if code == measure.NoAnswer {
					text = "none"
				}

				e.sample("api_requests_total", "", labels, label("code", text), float64(u.Requests[code]))
			}
		},
	},
	one("throttled_seconds_total", "Time since the start in which the API had asked to send nothing.", total,
		func(u *measure.Unit) float64 { return u.Throttled.Seconds() }),
}

var endFamilies = []family{
	end("refresh_token_expiry_timestamp_seconds", "When the refresh token ends if nobody uses it.",
		func(e measure.Ends) time.Time { return e.RefreshToken }),
	end("credential_expiry_timestamp_seconds", "When the application's certificate or secret ends.",
		func(e measure.Ends) time.Time { return e.Credential }),
	end("gdap_end_timestamp_seconds", "When the delegated administration (GDAP) of the customer ends.",
		func(e measure.Ends) time.Time { return e.Relationship }),
}

var processFamilies = []family{
	process("buffer_bytes", "Encoded alerts that wait for Fluent Bit.", gauge,
		func(s *snapshot) float64 { return float64(s.input.Bytes) }),
	process("queue_events", "Events that wait for Fluent Bit.", gauge,
		func(s *snapshot) float64 { return float64(s.input.Events) }),
	process("delivery_blocked", "1 while Fluent Bit takes nothing of an input although something waits.", gauge,
		func(s *snapshot) float64 { return number(s.input.Blocked) }),
	{
		name: "tenants",
		help: "Tenants by state, each API of a tenant for itself.",
		kind: gauge,
		whole: func(e *exposition, s *snapshot) {
			count := make(map[health.State]int)
			for i := range s.units {
				count[s.units[i].Status.State]++
			}

			for _, state := range states {
				e.sample("tenants", "", "", label("state", string(state)), float64(count[state]))
			}
		},
	},
	process("tenants_file_rejected", "1 while the newest version of a tenants_file is refused.", gauge,
		func(s *snapshot) float64 { return number(s.input.FileRejected) }),
	discovery("discovery_failed", "1 while the list of the provider's customers cannot be read.",
		func(d measure.Discovery) float64 { return number(d.Failed) }),
	discovery("discovery_last_success_timestamp_seconds",
		"When the last good list of the provider's customers was asked for; 0 for never.",
		func(d measure.Discovery) float64 { return unix(d.Listed) }),
	{
		name: "poll_start_delay_seconds",
		help: "Time from when a poll was due until it began.",
		kind: histogram,
		whole: func(e *exposition, s *snapshot) {
			e.histogram("poll_start_delay_seconds", "", &s.input.Starts)
		},
	},
	process("store_errors_total", "Calls of the store that failed since the start.", total,
		func(s *snapshot) float64 { return float64(s.input.StoreErrors) }),
	{
		name: "build_info",
		help: "What the plugin was built from; always 1.",
		kind: gauge,
		whole: func(e *exposition, _ *snapshot) {
			b := version.This()
			labels := label("version", b.Version) + "," + label("commit", b.Commit) + "," +
				label("goversion", b.Go)
			e.sample("build_info", "", labels, "", 1)
		},
	},
}
