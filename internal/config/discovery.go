package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config/yamldoc"
)

// OnVanish says what happens to a discovered tenant that is no customer any more.
type OnVanish string

const (
	// KeepVanished keeps the tenant, which shows as failing until it is removed.
	KeepVanished OnVanish = "keep"
	// StopVanished ends it.
	StopVanished OnVanish = "stop"
)

// Discovery is the part `discover` of a tenants file: the tenants of an input that are
// found among the provider's customers.
type Discovery struct {
	// Every is how often the customers are listed.
	Every time.Duration
	// Include and Exclude are patterns of names or ids, in lower case. Without Include
	// all customers are included.
	Include, Exclude []string
	OnVanish         OnVanish
	// Home has the settings of every discovered tenant, and so those of the sign-in in
	// the provider's own tenant, its HomeTenantID. It is not a tenant itself.
	Home Tenant

	listed  []alert.TenantID // the tenants of the file, which are not discovered again
	layers  []layer          // discover.defaults, defaults, the section
	sources Sources
	adopt   func(*Tenant) // Input.adopt
}

// Customer is a customer that was discovered.
type Customer struct {
	// TenantID is a GUID in lower case.
	TenantID alert.TenantID
	Name     string
}

// Listed returns the tenants that the file lists. Their settings count, even if they
// are customers as well.
func (d *Discovery) Listed() []alert.TenantID { return slices.Clone(d.listed) }

// Keeps reports whether a discovered customer is polled all the same when no
// relationship leads to it any more.
func (d *Discovery) Keeps(c Customer) bool { return d.OnVanish == KeepVanished && d.Covers(c) }

// Covers reports whether a customer is to be polled because it was discovered.
func (d *Discovery) Covers(c Customer) bool {
	matches := func(pattern string) bool {
		return matchPattern(pattern, string(c.TenantID)) || matchPattern(pattern, strings.ToLower(c.Name))
	}

	switch {
	case slices.Contains(d.listed, c.TenantID):
		return false
	case slices.ContainsFunc(d.Exclude, matches):
		return false
	}

	return len(d.Include) == 0 || slices.ContainsFunc(d.Include, matches)
}

// Tenants returns the tenants for those of the customers that Covers accepts. Its error
// joins all faults, as that of FromPlugin: a file that the settings name may have
// changed since they were read.
func (d *Discovery) Tenants(customers []Customer) ([]Tenant, error) {
	b := newBuilder(d.sources)

	var all []Tenant

	for _, c := range customers {
		if !d.Covers(c) {
			continue
		}

		t := b.reader(d.layersOf(c)...).readTenant()
		d.adopt(&t)
		all = append(all, t)
	}

	return all, b.failure()
}

// layersOf returns the layers for a customer: its own id, name and tag before the
// settings that all have.
func (d *Discovery) layersOf(c Customer) []layer {
	own := layer{value: func(key string) value {
		switch key {
		case "tenant_id":
			return value{text: string(c.TenantID), set: true}
		case "tenant_name":
			return value{text: c.Name, set: true}
		case "tag":
			v := d.layers[0].value(key)
			v.text = tagOf(v.text, c)

			return v
		}

		missing := d.layers[0].value(key)

		return value{file: missing.file, line: missing.line, inherited: true}
	}}

	return append([]layer{own}, d.layers...)
}

// placeholders are replaced in the tag of discovered tenants.
var placeholders = []string{"{tenant_id}", "{tenant_name}"}

// tagOf replaces the placeholders in a tag with the id and name of a customer.
func tagOf(tag string, c Customer) string {
	name := safeInTag(c.Name)
	if strings.Trim(name, "_") == "" {
		name = string(c.TenantID) // the name has no character that a tag may have
	}

	return strings.NewReplacer(placeholders[0], safeInTag(string(c.TenantID)), placeholders[1], name).Replace(tag)
}

// safeInTag returns a text with only the characters that a tag may have: others, one or
// several in a row, become an underscore.
func safeInTag(s string) string {
	var b strings.Builder

	for _, r := range s {
		switch {
		case inTag(r):
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}

	return b.String()
}

// matchPattern reports whether a text matches a pattern, in which * stands for any
// characters.
func matchPattern(pattern, text string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}

	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}

	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(text, part)
		}

		i := strings.Index(text, part)
		if i < 0 {
			return false
		}

		text, rest = text[i+len(part):], more
	}
}

// discoverKeys are the keys of the part `discover`.
var discoverKeys = []string{"from", "every", "include", "exclude", "defaults", "on_vanish"}

// Bounds and default of `every`.
const (
	everyDefault = time.Hour
	everyLeast   = time.Minute
	everyMost    = 7 * day
)

// discoverShape says how the part is written.
const discoverShape = "write `discover:` and under it keys such as `from: gdap` and `every: 1h`"

