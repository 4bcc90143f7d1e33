// Package metrics serves what is known of all units of the process: as metrics for
// Prometheus at /metrics, as a page for people at /, as JSON at /api/status; and whether
// the process works at /healthz and /readyz.
//
// # Basics
//
// It reads what the inputs count anyway at the moment of a request; nothing is kept
// twice. A Source is an input; Servers are the listeners of the process, and inputs that
// name the same address share one.
//
// # Caveats
//
// The server is bounded, since every user of the machine may reach it and Fluent Bit
// needs the same descriptors and memory: see maxConnections and the timeouts beside it.
// One answer is put together at a time, and waits for its reader in compressed form.
//
// No label, page or answer holds a secret. Names of tenants and what services say are of
// unknown origin: everything goes through label or markup.text.
package metrics
