package metrics

import (
	"crypto/sha256"
	_ "embed" // the page's style and script
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/version"
)

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// pagePolicy lets a browser use the page's own style and script, ask this server again,
// and nothing else: no other host, no other script, no frame. Its icon is in the page.
var pagePolicy = "default-src 'none'; style-src '" + hashOf(pageStyle) + "'; script-src '" + hashOf(pageScript) +
	"'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// hashOf returns the source of a style or script in a content security policy.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// maxRows is how many tenants one page shows: a browser is slow with more.
const maxRows = 2000

// servePage answers a request for the status page.
func (v *server) servePage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", pagePolicy)

	chosen := choiceOf(r.URL.Query())
	v.serve(w, r, "text/html; charset=utf-8", func(to io.Writer, s *snapshot) error {
		m := &markup{to: to}
		m.page(s, chosen)

		return m.err
	})
}

// page writes the whole page.
func (m *markup) page(s *snapshot, c choice) {
	rows := s.rows()
	counted := summarize(rows)
	chosen := c.apply(rows)

	m.head(&counted)
	m.raw(`<body><header><h1>Defender alerts</h1><p id="fresh" role="status">As of <time datetime="`,
		s.at.UTC().Format(time.RFC3339), `">`, s.at.UTC().Format("15:04:05"), ` UTC</time></p></header>`)
	m.raw(`<main id="main"><div>`) // written even if empty, so that the script finds each part again
	m.warnings(s)
	m.raw(`</div><div>`)
	m.summary(&counted, c)
	m.raw(`</div>`)
	m.filter(c)
	m.result(len(chosen), counted.all, c)
	m.table(chosen[:min(len(chosen), maxRows)], s.at, c)
	m.raw(`</main><p id="news" class="unseen" aria-live="polite"></p><footer>`)
	m.text("fluent-bit-defender " + version.This().Version)
	m.raw(` · <a href="/api/status">JSON</a> · <a href="/metrics">metrics</a></footer><script>`, pageScript,
		`</script></body></html>`)
}

// head writes the head of the page. Its title and icon show whether a tenant fails.
func (m *markup) head(s *summary) {
	bad := s.urgency[failing] + s.urgency[waiting]
	title, color := "", "%23188038"

	if bad > 0 {
		title, color = "("+strconv.Itoa(bad)+") ", "%23c5221f"
	}

	m.raw(`<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>`, title, `Defender alerts</title>`,
		`<meta name="viewport" content="width=device-width, initial-scale=1">`,
		`<meta name="color-scheme" content="light dark">`,
		`<noscript><meta http-equiv="refresh" content="30"></noscript>`,
		`<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E`,
		`%3Ccircle cx='8' cy='8' r='7' fill='`, color, `'/%3E%3C/svg%3E"><style>`, pageStyle, `</style></head>`)
}

// warnings writes what is wrong with the inputs as a whole.
func (m *markup) warnings(s *snapshot) {
	list := slices.Clone(s.notices)

	if s.input.Blocked {
		list = append(list, health.Trouble{
			Message: "Fluent Bit takes no alerts: they wait, and nothing is lost",
			Remedy:  "see whether its outputs deliver, and whether the disk of `storage.path` is full",
		})
	}

	for _, one := range list {
		m.raw(`<p class="warning" role="alert">`)
		m.prose(one.Message)

		if one.Remedy != "" {
			m.raw(`<span class="remedy">`)
			m.prose(one.Remedy)
			m.raw(`</span>`)
		}

		m.raw(`</p>`)
	}
}

// summary writes the counts, each a link to the tenants that it counts.
func (m *markup) summary(s *summary, c choice) {
	m.raw(`<nav class="summary" aria-label="Tenants by state"><a href="/" class="all"`)
	m.current(c.view == 0 && c.reason == "")
	m.raw(`><b>`)
	m.number(uint64(s.all))
	m.raw(`</b> `, plural(s.all, "tenant", "tenants"), `</a>`)

	for i, n := range s.urgency {
		if n == 0 && urgency(i) != failing {
			continue
		}

		only := c
		only.view = i + 1
		only.reason = ""

		m.raw(`<a href="`)
		m.text(only.address())
		m.raw(`" class="`, views[i].name)

		if n == 0 {
			m.raw(` none`)
		}

		m.raw(`"`)
		m.current(c.view == i+1)
		m.raw(`><b>`)
		m.number(uint64(n))
		m.raw(`</b> `, views[i].title, `</a>`)
	}

	m.raw(`</nav>`)

	if len(s.reasons) > 0 {
		m.reasons(s.reasons, c)
	}
}

// reasons writes why tenants fail, each a link to the tenants that fail for that reason.
func (m *markup) reasons(list []reasonCount, c choice) {
	m.raw(`<nav class="reasons" aria-label="Why tenants fail">`)

	for _, one := range list {
		only := c
		only.view = 0

		only.reason = one.reason
		if c.reason == one.reason {
			only.reason = "" // a second click shows all again
		}

		m.raw(`<a href="`)
		m.text(only.address())
		m.raw(`"`)
		m.current(c.reason == one.reason)
		m.raw(`>`)
		m.text(reasonTitle(one.reason))
		m.raw(` <b>`)
		m.number(uint64(one.n))
		m.raw(`</b></a>`)
	}

	m.raw(`</nav>`)
}

// current marks a link, if it is the one to what is shown.
func (m *markup) current(shown bool) {
	if shown {
		m.raw(` aria-current="true"`)
	}
}

// filter writes the field to search in, as a form: it works without the script.
func (m *markup) filter(c choice) {
	m.raw(`<form id="filter" role="search" action="/"><label for="q">Filter</label>`,
		`<input id="q" name="q" type="search" autocomplete="off" spellcheck="false" `,
		`placeholder="name, id, API or what is wrong" value="`)
	m.text(c.words)
	m.raw(`"><button>Apply</button></form>`)
}

// result writes how many tenants are shown, and how to see all of them.
func (m *markup) result(shown, all int, c choice) {
	m.raw(`<p class="result" id="result">`)

	switch {
	case shown > maxRows:
		m.raw(`The first `, grouped(maxRows), ` of `, grouped(uint64(shown)), `: filter to see others. `)
	case shown < all:
		m.raw(grouped(uint64(shown)), ` of `, grouped(uint64(all)), ` shown. `)
	}

	if c != (choice{}) {
		m.raw(`<a href="/" id="reset">Show all, what needs attention first</a>`)
	}

	m.raw(`</p>`)
}
