// Package ocsf turns one alert, as an API sent it, into the keys of one event of the Open
// Cybersecurity Schema Framework (OCSF), version 1.8.0, in msgpack: an alert into a
// Detection Finding (class 2004), an incident into an Incident Finding (class 2005).
//
// names.go says which field of which API has which meaning; captions.go has the schema's
// ids and the words of the services that they stand for. docs/ocsf.md is made from both.
//
// # What it promises
//
//   - The event is valid by the schema, whatever the row holds: a value of the wrong
//     type, or a text that is not a time or an address, is not put into an attribute that
//     needs one.
//   - Nothing is lost. What has no attribute of its own is put as it is into data, in the
//     piece of evidence, or into unmapped. Only null, and empty texts, arrays and objects
//     are left out.
//   - An object whose required attributes are missing is not written. What belongs to it
//     stays in data or unmapped.
//   - What Fluent Bit cannot hold is kept as a text: containers that nest more than
//     msgpack.MaxDepth levels as their JSON, numbers beyond the doubles as their digits.
//   - Keys are found in any case. If a key is there several times, the first value that
//     is not null counts; the others are put into unmapped.
//   - metadata.profiles names the profiles whose attributes the event has, and no others.
//
// # How
//
// A first pass over the row checks that it is JSON and finds where the values of the
// known fields are (scanner.object, with a shape). Evidence is read one piece at a
// time, in the same way, into the same memory. A value that is written as an attribute
// is marked as used, and what is not used is written last (event.rest). There is no
// tree: except for the list of its observables, the memory that a row needs does not
// depend on the number of its values.
//
// # Caveats
//
//   - An Encoder is not for concurrent use.
//   - The caller checks that the row is UTF-8.
//   - Times have milliseconds in OCSF; the services have seven digits.
package ocsf
