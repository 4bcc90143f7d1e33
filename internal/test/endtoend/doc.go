// Package endtoend has the tests that run the built plugin: in the conformance host
// always, and in a real Fluent Bit, from classic and from YAML configuration, when
// $FLUENT_BIT names one or one is on the PATH. The servers are those of package
// simulator; what reached Fluent Bit's chunks is held against the simulator's ledger,
// version by version and byte by byte.
package endtoend
