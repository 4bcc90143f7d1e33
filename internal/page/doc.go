// Package page finds the alerts in a page of an API's answer, one at a time, while it
// is still arriving.
//
// A page is an OData object, {"@odata.context": …, "value": [ … ], "@odata.nextLink":
// "…"} with its keys in any order (OData JSON Format 4.01, §4.5), or a bare array, as
// the SIEM API sends. It may be hundreds of megabytes; a Reader keeps the row it is at
// and no more.
//
// # What it promises
//
//   - Every element of the array comes once, in order, byte for byte, wherever the
//     reads underneath happen to break.
//   - io.EOF means that the document was complete and nothing but white space followed.
//     Whoever moves a checkpoint at io.EOF, and only then, loses nothing to a body that
//     was cut.
//   - A body cut short gives all its whole rows first, then an error that wraps
//     io.ErrUnexpectedEOF.
//   - Memory is bounded by Options, whatever the page holds: other keys of the page are
//     passed over, not kept.
//
// # Caveats
//
//   - A row is not validated: strings and brackets are followed, to find its end.
//     Brackets are counted without looking at their kind, so {"a":1] is a row.
//     internal/record validates, and hands on as raw what it refuses.
//   - A row that is broken so that a bracket or a quote is missing draws in what
//     follows it. The document then ends too early for its brackets, which is an error:
//     read again, in smaller pages.
//   - The array "value" twice in one object gives the rows of both; of two
//     "@odata.nextLink" the last counts. A byte order mark at the start is passed over.
//   - An "error" in the page's object (OData JSON Format §20: services append it to an
//     answer they could not finish) is ErrNotPage, even behind complete rows.
package page
