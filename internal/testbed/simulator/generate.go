package simulator

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// GenerateOptions say what Generate makes.
type GenerateOptions struct {
	// Since and Until bound the update times; the last 20 h before now if zero.
	Since, Until time.Time
	// Plain leaves out the hostile content, so that titles and texts are plain ASCII.
	Plain bool
	// Size, if not 0, is about the least number of bytes in the text of an alert.
	Size int
	// Ties is how many alerts share an update time, to the hundred nanoseconds, in
	// every tenth group; 4 if 0.
	Ties int
	// Name tells several calls for one tenant apart: the same name makes the same
	// alerts.
	Name string
}

// Generate makes n tenants with one confidential application each (the same client id,
// a secret and a refresh token), authorised for every API, and the number of alerts in
// each. It is for Config.Tenants.
func Generate(n, alertsPerTenant int, seed uint64) []Tenant {
	client := guid(random(seed, "client"))

	list := make([]Tenant, n)
	for i := range list {
		r := random(seed, "tenant", i)
		name := fmt.Sprintf("%s%03d", companies[i%len(companies)], i)
		list[i] = Tenant{
			ID:             guid(r),
			Domain:         name + ".example",
			Name:           name,
			MSSPAuthorised: true,
			Generated:      alertsPerTenant,
			Apps: []App{{
				ClientID:      client,
				Secret:        "S~" + base64URL(r, 27),
				RefreshTokens: []string{"0.A" + base64URL(r, 60)},
				RedirectURIs:  []string{"http://localhost", "https://mssp.example/SiemMsspConnector"},
			}},
		}
	}

	return list
}

var companies = strings.Fields("contoso fabrikam northwind tailspin woodgrove adatum proseware litware")

// Generate adds n alerts with content that is realistic and hostile: quotes,
// backslashes, control characters, emoji, fractions of zero to seven digits, equal
// times, parts that share an AlertId, null beside "" beside missing fields, large and
// negative numbers.
func (s *Simulator) Generate(tenantID string, n int, o GenerateOptions) {
	t := s.mustTenant(tenantID)

	now, skew := s.cfg.Clock(), s.skew()
	if o.Until.IsZero() {
		o.Until = now
	}

	if o.Since.IsZero() {
		o.Since = o.Until.Add(-20 * time.Hour)
	}

	if o.Ties == 0 {
		o.Ties = 4
	}

	r := random(s.cfg.Seed, "generate", t.ID, o.Name)
	t.mu.Lock()
	defer t.mu.Unlock()

	var at time.Time

	incident := int64(0)

	for i := range n {
		if i/o.Ties%10 != 0 || i%o.Ties == 0 {
			at = between(r, o.Since, o.Until)
		}

		a := s.sample(r, at, o)
		if incident != 0 && r.IntN(3) == 0 {
			a.IncidentID = incident
		}

		id := t.add(s.late(t, a), now, skew)
		if incident = t.alerts[id].versions[0].IncidentID; r.IntN(4) == 0 {
			incident = 0
		}
	}
}

// between picks a time with zero to seven digits of fraction.
func between(r *rand.Rand, from, to time.Time) time.Time {
	span := to.Sub(from)
	if span <= 0 {
		return from
	}

	at := from.Add(time.Duration(r.Int64N(int64(span)))).UTC()
	steps := []time.Duration{
		time.Second,
		100 * time.Millisecond,
		10 * time.Millisecond,
		time.Millisecond,
		100 * time.Microsecond,
		10 * time.Microsecond,
		time.Microsecond,
		100,
	}

	step := steps[7]
	if r.IntN(2) == 0 { // half of them have all seven digits
		step = steps[r.IntN(len(steps))]
	}

	if cut := at.Truncate(step); !cut.Before(from) {
		return cut
	}

	return at.Truncate(100)
}

// SampleAlert returns one alert as Generate makes them, updated at the given time. The
// same seed and number make the same alert.
func SampleAlert(seed uint64, number int, at time.Time) Alert {
	s := Simulator{cfg: Config{Seed: seed}}
	return s.sample(random(seed, "sample", number), at, GenerateOptions{})
}

