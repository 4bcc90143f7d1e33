// Package yamldoc parses one YAML document that people wrote, of which nothing is
// trusted.
//
// The result is the tree of nodes with their lines. Aliases are not followed, so the
// tree is never larger than the text; the caller refuses them where it meets them. The
// YAML library itself stops at 10,000 levels of nesting. Time and memory grow with the
// size of the text (measured: at most about 0.6 s and 150 MB of garbage per MB), which
// the caller bounds.
package yamldoc
