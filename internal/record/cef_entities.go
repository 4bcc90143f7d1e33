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
	later  bool // asked only when none of the others fills a key
	attack bool // its roles say that it was attacked; only where the group asks for it
	filled int  // how many keys that count it fills
	// values are the texts of the group's keys, in the order of keys and also.
	values [maxGroupKeys]string
}

// cefChoice is what an alert's entities fill: for each group the chosen one, or nil.
type cefChoice struct {
	groups [numGroups]*candidate
	// bySender reports whether the user is the sender of the message.
	bySender bool
	// source4 and source6 are the addresses that the attack came from, destination is
	// the one that it went to.
	source4, source6, destination netip.Addr
}

// cefCandidates collects an alert's candidates and chooses among them.
type cefCandidates struct {
	list  []candidate
	found []gjson.Result // what the shape of one entity found
}

// maxKeptCandidates is how much room is kept from one alert to the next.
const maxKeptCandidates = 256

// release forgets the alert: its texts are parts of a copy of the row, which may be
// large.
func (c *cefCandidates) release() {
	clear(c.list)
	clear(c.found)

	c.list = c.list[:0]
	if cap(c.list) > maxKeptCandidates {
		c.list = nil
	}
}

// A cefPlan says how the entities of one kind are read.
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

// cefPlans are the plans of each form of evidence by kind in lower case.
var cefPlans = makePlans()

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

// index returns where the key's text is in a candidate's values; -1: the group lacks
// the key.
func (g *cefGroup) index(key string) int {
	if at := slices.Index(g.keys, key); at >= 0 {
		return at
	}

	if at := slices.Index(g.also, key); at >= 0 {
		return len(g.keys) + at
	}

	return -1
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

// one adds what an entity of the given kind may fill.
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

// before reports whether c is chosen rather than the other, which comes earlier in the
// alert.
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

// chooseFile chooses between files and the file of a process, whose command line then
// belongs to it. A file of which only a hash is known does not hide a process with a
// name.
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

// chooseUser chooses between users and the sender of a message. A user to whom the
// message was sent is not the one who did it.
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

// chooseAddresses takes the first address of each family: that of a connection, whose
// port is in the line, before all others.
func (c *cefCandidates) chooseAddresses(choice *cefChoice) {
	choice.source(choice.text(groupConnection, readAddress))

	if choice.bySender {
		choice.source(choice.text(groupMail, readAddress))
	}

	for i := range c.list {
		if c.list[i].group == groupAddress {
			choice.source(c.list[i].values[0])
		}
	}

	choice.source(choice.text(groupMail, readAddress))

	if !choice.source4.IsValid() && !choice.source6.IsValid() {
		choice.source(choice.text(groupHost, readAddress))
	}

	choice.destination = address(choice.text(groupConnection, "dst"))
}

// source adds the address in the text, if there is one and none of its family yet.
func (c *cefChoice) source(text string) {
	addSource(&c.source4, &c.source6, text)
}

func addSource(v4, v6 *netip.Addr, text string) {
	if text == "" {
		return
	}

	switch ip := address(text); {
	case ip.Is4() && !v4.IsValid():
		*v4 = ip
	case ip.Is6() && !v6.IsValid():
		*v6 = ip
	}
}

func address(s string) netip.Addr {
	ip, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return netip.Addr{}
	}

	return ip.Unmap().WithZone("")
}
