// Package alert is the vocabulary of the project: the alert APIs, the names of what is
// polled, and what makes a row an alert of its own.
//
// # What it holds
//
//   - descriptor.go is one table with every fact that depends on the API alone. What
//     depends on the cloud and region too is in package cloud.
//   - unit.go has the types of the identifiers that travel between packages.
//   - identify.go decides the time, the record_id and the repeat key of a row, for
//     everyone: docs/contract.md, "Records", says what users may rely on.
//   - row.go and find.go find the fields for that in the bytes of a row.
//
// # What it promises
//
// An API that is not in the table is an error, never a default. A test fails when a
// fact of an API is missing without a reason.
//
// # Caveats
//
//   - A row is not checked: whatever its bytes are, it gets an identity.
//   - An Identifier and a Describer are for one goroutine at a time.
package alert
