package record

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// A candidate is an entity that fills at least one key of a group.
type candidate struct {
	group  int
	later  bool // it is chosen only if none of the other kinds fills a key
	attack bool // its roles say that it was attacked; only set if the group's byRole is
	filled int  // how many of the group's keys it fills, without those of also
	// values has the texts of the group's keys, in the order of keys and also.
	values [maxGroupKeys]string
}

// cefChoice has the entity that was chosen for each group, nil if there is none.
type cefChoice struct {
	groups [numGroups]*candidate
	// bySender says that the user is the sender of the message.
	bySender bool
	// source4 and source6 are the addresses that the attack came from, destination is
	// the one that it went to.
	source4, source6, destination netip.Addr
}

// cefCandidates collects an alert's candidates and chooses among them.
type cefCandidates struct {
	list  []candidate
	found []gjson.Result // the values of one entity, by index in its shape
}

// maxKeptCandidates is for how many candidates memory is kept from one alert to the next.
const maxKeptCandidates = 256

// release drops the texts of the alert: they are parts of a copy of the row, which may be
// large.
func (c *cefCandidates) release() {
	clear(c.list)
	clear(c.found)

	c.list = c.list[:0]
	if cap(c.list) > maxKeptCandidates {
		c.list = nil
	}
}

// text returns the value of the chosen entity of the group for the key.
func (c *cefChoice) text(group int, key string) string {
	chosen := c.groups[group]
	if chosen == nil {
		return ""
	}

	return chosen.values[cefGroups[group].index(key)]
}

// all adds the entities of a list; kind returns what an entity is.
func (c *cefCandidates) all(form cefForm, list gjson.Result, kind func(gjson.Result) string) {
	if !list.IsArray() {
		return
	}

	list.ForEach(func(_, entity gjson.Result) bool {
		c.one(form, kind(entity), entity)
		return true
	})
}

// one adds a candidate for each group that an entity of the given kind fills a key of.
func (c *cefCandidates) one(form cefForm, kind string, entity gjson.Result) {
	plan := lookFold(cefPlans[form], kind)
	if plan == nil {
		return
	}

	for len(c.found) < len(plan.fields.paths) {
		c.found = append(c.found, gjson.Result{})
	}

	found := c.found[:len(plan.fields.paths)]
	clear(found)
	plan.fields.read(entity, found)

	for i := range plan.fills {
		c.fill(&plan.fills[i], found, plan.roles)
	}
}

// fill adds a candidate of one entity, whose values are in found, if it fills a key.
func (c *cefCandidates) fill(fill *cefFill, found []gjson.Result, roles int) {
	group := &cefGroups[fill.group]
	made := candidate{group: fill.group, later: fill.later}

	for i, paths := range fill.keys {
		for _, path := range paths {
			if made.values[i] = path.text(found); made.values[i] != "" {
				break
			}
		}

		if made.values[i] != "" && i < len(group.keys) {
			made.filled++
		}
	}

	if made.filled > 0 {
		made.attack = group.byRole && hasAttackRole(found[roles])
		c.list = append(c.list, made)
	}
}

// before reports whether c is chosen before the other, which is earlier in the alert.
func (c *candidate) before(other *candidate) bool {
	switch {
	case c.later != other.later:
		return other.later
	case c.attack != other.attack:
		return c.attack
	default:
		return c.filled > other.filled
	}
}

// best returns the candidate of the group that is chosen; nil if there is none.
func (c *cefCandidates) best(group int) (best *candidate) {
	for i := range c.list {
		if some := &c.list[i]; some.group == group && (best == nil || some.before(best)) {
			best = some
		}
	}

	return best
}

// choose decides which entity fills each group.
func (c *cefCandidates) choose() (choice cefChoice) {
	for group := range choice.groups {
		choice.groups[group] = c.best(group)
	}

	c.chooseUser(&choice)

	c.chooseFile(&choice)
	c.chooseAddresses(&choice)

	return choice
}

// chooseFile chooses between a file and the file of a process. If it chooses the latter,
// the command line is that of the same process. A process whose file has a name is chosen
// before a file of which only a hash is known.
func (c *cefCandidates) chooseFile(choice *cefChoice) {
	named := func(file candidate) bool {
		return file.group == groupFile && file.values[cefGroups[groupFile].index("fname")] != ""
	}

	image := choice.groups[groupImage]
	switch file := choice.groups[groupFile]; {
	case image == nil:
	case file == nil, choice.text(groupImage, "fname") != "" && !slices.ContainsFunc(c.list, named):
		choice.groups[groupFile], choice.groups[groupProcess] = nil, nil
	default:
		choice.groups[groupImage] = nil
	}
}

// chooseUser chooses between users and the sender of a message. The recipient of the
// message is not chosen, since the recipient did not act.
func (c *cefCandidates) chooseUser(choice *cefChoice) {
	sender, recipient := choice.text(groupMail, "suser"), choice.text(groupMail, "duser")
	if sender == "" {
		return
	}

	choice.groups[groupUser] = nil

	for i := range c.list {
		user := &c.list[i]
		if user.group != groupUser || user.is(recipient) {
			continue
		}

		if best := choice.groups[groupUser]; best == nil || user.before(best) {
			choice.groups[groupUser] = user
		}
	}

	if choice.groups[groupUser] == nil {
		message := &candidate{group: groupUser, filled: 1}
		message.values[cefGroups[groupUser].index("suser")] = sender
		choice.groups[groupUser], choice.bySender = message, true
	}
}

// is reports whether a user has the mail address.
func (c *candidate) is(address string) bool {
	if address == "" {
		return false
	}

	group := &cefGroups[groupUser]
	name, principal := c.values[group.index("suser")], c.values[group.index(readPrincipal)]
	local, _, _ := strings.Cut(address, "@")

	return strings.EqualFold(principal, address) || strings.EqualFold(name, address) || strings.EqualFold(name, local)
}
