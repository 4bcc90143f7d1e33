// Package jsontext has the facts of JSON's grammar (RFC 8259) that the scanners of this
// project share: white space, escapes, literals, and which bytes end a run of plain text.
//
// There are four scanners, because they have different work to do: package page finds the
// rows of a page that arrives in pieces, package alert a few fields of a row, package
// record turns a row into msgpack while it checks it, and package record/ocsf finds the
// fields of an event. All run over every byte of every alert, so the functions here are
// small enough for the compiler to inline. TestTheScannersGetTheFactsInline fails if one
// of them is not.
package jsontext
