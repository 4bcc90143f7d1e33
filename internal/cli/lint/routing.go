package lint

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
)

// customer is one tenant's records on their way.
type customer struct {
	id, name, tag string
	sec           fluentbit.Section
	// own: the tag is set for this customer; routed: the input has routes of its own.
	own, routed bool
}

// customers gives the tags under which records are emitted; those that Fluent Bit makes up are left out.
func (l *linter) customers() []customer {
	var all []customer
	for i, in := range l.parsed {
		if i >= len(l.sections) {
			continue
		}
		sec := l.sections[i]
		_, routed := sec.Prop("routes")
		if in == nil { // faulty, but its tag may be known
			if sec.Get("tag") != "" {
				id := strings.ToLower(sec.Get("tenant_id"))
				all = append(all, customer{id: id, name: cmp.Or(sec.Get("tenant_name"), id), tag: sec.Get("tag"), sec: sec, own: true, routed: routed})
			}
			continue
		}
		for _, t := range in.Tenants {
			c := customer{id: t.TenantID, name: t.TenantName, tag: t.Tag, sec: sec, own: t.Tag != "", routed: routed}
			if c.tag == "" {
				c.tag, c.own = sec.Get("tag"), in.TenantsFile == "" && sec.Get("tag") != ""
			}
			if c.tag == "" {
				c.tag = "defender." + strconv.Itoa(i) // Fluent Bit counts the inputs of a plugin
			}
			all = append(all, c)
		}
	}
	return all
}

// matcher tells whether an output or filter takes a tag.
type matcher struct {
	sec     fluentbit.Section
	pattern string
	regex   *regexp.Regexp
	// unknown: the expression is beyond us, and taken to match.
	unknown bool
}

func matcherOf(sec fluentbit.Section) matcher {
	m := matcher{sec: sec, pattern: sec.Get("match")}
	if expr := sec.Get("match_regex"); expr != "" {
		var err error
		if m.regex, err = regexp.Compile(strings.Trim(expr, "/")); err != nil {
			m.unknown = true
		}
	}
	return m
}

func (m matcher) matches(tag string) bool {
	return m.unknown || m.regex != nil && m.regex.MatchString(tag) || m.pattern != "" && Match(m.pattern, tag)
}

