package lint

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
)

// customer is one tenant, as far as the routes of its records are concerned.
type customer struct {
	id, name, tag string
	sec           fluentbit.Section
	// own says that the tag is set for this customer, routed that the input has routes
	// of its own.
	own, routed bool
	// format is that of the records, empty where it is not known; cefBytes the longest
	// CEF line.
	format   string
	cefBytes int
}

// customers returns the tags under which records are emitted; those that Fluent Bit makes
// up are left out.
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
				all = append(all, customer{
					id:     id,
					name:   cmp.Or(sec.Get("tenant_name"), id),
					tag:    sec.Get("tag"),
					sec:    sec,
					own:    true,
					routed: routed,
				})
			}

			continue
		}

		for _, t := range in.Examples() {
			c := customer{
				id:       string(t.TenantID),
				name:     t.TenantName,
				tag:      t.Tag,
				sec:      sec,
				own:      t.Tag != "",
				routed:   routed,
				format:   t.Format.String(),
				cefBytes: t.CEFMaxBytes,
			}
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

// matcher decides whether an output or filter takes a tag.
type matcher struct {
	sec fluentbit.Section
	// pattern is Match, expr Match_Regex.
	pattern, expr string
}

func matcherOf(sec fluentbit.Section) matcher {
	return matcher{sec: sec, pattern: sec.Get("match"), expr: sec.Get("match_regex")}
}

func (m matcher) matches(tag string) bool { return m.sec.Matches(tag) }

// takes reports whether an output gets records of a customer: by its tag, or by a route.
func (m matcher) takes(c customer) bool {
	if !c.routed {
		return m.matches(c.tag)
	}

	alias := cmp.Or(m.sec.Get("alias"), m.sec.Get("name"))

	return slices.ContainsFunc(c.sec.Routes, func(r fluentbit.Route) bool {
		return slices.Contains(r.Outputs, alias) || m.matches(r.Name)
	})
}

// routing checks where the records go.
func (l *linter) routing() {
	customers := l.customers()

	var outputs []matcher
	for _, sec := range l.file.Of("output") {
		outputs = append(outputs, matcherOf(sec))
	}

	rewritten := l.filters(customers)
	for _, c := range customers {
		l.reaches(c, outputs, rewritten[c.tag])
	}

	for _, o := range outputs {
		l.remarks(o.sec)

		if _, err := regexp.Compile(o.expr); err != nil {
			l.at(Note, o.sec, "Match_Regex",
				"is not understood here, and taken to match everything; Fluent Bit says nothing of "+
					"an expression that it does not understand, and gives the output nothing", "check it, or use Match")
		}

		l.output(o, customers, outputs, len(rewritten) > 0)
	}

	l.shared(customers, outputs)

	for _, sec := range l.sections {
		l.routes(sec, outputs)
	}
}

// routes checks where the conditional routes of an input lead.
func (l *linter) routes(sec fluentbit.Section, outputs []matcher) {
	for _, r := range sec.Routes {
		if r.Name == "" {
			l.at(Error, sec, "routes", "has a route without a name"+refuses, "write: name and a name for it")
		}

		for _, alias := range r.Outputs {
			named := func(o matcher) bool {
				return alias == cmp.Or(o.sec.Get("alias"), o.sec.Get("name")) || alias == o.sec.Get("name")
			}
			if !slices.ContainsFunc(outputs, named) {
				l.at(Error, sec, "routes", "leads to "+plain.Quoted(alias)+
					", which is the alias of no output: its records are dropped",
					"set in an output: alias "+alias)
			}
		}
	}
}

// discarding are the outputs that send nothing anywhere.
var discarding = []string{"null", "counter", "flowcounter", "exit"}

// reaches checks whether the records of a customer go anywhere.
func (l *linter) reaches(c customer, outputs []matcher, rewritten bool) {
	if rewritten || c.routed {
		return
	}

	remedy := "set in an output: Match " + c.tag

	var takers []matcher

	for _, o := range outputs {
		if o.takes(c) {
			takers = append(takers, o)
		}
	}

	discards := func(o matcher) bool { return slices.Contains(discarding, strings.ToLower(o.sec.Get("name"))) }
	switch {
	case len(takers) == 0:
		l.add(Error, tagPlace(c), plain.Quoted(c.tag)+" reaches no output: its records are dropped without a word",
			remedy)
	case !slices.ContainsFunc(takers, func(o matcher) bool { return !discards(o) }):
		l.add(Warning, tagPlace(c), plain.Quoted(c.tag)+
			" reaches only outputs that throw its records away: "+takers[0].sec.Get("name"), remedy)
	}
}

// tagPlace returns where a customer's tag is set.
func tagPlace(c customer) config.Place {
	file, line := c.sec.Where("tag")

	return config.Place{
		File:   file,
		Line:   line,
		Key:    "Tag",
		Tenant: c.name,
	}
}

// filters checks the filters that take records of ours, and returns the tags that one
// takes away.
func (l *linter) filters(customers []customer) map[string]bool {
	taken := map[string]bool{}

	for _, sec := range l.file.Of("filter") {
		m := matcherOf(sec)
		if m.pattern == "" && m.expr == "" {
			l.at(Error, sec, "Match", "is missing in a filter"+refuses, "write: Match defender.*")
		}

		mine := slices.DeleteFunc(slices.Clone(customers), func(c customer) bool { return !m.matches(c.tag) })
		if len(mine) == 0 {
			continue
		}

		l.unset(sec)

		if strings.EqualFold(sec.Get("name"), "rewrite_tag") {
			l.at(Warning, sec, "Name", "rewrite_tag keeps the records of "+plain.Quoted(mine[0].tag)+
				" in memory for a moment: a kill then loses them",
				"give each customer a tag with the input's key Tag, or tag in the tenants file")

			for _, c := range mine {
				taken[c.tag] = true
			}

			continue
		}

		l.takesAway(sec, mine)

		if p, ok := sec.Prop("script"); ok && strings.EqualFold(sec.Get("name"), "lua") {
			l.exists(sec, p)
		}

		if h, ok := sec.FilterHazard(); ok {
			level := Warning
			if h.Sure {
				level = Error
			}

			l.at(level, sec, "Name", h.Problem, h.Remedy)
		}
	}

	return taken
}

// output checks one output that records of ours reach.
func (l *linter) output(o matcher, customers []customer, outputs []matcher, rewritten bool) {
	var mine []customer

	for _, c := range customers {
		if o.takes(c) {
			mine = append(mine, c)
		}
	}

	name := strings.ToLower(o.sec.Get("name"))

	if o.pattern == "" && o.expr == "" {
		if !slices.ContainsFunc(customers, func(c customer) bool { return c.routed }) {
			l.at(Error, o.sec, "Match", "is missing: the output gets nothing", "write: Match defender.*")
		}

		if len(mine) == 0 {
			return
		}

		l.at(Error, o.sec, "Match", "is missing: after a restart the alerts that still wait on disk are not sent",
			"write: Match and the name of the route")
	}

	if len(mine) == 0 {
		if strings.HasPrefix(o.pattern, "defender") && !rewritten && !slices.Contains(l.parsed, nil) {
			l.at(Warning, o.sec, "Match", plain.Quoted(o.pattern)+" matches no input",
				"check it against the inputs' Tag")
		}

		return
	}

	l.unset(o.sec)

	if name != "null" {
		l.retries(o.sec)
	}

	l.fits(o.sec, mine)

	for _, p := range o.sec.Processors {
		if h, ok := p.ProcessorHazard(); ok {
			l.hazard(Error, h, "")
		}
	}

	if v := o.sec.Get("storage.total_limit_size"); v != "" {
		l.at(Warning, o.sec, "storage.total_limit_size",
			"deletes the oldest waiting alerts when the SIEM is down for long", "remove it, and watch the disk")
	}

	l.mixes(o, mine, customers, outputs)
}

// retries checks Retry_Limit: a chunk is dropped after so many failed retries, by
// default after one. A value that Fluent Bit does not understand means the default too.
func (l *linter) retries(sec fluentbit.Section) {
	const remedy = "write: Retry_Limit no_limits"

	v := strings.ToLower(sec.Get("retry_limit"))
	switch n := atoi(v); {
	case v == "no_limits" || v == "false" || v == "off":
	case v == "":
		l.at(Error, sec, "Retry_Limit", "is not set: after one failed retry alerts are dropped", remedy)
	case v == "no_retries":
		l.at(Error, sec, "Retry_Limit", "no_retries: alerts are dropped at the first failure", remedy)
	case n > 0:
		l.at(Error, sec, "Retry_Limit", fmt.Sprintf("%d: alerts are dropped after so many failed retries", n), remedy)
	default:
		l.at(
			Error,
			sec,
			"Retry_Limit",
			plain.Quoted(v)+" is not understood: after one failed retry alerts are dropped",
			remedy,
		)
	}
}
