package record

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// A cefPlan says how the entities of one kind are read, and which keys they fill.
type cefPlan struct {
	fields shape
	roles  int // index of "roles" in fields
	fills  []cefFill
}

// A cefFill is the part of a plan that makes one candidate.
type cefFill struct {
	group int
	later bool
	keys  [maxGroupKeys][]cefPath
}

// A cefPath is the index of a field, or of two that are joined with a dot.
type cefPath struct{ first, second int }

// cefPlans has the plans for each form of evidence, by kind in lower case.
var cefPlans = makePlans()

// makePlans makes the plans of cefGroups.
func makePlans() (plans [numForms]map[string]*cefPlan) {
	for form := range plans {
		plans[form] = map[string]*cefPlan{}
		for group := range cefGroups {
			for _, entity := range cefGroups[group].entities[form] {
				kind := strings.ToLower(entity.kind)
				if plans[form][kind] == nil {
					plan := &cefPlan{}
					plan.roles = plan.fields.add("roles")
					plans[form][kind] = plan
				}

				plans[form][kind].add(group, entity)
			}
		}
	}

	return plans
}

// add adds a group that the entities of the plan's kind may fill.
func (p *cefPlan) add(group int, entity cefEntity) {
	fill := cefFill{group: group, later: entity.later}

	for _, field := range entity.fields {
		at := cefGroups[group].index(field.key)
		if at < 0 {
			continue // a field that this group does not need
		}

		for _, path := range field.paths {
			first, second, two := strings.Cut(path, " + ")

			read := cefPath{first: p.fields.add(first), second: noPath}
			if two {
				read.second = p.fields.add(second)
			}

			fill.keys[at] = append(fill.keys[at], read)
		}
	}

	p.fills = append(p.fills, fill)
}

// index returns the index of a key in a candidate's values, -1 if the group lacks it.
func (g *cefGroup) index(key string) int {
	if at := slices.Index(g.keys, key); at >= 0 {
		return at
	}

	if at := slices.Index(g.also, key); at >= 0 {
		return len(g.keys) + at
	}

	return -1
}

// text returns the text at the path, empty if one of its values is missing.
func (p cefPath) text(found []gjson.Result) string {
	text := entityText(found[p.first])
	if p.second == noPath {
		return text
	}

	if second := entityText(found[p.second]); text != "" && second != "" {
		return text + "." + second
	}

	return ""
}

// entityText returns the value as text. Of an array it returns the first text.
func entityText(v gjson.Result) (text string) {
	if !v.IsArray() {
		return plain(v)
	}

	v.ForEach(func(_, member gjson.Result) bool {
		text = plain(member)
		return text == ""
	})

	return text
}

// hasAttackRole reports whether one of the roles is in cefRoles.
func hasAttackRole(roles gjson.Result) (attack bool) {
	if !roles.IsArray() {
		return lookFold(cefRoles, plain(roles))
	}

	roles.ForEach(func(_, role gjson.Result) bool {
		attack = lookFold(cefRoles, plain(role))
		return !attack
	})

	return attack
}