// discovery reads the part `discover`. It returns nil if there is none, or if it is no
// mapping.
func (f *tenantsReader) discovery(top mapping, defaults layer, sec section) *Discovery {
	p, ok := top["discover"]
	if !ok {
		return nil
	}

	if p.value.Kind != yaml.MappingNode && !yamldoc.IsNull(p.value) {
		f.fault(p.value.Line, "discover", "", "is not a mapping", discoverShape)
		return nil
	}

	m := f.mapping(p.value, "")
	f.unknownKeys(m, discoverKeys, "`discover:` has only "+strings.Join(discoverKeys, ", "))

	d := &Discovery{
		Every:    f.every(m),
		OnVanish: OnVanish(f.word(m, "on_vanish", string(KeepVanished), string(StopVanished))),
		Include:  f.patterns(m, "include"),
		Exclude:  f.patterns(m, "exclude"),
		layers:   []layer{f.discoverDefaults(m, p.key.Line), defaults, {value: sec.inherited}},
		sources:  f.sources,
	}

	f.word(m, "from", "gdap")
	f.readHome(d, p.key.Line)

	return d
}

// word returns the value of a key, which is one of words; the first if the key is
// missing.
func (f *tenantsReader) word(m mapping, key string, words ...string) string {
	p, ok := m[key]
	if !ok || yamldoc.IsNull(p.value) {
		return words[0]
	}

	text := strings.ToLower(p.value.Value)
	if p.value.Kind == yaml.ScalarNode && slices.Contains(words, text) {
		return text
	}

	remedy := oneOf(words)
	if near := nearest(text, words); near != "" {
		remedy = "did you mean " + near + "? " + remedy
	}

	f.fault(p.value.Line, "discover."+key, "", shown(p.value.Value)+" is unknown", remedy)

	return words[0]
}

// every returns how often the customers are listed.
func (f *tenantsReader) every(m mapping) time.Duration {
	p, ok := m["every"]
	if !ok || yamldoc.IsNull(p.value) {
		return everyDefault
	}

	allowed := fmt.Sprintf("use %s to %s", FormatDuration(everyLeast), FormatDuration(everyMost))

	d, err := ParseDuration(p.value.Value)

	switch {
	case p.value.Kind != yaml.ScalarNode || err != nil:
		f.fault(p.value.Line, "discover.every", "", shown(p.value.Value)+" is not a duration",
			"write it like 10m, 1h or 1d")
	case d < everyLeast:
		f.fault(p.value.Line, "discover.every", "", shown(p.value.Value)+" is below the minimum of "+
			FormatDuration(everyLeast), allowed)
	case d > everyMost:
		f.fault(p.value.Line, "discover.every", "", shown(p.value.Value)+" is above the maximum of "+
			FormatDuration(everyMost), allowed)
	default:
		return d
	}

	return everyDefault
}

// patterns returns a list of patterns, in lower case.
func (f *tenantsReader) patterns(m mapping, key string) []string {
	p, ok := m[key]
	if !ok || yamldoc.IsNull(p.value) {
		return nil
	}

	const remedy = "write a list of names or ids, such as [\"Contoso*\"]"

	if p.value.Kind != yaml.SequenceNode {
		f.fault(p.value.Line, "discover."+key, "", "is not a list", remedy)
		return nil
	}

	var all []string

	for _, n := range p.value.Content {
		text, problem := "", ""
		if n.Kind == yaml.ScalarNode {
			text, problem, _ = f.expand(n.Value, false)
		}

		text = strings.ToLower(strings.TrimSpace(text))

		switch {
		case problem != "":
			f.fault(n.Line, "discover."+key, "", problem, remedy)
		case text == "":
			f.fault(n.Line, "discover."+key, "", "has an entry that is not a name, id or pattern", remedy)
		default:
			all = append(all, text)
		}
	}

	return all
}

// discoverDefaults returns the layer of discover.defaults, which may be empty. line is
// the line of `discover`.
func (f *tenantsReader) discoverDefaults(m mapping, line int) layer {
	p, ok := m["defaults"]

	switch {
	case ok && p.value.Kind == yaml.MappingNode:
		l := f.layer(p.value, "", inDiscover)
		f.checkPlaceholders(l.value("tag"))

		return l
	case ok && !yamldoc.IsNull(p.value):
		f.fault(p.value.Line, "discover.defaults", "", "is not a mapping", "write keys with values under it")
	}

	return layer{value: func(string) value { return value{file: f.file, line: line, inherited: true} }}
}

// checkPlaceholders reports a fault if a tag has braces that are no placeholder.
func (f *tenantsReader) checkPlaceholders(v value) {
	rest := strings.NewReplacer(placeholders[0], "", placeholders[1], "").Replace(v.text)
	if strings.ContainsAny(rest, "{}") {
		f.fault(v.line, "discover.defaults.tag", "", shown(v.text)+" has braces that are not a placeholder",
			"write "+strings.Join(placeholders, " or "))
	}
}

// readHome reads the settings of discovered tenants, so that faults in them are found
// when the file is read. line is the line of `discover`.
func (f *tenantsReader) readHome(d *Discovery, line int) {
	r := f.reader(d.layersOf(sample)...)
	if v := r.raw("home_tenant_id"); v.text == "" && !v.bad || strings.EqualFold(v.text, NoHome) {
		f.fault(line, "discover", "", "needs home_tenant_id, the provider's own tenant, whose customers it lists",
			"set home_tenant_id under `defaults:`, or in the input's section")

		return
	}

	d.Home = r.readTenant()
}

// sample stands for every discovered tenant while their settings are checked.
var sample = Customer{TenantID: "00000000-0000-4000-8000-000000000000", Name: "discover.defaults"}
