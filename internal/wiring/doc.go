// Package wiring puts the parts of an input together from its configuration. From a
// tenant's settings it makes the application that signs in, the source of access
// tokens, the reader of the API, the encoder of its records, the limiter of its
// requests and the connections.
//
// The plugin and the command line both use it, so that defenderctl signs in, reads and
// encodes exactly as an input does. It starts no goroutine and opens no store.
package wiring