// scene is what the parts of a generated alert have in common.
type scene struct {
	random        *rand.Rand
	at, created   time.Time
	user, domain  string
	file, path    string
	command, host string
}

// sample returns an alert that is updated at the given time. What it draws from r, and
// in which order, decides what a seed makes.
func (s *Simulator) sample(r *rand.Rand, at time.Time, o GenerateOptions) Alert {
	c := scene{random: r, at: at, created: at}
	if r.IntN(3) == 0 {
		c.created = at.Add(-time.Duration(r.Int64N(int64(2 * time.Hour)))).Truncate(100)
	}

	c.user = pick(r, users)
	c.host = pick(r, hosts)
	c.domain = pick(r, domains)

	a := c.alert()

	c.file = pick(r, files)
	c.path = `C:\Users\` + c.user + `\AppData\Local\Temp`
	c.command = `"` + c.path + `\` + c.file + `" /c "echo %TEMP% & exit /b 0"`

	if !o.Plain {
		a.Title += pick(r, oddities)
		a.Description += pick(r, oddities) + pick(r, oddities)
		c.command += pick(r, oddities)
		a.Fields = oddFields(r)
	}

	if o.Size > len(a.Description) {
		a.Description += " " + strings.Repeat("0123456789abcdef", (o.Size-len(a.Description))/16+1)
	}

	a.Detections = c.detections()
	a.Evidence = c.evidence()

	return a
}

// alert returns the alert without its parts.
func (c *scene) alert() Alert {
	r := c.random

	a := Alert{
		ID:           alertID(c.created, int32(r.Uint32())),
		Title:        pick(r, titles),
		Description:  "Line one.\n\nLine two about " + pick(r, files) + ".",
		Category:     pick(r, categories),
		Severity:     pick(r, []string{"Informational", "Low", "Medium", "High"}),
		Status:       pick(r, []string{"New", "New", "InProgress", "Resolved"}),
		Created:      c.created,
		Updated:      c.at,
		Machine:      c.host + "." + c.domain + ".example",
		DeviceID:     hexText(r, 40),
		MachineGroup: pick(r, []string{"", "A", "Servers", "Clients"}),
		RegistryTags: pick(r, []string{"", "vip"}),
		PortalTags:   pick(r, []string{"", "branch office"}),
		Techniques:   []string{pick(r, []string{"T1059.001", "T1204", "T1566.002", "T1055"})},
		Empty:        EmptyMode(r.IntN(3)),
		Escapes:      EscapeMode(r.IntN(3)),
		ServiceSource: pick(r, []string{
			"microsoftDefenderForEndpoint",
			"microsoftDefenderForOffice365",
			"microsoftSentinel",
			"microsoft365Defender",
		}),
		DetectionSource: pick(r, []string{
			"antivirus",
			"microsoftDefenderForEndpoint",
			"smartScreen",
			"scheduledAlerts",
		}),
	}
	if a.Empty == EmptyNull {
		a.Techniques = nil
	}

	return a
}

// detections returns the detections of an alert: one, or some.
func (c *scene) detections() (list []Detection) {
	r := c.random

	for i := range 1 + r.IntN(3)*r.IntN(2) {
		d := Detection{
			AlertTime:     c.created.Add(-time.Duration(r.Int64N(int64(time.Hour)))),
			LastProcessed: c.at,
			FileName:      c.file,
			FilePath:      c.path,
			Sha1:          hexText(r, 40),
			CommandLine:   c.command,
			UserName:      c.user,
			UserDomain:    strings.ToUpper(c.domain),
			IocUniqueID:   base64Text(r, 32),
			ReportID:      r.Int64N(4_000_000_000),
		}
		if i > 0 && r.IntN(2) == 0 {
			d.LastProcessed = c.at.Add(-time.Duration(r.IntN(300)) * 100)
		}

		list = append(list, d)
	}

	return list
}

// evidence returns the evidence of an alert: a user, a process, and mostly one more.
func (c *scene) evidence() []Evidence {
	r := c.random

	list := []Evidence{
		{
			Type:        "User",
			Created:     c.created,
			AccountName: c.user,
			DomainName:  strings.ToUpper(c.domain),
			UserSID:     "S-1-5-21-1-2-3-1105",
		},
		{
			Type:              "Process",
			Created:           c.created,
			Sha1:              hexText(r, 40),
			Sha256:            hexText(r, 64),
			FileName:          c.file,
			FilePath:          c.path,
			CommandLine:       c.command,
			ProcessID:         r.Int64N(70000),
			ParentProcessID:   r.Int64N(70000),
			RemediationStatus: pick(r, []string{"none", "prevented", "active"}),
		},
	}

	switch r.IntN(4) {
	case 0:
		address := fmt.Sprintf("192.0.2.%d", r.IntN(256))
		list = append(list, Evidence{Type: "Ip", Created: c.created, IPAddress: address})
	case 1:
		list = append(list, Evidence{Type: "Url", Created: c.created, URL: "https://evil.example/a?b=c&d=%20|\\"})
	case 2:
		list = append(list, Evidence{
			Type:     "File",
			Created:  c.created,
			FileName: c.file,
			FileSize: 1<<53 + 1,
		})
	}

	return list
}

// oddFields returns fields with values at the limits of JSON and of Fluent Bit's format.
func oddFields(r *rand.Rand) map[string]map[string]json.RawMessage {
	odd := []string{
		"9223372036854775807",
		"-9223372036854775808",
		"18446744073709551615",
		"18446744073709551616",
		"-0",
		"-0.0",
		"1.5e-7",
		"0.1",
		"123456789012345678901234567890",
		"true",
		"null",
		`""`,
		"[]",
		"{}",
		`[[],{},[null,{"a":[{}]}]]`,
		`"\ud83d\ude00"`,
		`"\ud83d"`,
		`"\u0000"`,
		`{"":1,"a":1,"a":2}`,
		"[1,-1,1.0,1E2]",
	}

	if r.IntN(4) != 0 {
		return nil
	}

	fields := map[string]json.RawMessage{}

	for range 1 + r.IntN(3) {
		key := pick(r, []string{"additionalData", "customDetails", "mssp", "cef", "x y", "\"", "Ünïcode"})
		fields[key] = json.RawMessage(pick(r, odd))
	}

	m := map[string]map[string]json.RawMessage{}
	for _, api := range APIs() {
		m[api] = fields
	}

	return m
}

// pick returns a random element.
func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

var (
	titles = []string{
		"Suspicious service launch",
		"Suspicious PowerShell command line",
		"'Mimikatz' malware was prevented",
		"Unusual sign-in",
		"Ransomware behavior detected in the file system",
		"Email messages containing malicious URL removed after delivery",
	}
	categories = strings.Fields("Execution Malware SuspiciousActivity InitialAccess CredentialAccess DefenseEvasion")
	files      = []string{"loader.exe", "invoice.pdf.exe", "rundll32.exe", "a b.ps1", "文書.docx", "x=y|z.bat"}
	users      = []string{"alice", "bob", "jürgen", "o'brien", "svc_backup$"}
	hosts      = []string{"wks-0042", "srv-db01", "laptop-7", "dc1"}
	domains    = []string{"corp", "emea", "lab"}
	oddities   = []string{
		"",
		"",
		"",
		" \"quoted\" \\ back\\slash/",
		" tab\tcr\r\nlf\n",
		" \x01\x1f\x7f",
		" 日本語の警告",
		" 😀👩‍👩‍👧",
		" |pipe=equals\\|",
		" \u2028\u2029",
		" {\"not\":\"json\"}",
		" \ufeffBOM \ufffd",
		" ]}],",
		" ${HOME} $(id) `id` %s %n",
	}
)
