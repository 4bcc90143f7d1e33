package ocsf

import "strings"

// A shape is a set of fields of a JSON object, some of them inside nested objects, each
// with an index. scanner.object finds where the values of these fields are in an object.
// Keys are found in any case: "SHA1" is found as "sha1".
type shape struct {
	root  node
	paths []string // by index; the fields that the API does not have are empty
	size  int      // how many places the values take: one for each path, and for each object on the way
}

// A node is a key of a shape.
type node struct {
	at       int // its place among the values
	children *keyTable
}

// newShape returns the shape with these paths, whose keys have dots between them. If two
// paths are equal, the first counts.
func newShape(paths []string) *shape {
	s := &shape{paths: paths, size: len(paths)}

	for i, path := range paths {
		if path == "" {
			continue
		}

		n := &s.root
		for _, key := range splitPath(path) {
			n = n.child(key, s)
		}

		if n.at >= len(paths) { // so far only an object on the way
			n.at = i
		}
	}

	s.root.index()

	return s
}

// splitPath splits a path into its keys. The key @odata.type has a dot of its own.
func splitPath(path string) []string {
	if path == odataType {
		return []string{path}
	}

	return strings.Split(path, ".")
}

const odataType = "@odata.type"

// child returns the node below n with this key, and makes it if there is none.
func (n *node) child(key string, s *shape) *node {
	if n.children == nil {
		n.children = &keyTable{}
	}

	for i := range n.children.list {
		if known := &n.children.list[i]; strings.EqualFold(known.key, key) {
			return known.node
		}
	}

	made := &node{at: s.size}
	s.size++

	n.children.list = append(n.children.list, entry{key: key, node: made})

	return made
}

// index makes the hash tables of n and of all nodes below.
func (n *node) index() {
	if n.children == nil {
		return
	}

	n.children.build()

	for i := range n.children.list {
		n.children.list[i].node.index()
	}
}

// lookup returns the node below n for a key of an object, nil if there is none.
func (n *node) lookup(key []byte) *node {
	if n.children == nil {
		return nil
	}

	return n.children.find(key)
}

// A keyTable finds nodes by key, in any case. It is a hash table with open addressing.
type keyTable struct {
	list []entry
	open []entry // a power of two, at most a quarter of them taken
}

// An entry is a key of a keyTable, with its node.
type entry struct {
	key  string
	node *node
}

// build makes the hash table of the keys in list.
func (t *keyTable) build() {
	size := 4
	for size < 4*len(t.list) {
		size *= 2
	}

	t.open = make([]entry, size)

	for _, e := range t.list {
		at := hashKey([]byte(e.key)) & uint32(size-1)
		for t.open[at].node != nil {
			at = (at + 1) & uint32(size-1)
		}

		t.open[at] = e
	}
}

// find returns the node of a key, nil if there is none.
func (t *keyTable) find(key []byte) *node {
	if len(key) == 0 {
		return nil
	}

	mask := uint32(len(t.open) - 1)

	for at := hashKey(key) & mask; ; at = (at + 1) & mask {
		switch e := &t.open[at]; {
		case e.node == nil:
			return nil
		case e.key == string(key) || len(e.key) == len(key) && equalFold(key, e.key):
			return e.node
		}
	}
}

// hashKey returns a hash of a key, the same for keys that differ in case only.
func hashKey(key []byte) uint32 {
	n := uint(len(key))
	h := uint32(n)*0x9e37 + uint32(key[0]|0x20)*0x85eb + uint32(key[n-1]|0x20)*0xc2b3 + uint32(key[n/2]|0x20)*0x27d5

	return h ^ h>>8
}

// equalFold reports whether a and b are equal but for the case of ASCII letters.
func equalFold(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}

	for i, c := range a {
		if c != b[i] && lower(c) != lower(b[i]) {
			return false
		}
	}

	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}

	return c
}
