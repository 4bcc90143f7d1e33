package ocsf

// unmapped writes the values of the row that no attribute has.
func (e *event) unmapped() {
	w := &e.w
	w.object("unmapped")

	inner := e.source.inside != nil && e.isArray(e.row[inAlerts])
	if inner {
		e.row[inAlerts].used = true
	}

	e.rest(&e.source.shape.root, e.row, e.scan.space(0))

	if inner {
		e.restOfAlerts()
	}

	w.close()
}

// restOfAlerts writes the values of the alerts inside an incident that no attribute has,
// each alert in its place, with its evidence.
func (e *event) restOfAlerts() {
	w := &e.w
	w.array("alerts")

	e.each(e.row[inAlerts], func(i int) int {
		end := e.readInner(i)
		if end == 0 {
			w.open[w.depth-1].n++
			return e.copyValue(i)
		}

		if len(e.text(e.inner[inID])) > 0 { // only to mark what the finding_info of the alert has
			w.element()
			e.finding(e.inner, e.source.inside, true)
			w.cancel()
		}

		w.element()
		e.rest(&e.source.inside.shape.root, e.inner, i)
		w.end()

		return end
	})

	w.close()
}

// rest writes those members of the object at src[i] that are not marked as used. n is the
// node of the object, and found has the values of its fields. Blank members are left out:
// see isBlank.
func (e *event) rest(n *node, found fields, i int) {
	s := &e.scan

	for i = s.space(i + 1); s.src[i] != '}'; {
		key, value := s.member(i)

		if e.isBlank(value) {
			i = s.value(value)
		} else {
			i = e.restOf(n.lookup(key), found, key, value)
		}

		if i = s.space(i); s.src[i] == ',' {
			i = s.space(i + 1)
		}
	}
}

// restOf writes what is not used of the member whose value is at src[i], and returns the
// offset behind it. n is the node of its key.
func (e *event) restOf(n *node, found fields, key []byte, i int) int {
	w := &e.w
	v := childValue(n, found)
	first := int(v.from) == i

	switch {
	case first && v.used:
		return int(v.to)
	case first && n.children != nil && e.scan.src[i] == '{':
		w.objectOf(key)
		e.rest(n, found, i)
		w.close()

		return int(v.to)
	}

	w.keyOf(key)

	return e.copyValue(i)
}

// childValue returns the value of a field, an empty one for a key that is not in the
// shape.
func childValue(child *node, found fields) span {
	if child == nil {
		return span{}
	}

	return found[child.at]
}

// isBlank reports whether the value at src[i] is null, or an empty text, array or object.
func (e *event) isBlank(i int) bool {
	s := &e.scan

	switch s.src[i] {
	case 'n':
		return true
	case '"':
		return s.src[i+1] == '"'
	case '[', '{':
		return s.peek(s.space(i+1)) == s.src[i]+2
	}

	return false
}
