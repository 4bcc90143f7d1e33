// Package record turns one alert, as an API sent it, into one Fluent Bit event.
//
// An event is the msgpack [[EventTime, {}], {"mssp": {…}, …the alert's own keys…}] that
// Fluent Bit's log decoder accepts (src/flb_log_event_decoder.c; what it does not
// accept, it drops without a message). The alert is transcoded from JSON in one pass,
// without a tree and without an allocation, and validated on the way.
//
// # What it promises
//
// With the formats json and json+cef an event has every field of the alert, with its
// name, its nesting, its value and its place:
//
//   - Integers from −2⁶³ to 2⁶⁴−1 are integers. "-0" is the integer 0.
//   - Numbers with a fraction or an exponent are doubles, and so are integers beyond
//     those; "-0.0" is the double −0.
//   - A number beyond the doubles, such as 1e400, is refused (ErrNumber): no JSON output
//     can write an infinity, and every other value would be wrong. The raw record keeps
//     its digits. A number that is too small for a double is 0.
//   - Duplicate keys are all kept, in order: the receiver decides which of them counts
//     (Fluent Bit's own JSON writer leaves out a key that comes again later, so that the
//     last one counts, as in encoding/json).
//   - Only the keys mssp and cef of the alert itself become mssp_ and cef_, however
//     they are spelled ("\u006dssp"). Where the alert has that name too, they get
//     further underscores until the name is free: the alert's own mssp_ stays.
//   - "\u0000" is kept as a byte 0; msgpack strings have a length. DEL, U+2028 and
//     other rare characters are kept.
//   - A surrogate escape without its partner ("\ud83d") becomes U+FFFD, as in
//     encoding/json: UTF-8 cannot hold it. .NET leaves such a character when it cuts a
//     text, and an alert must not lose its fields because of that.
//
// An alert that cannot be kept like this is refused as a whole, so that nothing is
// changed without a notice. The caller then emits Encoder.Raw. Refused are:
//
//   - What is not JSON by RFC 8259 (ErrSyntax) or is not an object (ErrNotObject).
//   - Bytes that are not UTF-8 (ErrUTF8). encoding/json puts U+FFFD in their place.
//   - Objects and arrays nested more than MaxDepth = 31 levels deep (ErrTooDeep):
//     Fluent Bit cannot decode them, and would drop the event and all that follow it.
//     encoding/json goes to 10,000.
//
// There are no other differences from encoding/json with UseNumber; FuzzAlert compares
// the two.
//
// With the formats raw and raw+cef the row is not transcoded at all: its own bytes are
// the text of the key message, and only what is not an object or not UTF-8 is refused.
// What an event of the format ocsf has is described in package record/ocsf.
//
// # Shape of the output
//
// Objects and arrays have 16-bit headers, as their size is known only when they end;
// empty ones take one byte, those with more than 65,535 members get a 32-bit header.
// Strings and integers take their shortest form. Times are clamped to 1970 and 2106
// (seconds are unsigned 32-bit; the last two are group markers).
//
// # CEF
//
// cef_table.go is the mapping, a row per key and a column per API. Where a value is
// missing, its key is too; class and name, which the header must have, are then "alert"
// (or "incident") and "Untitled alert" ("Untitled incident"). cef_groups.go says which
// keys describe one thing, such as a host or a user: in a line they always belong to
// the same piece of evidence. A line over the limit loses text from its values in a
// fixed order, then whole values; a limit below what must stay is exceeded.
//
// # Caveats
//
//   - An Encoder is not for concurrent use; one per worker.
//   - The values of a CEF line are found with gjson, which allocates, and costs some ten
//     times as much as the transcoding.
//   - MaxDepth is what Fluent Bit itself can decode. If records get more
//     containers around them later (a nest filter, the forward protocol), that many
//     fewer levels are left.
//   - Errors have an offset in the row, and none of its content: alerts are confidential.
package record
