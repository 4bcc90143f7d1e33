package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"fluent-bit-defender/internal/config/plain"
)

// mixes finds an output that is meant for one customer and gets another's alerts too.
func (l *linter) mixes(o matcher, mine, customers []customer, outputs []matcher) {
	ids := idsOf(mine)
	if len(ids) < 2 {
		return
	}

	key := "Match"
	if o.pattern == "" {
		key = "Match_Regex"
	}

	if l.prefixMixes(o, key, mine) {
		return
	}

	if other, ok := forOneOf(o, mine, customers, outputs); ok {
		l.at(Warning, o.sec, key,
			fmt.Sprintf("%s mixes %d customers into one %s output, while the one in %s:%d is for a single customer",
				plain.Quoted(o.pattern), len(ids), plain.Text(o.sec.Get("name"), 32),
				path.Base(other.sec.File), other.sec.Line),
			"give each output the tag of its customer")
	}
}

// idsOf returns the tenants that customers belong to.
func idsOf(customers []customer) map[string]bool {
	ids := map[string]bool{}
	for _, c := range customers {
		ids[c.id] = true
	}

	return ids
}

// prefixMixes reports a pattern such as defender.contoso*, which was meant for
// defender.contoso and matches defender.contoso-uk too.
func (l *linter) prefixMixes(o matcher, key string, mine []customer) bool {
	stem, prefix := strings.CutSuffix(o.pattern, "*")
	if !prefix || stem == "" || strings.HasSuffix(stem, ".") {
		return false
	}

	meant := slices.IndexFunc(mine, func(c customer) bool { return c.tag == stem })
	if meant < 0 {
		return false
	}

	other := slices.IndexFunc(mine, func(c customer) bool { return c.id != mine[meant].id })
	if other < 0 {
		return false
	}

	l.at(Error, o.sec, key,
		fmt.Sprintf("%s takes the alerts of %s as well as those of %s", plain.Quoted(o.pattern),
			plain.Text(mine[other].name, 64), plain.Text(mine[meant].name, 64)),
		"write: Match "+stem)

	return true
}

// forOneOf returns another output of the same kind that takes the alerts of one of the
// customers alone.
func forOneOf(o matcher, mine, customers []customer, outputs []matcher) (matcher, bool) {
	for _, other := range outputs {
		same := other.sec.Line == o.sec.Line && other.sec.File == o.sec.File
		if same || !strings.EqualFold(other.sec.Get("name"), o.sec.Get("name")) {
			continue
		}

		theirs := idsOf(slices.DeleteFunc(slices.Clone(customers), func(c customer) bool {
			return !other.matches(c.tag)
		}))

		if len(theirs) == 1 && slices.ContainsFunc(mine, func(c customer) bool { return theirs[c.id] }) {
			return other, true
		}
	}

	return matcher{}, false
}

// shared reports customers whose records have the same tag: Match cannot tell them
// apart. There is one finding for each tag, however many customers share it.
func (l *linter) shared(customers []customer, outputs []matcher) {
	groups := map[string][]customer{}

	for _, c := range customers {
		same := func(other customer) bool { return other.id == c.id }
		// Routes tell customers apart by what is in the records.
		if !c.routed && !slices.ContainsFunc(groups[c.tag], same) {
			groups[c.tag] = append(groups[c.tag], c)
		}
	}

	for _, c := range customers {
		group := groups[c.tag]
		delete(groups, c.tag)

		if len(group) < 2 {
			continue
		}

		level, own := Note, 0

		var names []string
		for _, g := range group {
			names = append(names, plain.Text(g.name, 64))
			if g.own {
				own++
			}
		}

		if own > 1 && len(outputs) > 1 {
			level = Warning
		}

		at := tagPlace(group[1])
		at.Tenant = ""
		l.add(level, at, plain.Quoted(c.tag)+" is the tag of "+some(names)+
			": no output can take the alerts of one of them alone",
			"give each customer a tag of its own: Tag here, tag in a tenants file")
	}
}

// some lists the first few of many names.
func some(names []string) string {
	const shown = 5
	if len(names) > shown+1 {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:shown], ", "), len(names)-shown)
	}

	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
