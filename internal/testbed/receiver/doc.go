// Package receiver has servers that receive alerts, for tests: Splunk's HTTP Event
// Collector (HEC), a syslog listener with a reader of CEF, as ArcSight's connectors
// are, the bulk API of Elasticsearch and OpenSearch, and a bucket of S3. They keep what
// they are sent, refuse what the real ones refuse with the same answers, and fail on
// request.
//
// # What it promises
//
//   - HEC answers with the statuses and codes of Splunk's page "Troubleshoot HTTP Event
//     Collector", section "Possible error codes". It refuses: a token that is missing,
//     unknown or disabled; an index that the token may not write to; a body that is not
//     a sequence of JSON objects; a missing or blank event; nested fields; a missing
//     channel where the token asks for indexer acknowledgement; a body above
//     max_content_length.
//
//   - Syslog reads one message a line, by RFC 3164 or RFC 5424, over TCP or TLS. It
//     keeps each line that departs from the format as a fault with its reason: an octet
//     count in front, a byte order mark that is wrong or missing, a carriage return or
//     another control character, text that is not UTF-8, a last line without its end.
//
//   - ParseCEF accepts only what the ArcSight CEF Implementation Standard (OpenText,
//     document version 27) lets a producer send: its dictionary of keys, their types
//     and lengths, its two ways of escaping, labels with custom fields.
//
//   - Bulk takes only the action create, as a data stream does, with @timestamp in each
//     document; a document whose id is there is a conflict (409).
//
//   - Bucket takes only signed requests that put an object and whose checksum is right.
//     It looks at the form of the signature, not at its value.
//
// It shares no code with the encoder (package record). A rule that the encoder gets
// wrong is therefore seen here.
//
// # Caveats
//
// Nothing is indexed, and HEC never sends acknowledgements: Fluent Bit does not ask for
// them. A syslog sender over TCP cannot know what was read: with
// SyslogConfig.BreakEvery a message may be lost or come twice, as with every real
// receiver.
package receiver
