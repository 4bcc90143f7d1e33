// Package msgpack has the bytes of msgpack, and the steps that turn JSON into them: a
// string, a number, the header of a container whose size is known only when it ends. The
// transcoder of package record and package record/ocsf are made of these steps.
//
// # What it promises
//
//   - Text and Number validate what they read, and write the shortest form.
//   - Nothing is allocated. The caller provides the room: as much as is left of the
//     input, and Slack.
//   - An error names an offset, and never quotes the row: alerts are confidential.
//
// The documentation of package record says what becomes of each JSON value.
package msgpack
