// Package metrics serves the state of all units of the process: as metrics for
// Prometheus at /metrics, as a page for people at /, as JSON at /api/status; and at
// /healthz and /readyz whether the process works.
//
// # Basics
//
// At each request it reads what the inputs count; it keeps no copy. A Source is an
// input; Servers are the listeners of the process, and inputs that name the same
// address share one.
//
// # Caveats
//
// The server is bounded, since every user of the machine may reach it and Fluent Bit
// needs the same descriptors and memory: see maxConnections and the timeouts beside it.
// One answer is put together at a time, and waits for its reader in compressed form.
//
// No label, page or answer contains a secret. Names of tenants and messages of services
// are not trusted: everything goes through label or markup.text.
package metrics
