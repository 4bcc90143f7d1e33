// Package metrics serves the state of all units of the process as Prometheus metrics, at
// /metrics.
//
// It reads what collect counts anyway at the moment of a scrape; nothing is kept twice,
// and no label holds a secret.
//
// The server is bounded, since every user of the machine may reach it and Fluent Bit
// needs the same descriptors and memory: see maxConnections and the timeouts beside it.
package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// Source returns the state of an input's units, and how many bytes wait for Fluent Bit.
type Source interface {
	Statuses() map[alert.UnitKey]store.Status
	Waiting() int
	// Blocked reports whether Fluent Bit takes nothing although something waits for it.
	Blocked() bool
}

// metric is one family: what it is and how it is read off a status.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(store.Status) float64
}

// labels name a tenant for people and its unit: two units may differ in any one part of
// alert.UnitKey, and equal labels make a scrape fail.
var labels = []string{"tenant", "login_host", "tenant_id", "api", "state_id"}

func family(name, help string, kind prometheus.ValueType, read func(store.Status) float64) metric {
	return metric{prometheus.NewDesc("defender_"+name, help, labels, nil), kind, read}
}

var families = []metric{
	family(
		"up",
		"1 when the last poll was read to its end, else 0.",
		prometheus.GaugeValue,
		func(s store.Status) float64 {
			if s.State == health.OK {
				return 1
			}

			return 0
		},
	),
	family(
		"lag_seconds",
		"How far what was delivered to Fluent Bit is behind the present.",
		prometheus.GaugeValue,
		func(s store.Status) float64 { return s.LagSeconds },
	),
	family(
		"last_success_timestamp_seconds",
		"When a poll was last read to its end; 0 for never.",
		prometheus.GaugeValue,
		func(s store.Status) float64 { return unix(s.LastSuccess) },
	),
	family(
		"last_alert_timestamp_seconds",
		"When an alert was last emitted; 0 for never.",
		prometheus.GaugeValue,
		func(s store.Status) float64 { return unix(s.LastAlert) },
	),
	family(
		"alerts_emitted_total",
		"Alert versions emitted since the start.",
		prometheus.CounterValue,
		func(s store.Status) float64 { return float64(s.Emitted) },
	),
	family(
		"alerts_repeated_total",
		"Rows read again and suppressed since the start.",
		prometheus.CounterValue,
		func(s store.Status) float64 { return float64(s.Repeats) },
	),
	family(
		"polls_total",
		"Polls since the start.",
		prometheus.CounterValue,
		func(s store.Status) float64 { return float64(s.Polls) },
	),
	family(
		"poll_errors_total",
		"Polls that failed since the start.",
		prometheus.CounterValue,
		func(s store.Status) float64 { return float64(s.Errors) },
	),
	family(
		"deferred",
		"Events and windows that are deferred and not through yet.",
		prometheus.GaugeValue,
		func(s store.Status) float64 { return float64(s.Deferred) },
	),
}

var (
	buffered = prometheus.NewDesc("defender_buffer_bytes", "Encoded alerts that wait for Fluent Bit.", nil, nil)
	stopped  = prometheus.NewDesc("defender_delivery_blocked",
		"1 while Fluent Bit takes nothing of an input although something waits for it, else 0.", nil, nil)
)

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}

	return float64(t.UnixNano()) / 1e9
}

// Describe implements prometheus.Collector.
func (v *server) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- f.desc
	}

	ch <- buffered

	ch <- stopped
}

// Collect implements prometheus.Collector.
func (v *server) Collect(ch chan<- prometheus.Metric) {
	v.mu.Lock()
	defer v.mu.Unlock()

	waiting, blocked := 0, 0.0
	for src := range v.sources {
		waiting += src.Waiting()
		if src.Blocked() {
			blocked = 1
		}

		for key, s := range src.Statuses() {
			values := []string{s.TenantName, key.LoginHost, string(key.TenantID), string(key.API), key.StateID}
			for i := range values {
				// A classic configuration may be in any encoding, and Prometheus panics.
				values[i] = strings.ToValidUTF8(values[i], "\uFFFD")
			}

			for _, f := range families {
				ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.read(s), values...)
			}
		}
	}

	ch <- prometheus.MustNewConstMetric(buffered, prometheus.GaugeValue, float64(waiting))

	ch <- prometheus.MustNewConstMetric(stopped, prometheus.GaugeValue, blocked)
}
