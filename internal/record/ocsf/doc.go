// Package ocsf turns one alert, as an API sent it, into the keys of one event of the Open
// Cybersecurity Schema Framework (OCSF), version 1.8.0, in msgpack: an alert into a
// Detection Finding (class 2004), an incident into an Incident Finding (class 2005).
//
// names.go says which field of which API is what; captions.go has the schema's ids and
// the words of the services that they stand for. docs/ocsf.md is made of both.
//
// # What it promises
//
//   - The event is valid by the schema, whatever the row holds: a value of the wrong
//     type, a time that is none, an address that is none has no place in an attribute.
//   - Nothing is lost. What has no place of its own goes as it is to data, in the piece
//     of evidence, or to unmapped. Null, and empty texts, arrays and objects are nothing.
//   - An object whose required attributes are missing is not written. What belongs to it
//     stays in data or unmapped.
//   - What Fluent Bit cannot hold is kept as a text: containers that nest more than
//     msgpack.MaxDepth levels as their JSON, numbers beyond the doubles as their digits.
//   - Keys are found in any case. Of a key that is there several times, the first value
//     that is not null counts; the others go to unmapped.
//   - metadata.profiles names the profiles whose attributes the event has, and no others.
//
// # How
//
// A first pass over the row checks that it is JSON and finds where the values of the
// known fields are (scanner.object, with a shape). Evidence is read one piece at a
// time, in the same way, into the same places. Taking a value for an attribute marks it
// as used, and what is not used is written last (event.rest). There is no tree: the
// memory that a row takes does not depend on how many values it has, but for the list
// of its observables.
//
// # Caveats
//
//   - An Encoder is not for concurrent use.
//   - The caller checks that the row is UTF-8.
//   - Times have milliseconds in OCSF; the services have seven digits.
package ocsf
