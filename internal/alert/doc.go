// Package alert is the vocabulary of the project: the alert APIs, the names of the units
// that are polled, and the identity of a row.
//
// # What it holds
//
//   - descriptor.go is one table with every fact that depends on the API alone. Facts
//     that depend on the cloud or region too are in package cloud.
//   - unit.go has the types of the identifiers that travel between packages.
//   - identify.go finds the time, the record_id and the repeat key of a row, for all
//     other packages. docs/contract.md, "Records", says what users may rely on.
//   - row.go and find.go find the fields that identify.go needs in the bytes of a row.
//   - finder.go finds what the readers of package defender need to turn a page.
//
// # What it promises
//
// An API that is not in the table is an error, never a default. A test fails when a
// fact of an API is missing without a reason.
//
// # Caveats
//
//   - A row is not validated. It gets an identity whatever its bytes are.
//   - An Identifier and a Describer are for one goroutine at a time.
package alert
