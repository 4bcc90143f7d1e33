// Package examples has the tests of the configurations in the folder examples: without
// Fluent Bit each is read, held against the table of keys, against `defenderctl check`
// and against its twin in the other format; with a Fluent Bit ($FLUENT_BIT, or one on
// the PATH) each runs unchanged between the simulator and receivers that speak HEC and
// syslog (package receiver), with values for its variables from the environment.
//
// The measurements of deliveries, 2,000 alerts and 300 tenants, run with them; -short
// leaves them out.
package examples