// Match tells whether a tag matches a pattern of Fluent Bit, in which * stands for any text (flb_router_match).
func Match(pattern, tag string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == tag
	}
	if !strings.HasPrefix(tag, parts[0]) {
		return false
	}
	rest := tag[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// routing looks at where the records go.
func (l *linter) routing() {
	customers := l.customers()
	var outputs []matcher
	for _, sec := range l.file.Of("output") {
		outputs = append(outputs, matcherOf(sec))
	}
	rewritten := l.filters(customers)
	for _, c := range customers {
		reached := c.routed || rewritten[c.tag]
		for _, o := range outputs {
			reached = reached || o.matches(c.tag)
		}
		if !reached {
			l.add(l.about(Error, c, "reaches no output: its records are dropped without a word", "give an output: Match "+c.tag))
		}
	}
	for _, o := range outputs {
		l.output(o, customers, outputs, len(rewritten) > 0)
	}
	l.shared(customers, outputs)
}

// about is a finding about a customer's tag.
func (l *linter) about(level Level, c customer, problem, mend string) Finding {
	file, line := c.sec.Where("tag")
	return Finding{Level: level, File: file, Line: line, Key: "Tag", Tenant: c.name, Problem: plain.Quoted(c.tag) + " " + problem, Mend: mend}
}

// filters looks at filters that hold records in a queue of their own, and tells which tags they take away.
func (l *linter) filters(customers []customer) map[string]bool {
	taken := map[string]bool{}
	for _, sec := range l.file.Of("filter") {
		if !strings.EqualFold(sec.Get("name"), "rewrite_tag") {
			continue
		}
		m := matcherOf(sec)
		for _, c := range customers {
			if m.matches(c.tag) {
				if !taken[c.tag] {
					l.at(Warning, sec, "Name", "rewrite_tag keeps the records of "+plain.Quoted(c.tag)+" in memory for a moment: a kill then loses them", "give each customer a tag with the input's key Tag, or tag in the tenants file")
				}
				taken[c.tag] = true
			}
		}
	}
	return taken
}

// output looks at one output that records of ours reach.
func (l *linter) output(o matcher, customers []customer, outputs []matcher, rewritten bool) {
	var mine []customer
	for _, c := range customers {
		if o.matches(c.tag) {
			mine = append(mine, c)
		}
	}
	name := strings.ToLower(o.sec.Get("name"))
	if o.pattern == "" && o.regex == nil && !o.unknown {
		if !slices.ContainsFunc(customers, func(c customer) bool { return c.routed }) {
			l.at(Error, o.sec, "Match", "is missing: the output gets nothing", "write: Match defender.*")
		}
		return
	}
	if len(mine) == 0 {
		if strings.HasPrefix(o.pattern, "defender") && !rewritten && !slices.Contains(l.parsed, nil) {
			l.at(Warning, o.sec, "Match", plain.Quoted(o.pattern)+" matches no input", "check it against the inputs' Tag")
		}
		return
	}
	l.unset(o.sec)
	if name != "null" {
		l.retries(o.sec)
	}
	if v := o.sec.Get("storage.total_limit_size"); v != "" {
		l.at(Warning, o.sec, "storage.total_limit_size", "deletes the oldest waiting alerts when the SIEM is down for long", "remove it, and watch the disk")
	}
	l.mixes(o, mine, customers, outputs)
}

// retries: a chunk is dropped after Retry_Limit failed retries, by default one.
func (l *linter) retries(sec fluentbit.Section) {
	const mend = "write: Retry_Limit no_limits"
	v := strings.ToLower(sec.Get("retry_limit"))
	n, err := strconv.Atoi(v)
	switch {
	case v == "no_limits" || off(v) || err == nil && n < 0 && n == -1:
	case v == "":
		l.at(Error, sec, "Retry_Limit", "is not set: after one failed retry alerts are dropped", mend)
	case v == "no_retries":
		l.at(Error, sec, "Retry_Limit", "no_retries: alerts are dropped at the first failure", mend)
	case err == nil:
		l.at(Error, sec, "Retry_Limit", fmt.Sprintf("%d: alerts are dropped after so many failed retries", n), mend)
	default:
		l.at(Error, sec, "Retry_Limit", plain.Quoted(v)+" is not understood", mend)
	}
}

// mixes: an output for one customer must not get another's alerts too. It is one for a single customer when another output of the same
// kind takes some of its customers alone.
func (l *linter) mixes(o matcher, mine, customers []customer, outputs []matcher) {
	ids := map[string]bool{}
	for _, c := range mine {
		ids[c.id] = true
	}
	if len(ids) < 2 {
		return
	}
	key := "Match"
	if o.pattern == "" {
		key = "Match_Regex"
	}
	// defender.contoso* was meant for defender.contoso, and takes defender.contoso-uk too.
	if stem := strings.TrimSuffix(o.pattern, "*"); stem != o.pattern && !strings.HasSuffix(stem, ".") && stem != "" {
		if i := slices.IndexFunc(mine, func(c customer) bool { return c.tag == stem }); i >= 0 {
			for _, c := range mine {
				if c.id != mine[i].id {
					l.at(Error, o.sec, key, fmt.Sprintf("%s takes the alerts of %s as well as those of %s", plain.Quoted(o.pattern), plain.Text(c.name, 64), plain.Text(mine[i].name, 64)), "write: Match "+stem)
					return
				}
			}
		}
	}
	for _, other := range outputs {
		if other.sec.Line == o.sec.Line && other.sec.File == o.sec.File || !strings.EqualFold(other.sec.Get("name"), o.sec.Get("name")) {
			continue
		}
		theirs := map[string]bool{}
		for _, c := range customers {
			if other.matches(c.tag) {
				theirs[c.id] = true
			}
		}
		if len(theirs) == 1 && slices.ContainsFunc(mine, func(c customer) bool { return theirs[c.id] }) {
			l.at(Warning, o.sec, key, fmt.Sprintf("%s mixes %d customers into one %s output, while the one in %s:%d is for a single customer", plain.Quoted(o.pattern), len(ids), plain.Text(o.sec.Get("name"), 32), path.Base(other.sec.File), other.sec.Line),
				"give each output the tag of its customer")
			return
		}
	}
}

// shared: customers under one tag cannot be told apart by Match. One finding a tag, however many they are.
func (l *linter) shared(customers []customer, outputs []matcher) {
	groups := map[string][]customer{}
	for _, c := range customers {
		same := func(other customer) bool { return other.id == c.id }
		if !c.routed && !slices.ContainsFunc(groups[c.tag], same) { // routes tell customers apart by what is in the records
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
		f := l.about(level, group[1], "is the tag of "+some(names)+": no output can take the alerts of one of them alone", "give each customer a tag of its own: Tag here, tag in a tenants file")
		f.Tenant = ""
		l.add(f)
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
