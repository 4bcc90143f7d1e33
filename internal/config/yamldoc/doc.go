// Package yamldoc parses a YAML document that people wrote and that is not trusted.
//
// The result is the tree of nodes with their lines. Aliases are not followed, so that
// the tree is never larger than the text. The caller refuses them where it finds them.
// The YAML library itself stops at 10,000 levels of nesting. Time and memory grow with
// the size of the text (measured: at most about 0.6 s and 150 MB of garbage per MB),
// which the caller bounds.
package yamldoc
