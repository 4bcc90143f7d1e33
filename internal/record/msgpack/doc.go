// Package msgpack has the constants of msgpack, and functions that turn parts of JSON
// into it: a string, a number, the header of a container whose size is known only when it
// ends. The transcoder of package record and package record/ocsf use these functions.
//
// # What it promises
//
//   - Text and Number validate what they read, and write the shortest form.
//   - Nothing is allocated. The caller provides the room in the output: the length of the
//     rest of the input, and Slack.
//   - An error names an offset, and never quotes the row: alerts are confidential.
//
// The documentation of package record says what becomes of each JSON value.
package msgpack
