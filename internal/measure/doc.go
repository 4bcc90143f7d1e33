// Package measure counts what happens in a unit, and holds what the metrics, the status
// page and `defenderctl status` show of units, inputs and nodes.
//
// A unit's Counters take less than a kilobyte, and counting is a few instructions under a
// lock of its own, so that ten thousand units cost next to nothing.
package measure
