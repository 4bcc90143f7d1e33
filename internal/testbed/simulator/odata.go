package simulator

import (
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/tick"
)

// propKind is the type of a property as far as filters care.
type propKind int

const (
	propString propKind = iota
	propNumber
	propTime
)

// edm names the types in messages.
var edm = map[propKind]string{propString: "Edm.String", propNumber: "Edm.Int64", propTime: "Edm.DateTimeOffset"}

// property is one that an API can filter by.
type property struct {
	name string
	kind propKind
	// role says that it is the update ('u') or the creation time ('c'), which rows have
	// at hand.
	role byte
	// path is where the row has it, if not under its name.
	path string
}

func (p *property) time(r *row) (tick.Tick, bool) {
	switch p.role {
	case 'u':
		return r.updated, true
	case 'c':
		return r.created, true
	}

	t, err := tick.Parse(gjson.GetBytes(r.full, first(p.path, p.name)).String())

	return t, err == nil
}

// condition is a filter that was read.
type condition interface{ holds(r *row) bool }

type both struct{ a, b condition }
type either struct{ a, b condition }

func (c both) holds(r *row) bool   { return c.a.holds(r) && c.b.holds(r) }
func (c either) holds(r *row) bool { return c.a.holds(r) || c.b.holds(r) }

// comparison is "property operator literal".
type comparison struct {
	prop *property
	op   string
	null bool
	text string
	num  float64
	at   tick.Tick
}

func (c comparison) holds(r *row) bool {
	if c.prop.kind == propTime && !c.null {
		t, ok := c.prop.time(r)
		return ok && c.decide(compare(t, c.at)) || !ok && c.op == "ne"
	}

	v := gjson.GetBytes(r.full, first(c.prop.path, c.prop.name))
	switch isNull := v.Type == gjson.Null; {
	case c.null:
		return c.op == "eq" && isNull || c.op == "ne" && !isNull
	case isNull: // null compares equal to nothing else
		return c.op == "ne"
	case c.prop.kind == propNumber:
		return c.decide(compare(v.Num, c.num))
	}

	return c.decide(strings.Compare(v.String(), c.text))
}

func compare[T tick.Tick | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}

	return 0
}

func (c comparison) decide(order int) bool {
	switch c.op {
	case "eq":
		return order == 0
	case "ne":
		return order != 0
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	case "lt":
		return order < 0
	}

	return order <= 0
}

// bounds returns the times between which the update (role 'u') or creation time of
// every row lies for which c holds: from ≤ t < to.
func bounds(c condition, role byte) (from, to tick.Tick) {
	from, to = -1<<63, 1<<63-1

	switch c := c.(type) {
	case both:
		f1, t1 := bounds(c.a, role)
		f2, t2 := bounds(c.b, role)

		return max(f1, f2), min(t1, t2)
	case either:
		f1, t1 := bounds(c.a, role)
		f2, t2 := bounds(c.b, role)

		return min(f1, f2), max(t1, t2)
	case comparison:
		if c.prop.role != role || c.null {
			break
		}

		switch c.op {
		case "ge":
			from = c.at
		case "gt":
			from = c.at + 1
		case "lt":
			to = c.at
		case "le":
			to = c.at + 1
		case "eq":
			from, to = c.at, c.at+1
		}
	}

	return from, to
}
