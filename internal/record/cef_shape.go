package record

import (
	"strings"

	"github.com/tidwall/gjson"
)

// A shape is a set of paths into a JSON object. It reads the values at all of them in one
// pass over the object. Keys are found in any case: "SHA1" is found as "sha1".
type shape struct {
	root  shapeNode
	paths []string // in the order in which they were added
}

type shapeNode struct {
	children map[string]*shapeNode // by key in lower case
	at       int                   // index of the path that ends here; noPath if none does
}

const noPath = -1

func newShape(paths ...string) *shape {
	s := &shape{}
	for _, p := range paths {
		s.add(p)
	}

	return s
}

// add adds a path, whose keys have dots between them, and returns its index. A path that
// is already there, in any case, keeps its index.
func (s *shape) add(path string) int {
	node := &s.root
	for key := range strings.SplitSeq(strings.ToLower(path), ".") {
		if node.children == nil {
			node.children = map[string]*shapeNode{}
		}

		if node.children[key] == nil {
			node.children[key] = &shapeNode{at: noPath}
		}

		node = node.children[key]
	}

	if node.at == noPath {
		node.at = len(s.paths)
		s.paths = append(s.paths, path)
	}

	return node.at
}

// read stores the value at each path in values, which has an element for each path. If a
// key is there twice, in any case, the first value that is not null counts.
func (s *shape) read(object gjson.Result, values []gjson.Result) {
	s.root.read(object, values)
}

func (n *shapeNode) read(object gjson.Result, values []gjson.Result) {
	if !object.IsObject() {
		return
	}

	object.ForEach(func(key, v gjson.Result) bool {
		child := lookFold(n.children, key.Str)
		if child == nil {
			return true
		}

		if child.at != noPath && values[child.at].Type == gjson.Null {
			values[child.at] = v
		}

		if child.children != nil {
			child.read(v, values)
		}

		return true
	})
}

// lookFold returns the element of m under the key in lower case. It does not allocate.
func lookFold[T any](m map[string]T, key string) T {
	var buf [48]byte // longer than any key that is looked for
	if len(key) > len(buf) {
		key = ""
	}

	return m[string(appendLower(buf[:0], key))]
}

// appendLower appends s with its ASCII letters in lower case.
func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}

		dst = append(dst, c)
	}

	return dst
}
