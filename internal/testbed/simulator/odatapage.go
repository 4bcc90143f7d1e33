package simulator

import (
	"cmp"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/tick"
)

// page is what a listing brings.
type page struct {
	rows  []*row
	more  bool // there are further rows
	total int  // the number of all rows, if it was asked for
	next  int  // the place of the first row behind the page
}

// page picks the rows of a listing. The caller holds the tenant's lock.
func (t *tenant) page(v *view, l listing) page {
	v.sort()

	if len(l.order) == 0 { // "newest first"; which time is meant is not documented
		l.order = []orderKey{{&property{kind: propTime, role: 'c'}, true}}
	}

	role := byte('c')
	if l.order[0].prop.role == 'u' {
		role = 'u'
	}

	rows := v.within(l.where, role)
	others := v.within(l.where, otherRole(role))
	ordered := len(l.order) == 1 && l.order[0].prop.role != 0

	if ordered && l.ties == nil && len(rows) <= 4*len(others)+100 {
		return l.inOrder(rows, t.sim.cfg.Clock())
	}

	if len(others) < len(rows) {
		rows = others
	}

	return l.sorted(rows, t.sim.cfg.Clock())
}

// sorted picks from rows in any order, which it sorts.
func (l listing) sorted(rows []*row, now time.Time) page {
	var list []*row

	for _, r := range rows {
		if l.lists(r, now) {
			list = append(list, r)
		}
	}

	if l.ties != nil {
		l.ties.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}

	slices.SortStableFunc(list, func(a, b *row) int { return compareRows(a, b, l.order) })

	total := len(list)
	list = list[min(l.skip, total):]

	return page{rows: list[:min(l.top, len(list))], more: len(list) > l.top, total: total}
}

// inOrder picks from rows that are in ascending order of the time asked for.
func (l listing) inOrder(rows []*row, now time.Time) page {
	var p page

	for i := range rows {
		r := rows[i]
		if l.order[0].desc {
			r = rows[len(rows)-1-i]
		}

		if !l.lists(r, now) {
			continue
		}

		p.total++
		if p.total <= l.skip {
			continue
		}

		if len(p.rows) < l.top {
			p.rows = append(p.rows, r)
			continue
		}

		p.more = true

		if !l.count {
			break
		}
	}

	return p
}

// lists reports whether a listing has a row.
func (l listing) lists(r *row, now time.Time) bool {
	return r.listedAt(now) && (l.where == nil || l.where.holds(r))
}

// otherRole returns the role of the other time: 'c' is that of creation, 'u' that of the
// last update.
func otherRole(role byte) byte {
	if role == 'c' {
		return 'u'
	}

	return 'c'
}

// within returns a part of the index of a time outside of which the condition holds for
// no row.
func (v *view) within(c condition, role byte) []*row {
	index, at := v.byUpdated, func(r *row) tick.Tick { return r.updated }
	if role == 'c' {
		index, at = v.byCreated, func(r *row) tick.Tick { return r.created }
	}

	if c == nil {
		return index
	}

	from, to := bounds(c, role)
	find := func(limit tick.Tick) int {
		i, _ := slices.BinarySearchFunc(index, limit, func(r *row, l tick.Tick) int {
			if at(r) < l {
				return -1
			}

			return 1
		})

		return i
	}
	low, high := find(from), find(to)

	return index[low:max(low, high)]
}

// compareRows compares two rows by the keys of an order.
func compareRows(a, b *row, order []orderKey) int {
	for _, k := range order {
		c := 0

		if k.prop.kind == propTime {
			x, _ := k.prop.time(a)
			y, _ := k.prop.time(b)
			c = cmp.Compare(x, y)
		} else {
			path := first(k.prop.path, k.prop.name)

			x, y := gjson.GetBytes(a.full, path), gjson.GetBytes(b.full, path)
			if c = cmp.Compare(x.Num, y.Num); k.prop.kind == propString {
				c = cmp.Compare(x.Str, y.Str)
			}
		}

		if c != 0 && k.desc {
			c = -c
		}

		if c != 0 {
			return c
		}
	}

	return 0
}
