// Package page finds the alerts in a page of an API's answer, one at a time, while it
// is still arriving.
//
// A page is an OData object, {"@odata.context": …, "value": [ … ], "@odata.nextLink":
// "…"} with its keys in any order (OData JSON Format 4.01, §4.5), or a bare array, as
// the SIEM API sends. A page may have hundreds of megabytes; a Reader keeps only the
// current row.
//
// # What it promises
//
//   - Every element of the array is returned once, in order, byte for byte, however
//     the underlying reader splits the document.
//   - io.EOF means that the document was complete and nothing but white space
//     followed. A caller that moves its checkpoint only at io.EOF loses nothing when a
//     body is cut short.
//   - Of a body that was cut short all whole rows are returned first, then an error
//     that wraps io.ErrUnexpectedEOF.
//   - Memory is bounded by Options, whatever the page holds: other keys of the page
//     are skipped, not kept.
//
// # Caveats
//
//   - A row is not validated: a Reader only follows strings and brackets to find its
//     end. It counts brackets and ignores their kind, so {"a":1] is a row.
//     internal/record validates rows, and passes on as raw text what is not JSON.
//   - A row that lacks a closing bracket or quote takes in the rows that follow it.
//     The document then ends inside a row, which is an error. The caller reads again,
//     in smaller pages.
//   - If one object has the array "value" twice, the rows of both are returned; of two
//     "@odata.nextLink" the last counts. A byte order mark at the start is ignored.
//   - An "error" in the page's object (OData JSON Format §20: services append it to
//     an answer they could not finish) is ErrNotPage, even behind complete rows.
package page
