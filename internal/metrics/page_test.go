package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/secret"
)

// get asks for a path, by a host name and with an Authorization header unless they are
// empty.
func get(t *testing.T, address, path, host, authorization string) (*http.Response, string) {
	t.Helper()

	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}

	req.Host = host
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}

	return res, string(body)
}

// shown returns the page about some units, as it is at noon.
func shown(t *testing.T, query string, units ...measure.Unit) string {
	t.Helper()

	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}

	var b strings.Builder

	m := &markup{to: &b}
	m.page(&snapshot{at: noon, units: units}, choiceOf(values))

	if m.err != nil {
		t.Fatal(m.err)
	}

	return b.String()
}

// rowNames returns the names in a page, in its order.
func rowNames(page string) (names []string) {
	for _, m := range regexp.MustCompile(`data-name="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		names = append(names, m[1])
	}

	return names
}

func TestHostileTextStaysText(t *testing.T) {
	hostile := `<img src=x onerror=alert(1)>"'&` + "\x00\xff\n\u202e</script>`"
	page := shown(t, "q="+url.QueryEscape(hostile), customer(hostile, hostile, func(u *measure.Unit) {
		u.Key.StateID = hostile
		u.Status.State = health.Failing
		u.Status.Trouble = health.Trouble{
			Reason:  advice.Reason(hostile),
			Message: hostile,
			Remedy:  hostile,
			Trace:   hostile,
		}
	}))
	_, page, _ = strings.Cut(page, "<body>")

	page, _, _ = strings.Cut(page, "<script>")
	for _, bad := range []string{"<img", "onerror=alert(1)>\"", "</script>", "\x00", "\xff", "\u202e"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}

	if n := strings.Count(page, "&lt;img src=x onerror=alert(1)&gt;"); n < 7 {
		t.Errorf("the text is shown %d times:\n%s", n, page)
	}
}

func TestWhatNeedsAttentionComesFirst(t *testing.T) {
	state := func(s health.State, since time.Duration) func(*measure.Unit) {
		return func(u *measure.Unit) {
			u.Status.State = s
			u.Status.Since = noon.Add(-since)
		}
	}
	units := []measure.Unit{
		customer("1", "a fine one"),
		customer("2", "starting", state(health.Starting, 0)),
		customer("3", "stopped", state(health.Stopped, 0)),
		customer("4", "token ends", func(u *measure.Unit) { u.Ends.RefreshToken = noon.AddDate(0, 0, 13) }),
		customer("5", "gdap ends", func(u *measure.Unit) {
			u.Ends.RefreshToken = noon.AddDate(0, 0, 20)
			u.Ends.Relationship = noon.AddDate(0, 0, 29)
		}),
		customer("6", "deferred", func(u *measure.Unit) { u.Status.Deferred = 1 }),
		customer("7", "waiting", state(health.Waiting, time.Minute)),
		customer("8", "failing for long", state(health.Failing, 24*time.Hour)),
		customer("9", "failing now", state(health.Failing, time.Minute)),
		customer("10", "Another fine one", func(u *measure.Unit) {
			u.Ends.RefreshToken = noon.AddDate(0, 0, 60)
			u.Ends.Relationship = noon.AddDate(0, 0, 31)
		}),
	}
	page := shown(t, "", units...)

	want := []string{"failing now", "failing for long", "waiting", "deferred", "gdap ends", "token ends", "stopped",
		"starting", "a fine one", "Another fine one"}
	if got := rowNames(page); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	for _, text := range []string{
		"<b>10</b> tenants", "<b>2</b> failing",
		"the GDAP relationship ends in 29 d", "the refresh token ends in 13 d",
	} {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not say %q", text)
		}
	}
}

func TestWhatIsWrongWithAnInputIsShownOnce(t *testing.T) {
	refused := &health.Trouble{
		Reason:  advice.CredentialWrong,
		Message: "tenants_file is refused: line 3: `api` is <unknown>",
		Remedy:  "correct it",
	}
	v := &server{}

	for range 2 { // the second has no tenant yet
		v.sources = append(v.sources, &fixed{input: measure.Input{Blocked: true, Notice: refused}})
	}

	var b strings.Builder

	s := v.gather(noon)
	m := &markup{to: &b}
	m.page(&s, choice{})

	for _, text := range []string{
		"Fluent Bit takes no alerts",
		"tenants_file is refused: line 3: <code>api</code> is &lt;unknown&gt;",
	} {
		if n := strings.Count(b.String(), text); n != 1 {
			t.Errorf("said %d times: %s", n, text)
		}
	}
}

func TestThePageShowsWhatWasChosen(t *testing.T) {
	failing := func(r advice.Reason) func(*measure.Unit) {
		return func(u *measure.Unit) {
			u.Status.State = health.Failing
			u.Status.Trouble = health.Trouble{Reason: r, Message: "it fails"}
		}
	}
	alerts := func(n int, last time.Duration, lag float64) func(*measure.Unit) {
		return func(u *measure.Unit) {
			for range n {
				u.Status.Hours.Add(noon)
			}

			u.Status.LastAlert = noon.Add(-last)
			u.Status.LagSeconds = lag
		}
	}

	units := []measure.Unit{
		customer("aaaa", "Contoso", alerts(5, time.Hour, 3)),
		customer("bbbb", "Fabrikam", alerts(9, time.Minute, 1), failing(advice.ConsentMissing)),
		customer("cccc", "Litware", alerts(0, 5*time.Hour, 2), failing(advice.Throttled)),
		customer("dddd", "Proseware", func(u *measure.Unit) { u.Ends.Credential = noon.AddDate(1, 0, 0) }),
	}
	for query, want := range map[string]string{
		"":                               "Fabrikam Litware Contoso Proseware",
		"q=CONT":                         "Contoso",
		"q=dddd":                         "Proseware",
		"q=fail+consent":                 "Fabrikam",
		"q=nobody":                       "",
		"show=failing":                   "Fabrikam Litware",
		"show=ok":                        "Contoso Proseware",
		"show=nonsense":                  "Fabrikam Litware Contoso Proseware",
		"reason=throttled":               "Litware",
		"reason=nonsense":                "Fabrikam Litware Contoso Proseware",
		"sort=tenant":                    "Contoso Fabrikam Litware Proseware",
		"sort=tenant&dir=desc":           "Proseware Litware Fabrikam Contoso",
		"sort=alerts":                    "Fabrikam Contoso Litware Proseware",
		"sort=alert":                     "Fabrikam Contoso Litware Proseware",
		"sort=lag":                       "Proseware Contoso Litware Fabrikam",
		"sort=ends":                      "Proseware Fabrikam Litware Contoso",
		"sort=nonsense&dir=desc":         "Fabrikam Litware Contoso Proseware",
		"sort=tenant&show=failing&q=lit": "Litware",
	} {
		if got := strings.Join(rowNames(shown(t, query, units...)), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

func TestAHeadSortsThenReversesThenLetsGo(t *testing.T) {
	c := choice{words: "x y", view: 1}
	for _, want := range []string{
		"/?q=x+y&show=failing&sort=lag",
		"/?dir=desc&q=x+y&show=failing&sort=lag",
		"/?q=x+y&show=failing",
	} {
		if c = c.sortedBy("lag"); c.address() != want {
			t.Errorf("%s, want %s", c.address(), want)
		}
	}
}

func TestAVeryLongListIsCut(t *testing.T) {
	page := shown(t, "", crowd(maxRows+500, noon)...)
	if n := len(rowNames(page)); n != maxRows || !strings.Contains(page, "The first 2,000 of 2,500") {
		t.Errorf("%d rows", n)
	}
}

func TestThePageIsClosedToForeignCode(t *testing.T) {
	address := serve(t, Settings{}, everything())
	res, _ := get(t, address, "/", "", "")

	policy := res.Header.Get("Content-Security-Policy")
	for _, part := range []string{
		"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'",
		"script-src '" + hashOf(pageScript) + "'", "style-src '" + hashOf(pageStyle) + "'",
	} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy has no %s: %s", part, policy)
		}
	}

	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
		t.Errorf("the policy is wide: %s", policy)
	}

	for path, kind := range map[string]string{
		"/":           "text/html; charset=utf-8",
		"/api/status": "application/json",
		"/metrics":    textFormat,
		"/healthz":    "text/plain; charset=utf-8",
	} {
		res, _ := get(t, address, path, "", "")

		h := res.Header
		if h.Get("Content-Type") != kind || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Cache-Control") != "no-store" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// Nothing in the page leads elsewhere, and nothing in it is a style or handler that a
// policy of hashes would block.
func TestThePageLeadsNowhereElse(t *testing.T) {
	_, page := get(t, serve(t, Settings{}, everything()), "/", "", "")

	for _, bad := range []string{"//", " style=", " onclick=", "@import", "url("} {
		rest := strings.NewReplacer("http://www.w3.org/2000/svg", "").Replace(page)
		for line := range strings.Lines(rest) {
			if strings.Contains(line, bad) && !strings.HasPrefix(strings.TrimSpace(line), "//") {
				t.Errorf("the page has %q in %.200q", bad, line)
			}
		}
	}

}

func TestThePageIsOnlyRead(t *testing.T) {
	address := serve(t, Settings{}, everything())

	for _, method := range []string{"POST", "PUT", "DELETE"} {
		req, err := http.NewRequest(method, "http://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}

		if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != 405 {
			t.Errorf("%s: %v %v", method, res, err)
		}
	}

	if res, _ := get(t, address, "/nothing", "", ""); res.StatusCode != 404 {
		t.Errorf("/nothing: %d", res.StatusCode)
	}
}

func TestTheStatusIsThereForPrograms(t *testing.T) {
	src := everything()
	src.units[1].Status.Hours.Add(time.Now())
	_, body := get(t, serve(t, Settings{}, src), "/api/status", "", "")

	if at := gjson.Get(body, "time").Time(); time.Since(at) > time.Hour {
		t.Errorf("the time is %v", at)
	}

	for path, want := range map[string]string{
		"summary.tenants":           "2",
		"summary.states.failing":    "1",
		"summary.reasons.throttled": "1",

		"input.buffer_bytes":           "42",
		"input.queue_events":           "7",
		"input.store_errors":           "9",
		"input.delivery_blocked":       "true",
		"input.tenants_file_rejected":  "true",
		"input.discovery.failed":       "true",
		"input.discovery.last_success": "2026-03-01T11:00:00Z",
		"input.notices.#":              "1",
		"input.notices.0.reason":       "role_missing",

		"tenants.0.state":        "failing",
		"tenants.0.reason":       "throttled",
		"tenants.0.message":      "the service asked to wait",
		"tenants.0.last_success": "",
		"tenants.0.state_id":     "x",
		"tenants.0.attention":    "true",

		"tenants.1.tenant_id":        "a",
		"tenants.1.emitted":          "3",
		"tenants.1.alerts_24h":       "1",
		"tenants.1.token_expires":    "2026-05-30T12:00:00Z",
		"tenants.1.gdap_ends":        "2027-03-01T12:00:00Z",
		"tenants.1.alerts_by_hour.#": "24",
	} {
		if got := gjson.Get(body, path).String(); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestProbesNeedNoTokenButAName(t *testing.T) {
	token := func() (secret.Text, error) { return secret.New("s3cret"), nil }
	settings := Settings{Token: token, Hosts: []string{"collector.example"}}
	ready := serve(t, settings, &fixed{})

	broken := serve(t, settings, &fixed{fault: errors.New("no tenant was polled yet")})
	for _, c := range []struct {
		address, path, host, authorization string
		status                             int
		body                               string
	}{
		{ready, "/healthz", "", "", 200, "ok\n"},
		{ready, "/readyz", "", "", 200, "ok\n"},
		{broken, "/healthz", "", "", 200, "ok\n"},
		{broken, "/readyz", "", "", 503, "not ready: no tenant was polled yet\n"},
		{ready, "/readyz", "collector.example:9180", "", 200, "ok\n"},
		{ready, "/readyz", "evil.example", "", 403, ""},
		{ready, "/healthz", "evil.example", "", 403, ""},
		{ready, "/healthz", "evil.example", "Bearer s3cret", 200, "ok\n"},
		{ready, "/", "", "", 401, ""},
		{ready, "/api/status", "", "", 401, ""},
		{ready, "/healthz/..", "", "", 401, ""},
		{ready, "/", "", "Bearer s3cret", 200, ""},
		{ready, "/", "", "Basic YW55Ym9keTpzM2NyZXQ=", 200, ""},
		{ready, "/", "", "Basic YW55Ym9keTp3cm9uZw==", 401, ""},
	} {
		res, body := get(t, c.address, c.path, c.host, c.authorization)
		if res.StatusCode != c.status || c.body != "" && body != c.body {
			t.Errorf("%s of %q with %q: %d %q, want %d %q",
				c.path, c.host, c.authorization, res.StatusCode, body, c.status, c.body)
		}
	}
}

func TestWhatTwoInputsLackIsSaidOnce(t *testing.T) {
	var s Servers

	silent := errors.New("the store does not answer")
	for _, fault := range []error{silent, silent, errors.New("no tenant was polled yet")} {
		leave, err := s.Serve(anyPort, &fixed{fault: fault})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(leave)
	}

	const want = "not ready: the store does not answer\nno tenant was polled yet\n"
	if _, body := get(t, s.where(anyPort), "/readyz", "", ""); body != want {
		t.Errorf("%q, want %q", body, want)
	}
}

// onNodes are units of a store that three nodes share, as the node "a" shows them.
func onNodes() *fixed {
	held := func(id string, u *measure.Unit) {
		u.Shared = true
		u.Elsewhere = id != "a"
		u.Holder = measure.Holder{Node: id, Renewed: noon.Add(-2 * time.Second), Live: true}
		u.Status.UpdatedAt = noon.Add(-3 * time.Second)
	}

	return &fixed{
		units: []measure.Unit{
			customer("1", "here", func(u *measure.Unit) { held("a", u) }),
			customer("2", "there", func(u *measure.Unit) { held("b<i>", u) }),
			customer("3", "orphan", func(u *measure.Unit) {
				held("c", u)
				u.Holder = measure.Holder{}
				u.Status.UpdatedAt = noon.Add(-time.Minute)
			}),
			customer("4", "widow", func(u *measure.Unit) {
				held("d", u)
				u.Holder.Live = false
				u.Holder.Renewed = noon.Add(-5 * time.Minute)
				u.Status.UpdatedAt = noon.Add(-5 * time.Minute)
			}),
			customer("5", "moving", func(u *measure.Unit) {
				held("e", u)
				u.Holder = measure.Holder{}
			}),
			customer("6", "silent", func(u *measure.Unit) {
				held("f", u)
				u.Status.UpdatedAt = noon.Add(-2 * time.Minute)
			}),
		},
		input: measure.Input{
			Nodes: []measure.Node{{
				ID:       "a",
				Held:     1,
				Wanted:   6,
				Unowned:  2,
				Live:     3,
				LeaseAge: 1500 * time.Millisecond,
			}},
		},
	}
}

func TestThePageSaysWhichNodePollsAUnitAndThatNobodyDoes(t *testing.T) {
	var servers Servers

	leave, err := servers.Serve(anyPort, onNodes())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(leave)

	servers.open[anyPort.Address].now = func() time.Time { return noon }
	_, page := get(t, servers.where(anyPort), "/", "", "")

	if got, want := rowNames(page), []string{"orphan", "widow", "silent", "moving", "here", "there"}; !slices.Equal(got,
		want) {
		t.Errorf("rows: %v, want %v", got, want)
	}

	for _, want := range []string{
		"on a, lease", "on b&lt;i&gt;, lease", "2 s old", "held by nobody", "no node",
		"no node holds it, so it is not polled", "its node d has not renewed its lease for 5 min",
		"its node f has not written its status for 2 min",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}

	if strings.Contains(shown(t, "", customer("1", "alone")), "held by") {
		t.Error("a store of one machine has holders")
	}

	_, body := get(t, servers.where(anyPort), "/api/status", "", "")

	var d struct {
		Input   struct{ Nodes []map[string]any }
		Tenants []struct {
			Tenant   string
			Node     *string
			LeaseAge *float64 `json:"lease_age_seconds"`
			Unowned  bool
		}
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}

	for _, tenant := range d.Tenants {
		nobody := slices.Contains([]string{"orphan", "widow", "moving"}, tenant.Tenant)

		noNode := slices.Contains([]string{"orphan", "moving"}, tenant.Tenant)
		if tenant.Unowned != nobody || (tenant.Node == nil) != noNode || (tenant.LeaseAge == nil) != noNode {
			t.Errorf("%+v", tenant)
		}
	}

	if len(d.Input.Nodes) != 1 || d.Input.Nodes[0]["node_id"] != "a" || d.Input.Nodes[0]["units_unowned"] != 2.0 {
		t.Errorf("nodes: %v", d.Input.Nodes)
	}
}
