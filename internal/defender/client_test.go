package defender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/tokens"
)

// readError reads the last hour from a handler and returns the error as *Error.
func readError(t *testing.T, api alert.API, h http.HandlerFunc, change ...func(*Settings)) *Error {
	t.Helper()
	reader, _ := fake(t, api, h, change...)
	err := reader.Read(t.Context(), lastHour(), discard{})

	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: %v is no *Error", api, err)
	}

	if !e.Reason.Known() {
		t.Errorf("%s: %v has the reason %q", api, e, e.Reason)
	}

	return e
}

// documentedRequests are the requests that the services document, by API.
var documentedRequests = []struct {
	api    alert.API
	change func(*Settings)
	window Window
	want   string // the first request's query, unescaped
	prefer string
}{
	{alert.Endpoint, nil, lastHour(),
		"$filter=lastUpdateTime ge 2026-03-01T11:00:00.0000000Z&$orderby=lastUpdateTime " +
			"asc&$top=100&$expand=evidence", ""},
	{alert.Graph, nil, lastHour(),
		"$filter=lastUpdateDateTime ge 2026-03-01T11:00:00.0000000Z&$orderby=lastUpdateDateTime asc&$top=100",
		"include-unknown-enum-members"},
	{alert.Incidents, nil, lastHour(),
		"$filter=lastUpdateTime ge 2026-03-01T11:00:00.0000000Z&$orderby=lastUpdateTime asc&$top=100", ""},
	{alert.Graph, func(s *Settings) { s.Filter = "severity eq 'high' or status eq 'a+b&c'"; s.ByCreation = true },
		Window{From: tick.FromTime(start) + 1, To: tick.FromTime(start) + 20_000_000},
		"$filter=(createdDateTime ge 2026-03-01T12:00:00.0000001Z and createdDateTime lt " +
			"2026-03-01T12:00:02.0000000Z) and (severity eq 'high' or status eq 'a+b&c')" +
			"&$orderby=createdDateTime asc&$top=100", "include-unknown-enum-members"},
	{alert.SIEM, nil, lastHour(), "sinceTimeUtc=2026-03-01T10:59:59.999", ""},
	{alert.SIEM, func(s *Settings) { s.Filter = "machinegroups=A&machinegroups=B" },
		Window{From: tick.FromTime(start) + 12_345, To: tick.FromTime(start) + 20_000_001},
		"sinceTimeUtc=2026-03-01T12:00:00.000&untilTimeUtc=2026-03-01T12:00:03.001&machinegroups=A&machinegroups=B",
		""},
}

// TestRequestsAreWhatTheServicesDocument: options with their $, unquoted dates with a
// zone, milliseconds for siem, and headers.
func TestRequestsAreWhatTheServicesDocument(t *testing.T) {
	for _, test := range documentedRequests {
		var first *http.Request

		reader, _ := fake(t, test.api, func(w http.ResponseWriter, r *http.Request) {
			if first == nil {
				first = r
			}

			if test.api == alert.SIEM {
				_, _ = io.WriteString(w, "[]")
				return
			}

			_, _ = io.WriteString(w, pageOf())
		}, func(s *Settings) {
			if test.change != nil {
				test.change(s)
			}
		})
		if err := reader.Read(t.Context(), test.window, newBasket(t, test.api)); err != nil {
			t.Errorf("%s: %v", test.api, err)
			continue
		}

		got, err := url.PathUnescape(first.URL.RawQuery)
		if err != nil || got != test.want {
			t.Errorf("%s asks for\n%s, not\n%s", test.api, got, test.want)
		}

		if strings.Contains(first.URL.RawQuery, "+") || strings.Contains(first.URL.RawQuery, " ") {
			t.Errorf("%s: %q can be read in two ways", test.api, first.URL.RawQuery)
		}

		if h := first.Header; h.Get("Prefer") != test.prefer || h.Get("Authorization") != "Bearer tok" ||
			h.Get("Accept") != "application/json" ||
			h.Get("User-Agent") != UserAgent {
			t.Errorf("%s sends %v", test.api, h)
		}
	}
}

// refusals are answers of the APIs, and what is said of each.
var refusals = []struct {
	status int
	header http.Header
	body   string
	fate   advice.Fate
	want   []string
}{
	{400, nil, `{"error":{"code":"BadRequest","message":"leak"}}`, advice.NeedsFix,
		[]string{"`filter`", "HTTP 400", "BadRequest"}},
	{401, nil, ``, advice.NewToken, []string{"`resource`", "https://resource.example", "clock", "HTTP 401"}},
	{400, nil, `{"error":{"code":"BadRequest","message":"leak: the tenant has no License"}}`, advice.NotAuthorised,
		[]string{"no licence", "onboarded", "`api`"}},
	{402, nil, ``, advice.NotAuthorised, []string{"no licence"}},
	{403, nil, `{"error":{"code":"Forbidden","message":"leak"}}`, advice.NotAuthorised,
		[]string{clientID, contoso, "HTTP 403"}},
	{403, nil, ``, advice.NotAuthorised, []string{clientID, contoso, "HTTP 403"}},
	{403, nil, `<html>leak`, advice.NeedsFix, []string{"web page", "proxy", clientID, contoso, "HTTP 403"}},
	{403, http.Header{"Content-Type": {"Text/HTML; charset=x"}}, `leak`, advice.NeedsFix, []string{"web page"}},
	{403, nil, `{"error":{"code":"Forbidden","message":"leak: Tenant is not onboarded to Microsoft Defender"}}`,
		advice.NotAuthorised, []string{"no licence", "onboarded", "HTTP 403, Forbidden"}},
	{403, nil, `{"error":{"code":"DisabledFeature","message":"leak"}}`, advice.NotAuthorised,
		[]string{"switched off", "DisabledFeature"}},
	{403, http.Header{"Www-Authenticate": {`Bearer error="insufficient_claims"`}}, ``, advice.NotAuthorised,
		[]string{"conditional access", "exempt"}},
	{401, http.Header{"Www-Authenticate": {`Bearer realm="", error="insufficient_claims", claims="leak"`}}, ``,
		advice.NotAuthorised, []string{"conditional access", "exempt", "HTTP 401"}},
	{401, http.Header{"Www-Authenticate": {`Basic realm="a, error=b"`, `BEARER Error = 'INSUFFICIENT_CLAIMS'`}}, ``,
		advice.NotAuthorised,
		[]string{"conditional access"}},
	{401, http.Header{"Www-Authenticate": {`Bearer error="invalid_token", error_description="leak"`}}, ``,
		advice.NewToken, []string{"`resource`"}},
	{407, nil, ``, advice.NeedsFix, []string{"proxy", "user", "HTTPS_PROXY"}},
	{404, nil, `<html>leak`, advice.NeedsFix, []string{"web page"}},
	{404, nil, ``, advice.NeedsFix, []string{"`region`", "`cloud`", "HTTP 404"}},
	{408, nil, ``, advice.TryAgain, []string{"too long"}},
	{413, nil, ``, advice.TryAgain, []string{"too large"}},
	{429, nil, `{"error":{"code":"TooManyRequests","message":"leak",` +
		`"target":"0a0a0a0a-0000-0000-0000-000000000000"}}`, advice.TryAgain,
		[]string{"too many requests", "TooManyRequests", "trace id 0a0a0a0a-0000-0000-0000-000000000000"}},
	{500, http.Header{"Request-Id": {"r-1"}}, `<html>leak</html>`, advice.TryAgain,
		[]string{"answered 500 (server error)", "trace id r-1"}},
	{503, nil, ``, advice.TryAgain, []string{"answered 503 (server error)"}},
	{302, http.Header{"Location": {"https://elsewhere.example/x?leak"}}, ``, advice.NeedsFix,
		[]string{"https://elsewhere.example", "api_url"}},
	{204, nil, ``, advice.TryAgain, []string{"HTTP 204", "without a list"}},
	{206, nil, `{"value":[]}`, advice.TryAgain, []string{"HTTP 206", "without a list"}},
}

// TestRefusalsNameTheirRemedy names, for each answer, what is to be done about
// it, and by whom.
func TestRefusalsNameTheirRemedy(t *testing.T) {
	for _, test := range refusals {
		for _, api := range alert.APIs() {
			e := readError(t, api, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range test.header {
					w.Header()[k] = v
				}

				w.WriteHeader(test.status)

				if test.status != 204 {
					_, _ = io.WriteString(w, test.body)
				}
			})

			text := e.Error()
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("%s %d: %q lacks %q", api, test.status, text, want)
				}
			}

			if e.Fate != test.fate || strings.Contains(text, "leak") || strings.ContainsAny(text, "\n\r") {
				t.Errorf("%s %d: fate %v, %q", api, test.status, e.Fate, text)
			}

			if e.Fate.NeedsPerson() && e.Remedy == "" {
				t.Errorf("%s %d: no remedy", api, test.status)
			}
		}
	}
}

func TestRefusalsHaveReasons(t *testing.T) {
	claims := http.Header{"Www-Authenticate": {`Bearer error="insufficient_claims"`}}

	for _, test := range []struct {
		status int
		header http.Header
		body   string
		want   advice.Reason
	}{
		{204, nil, ``, advice.BadAnswer},
		{302, nil, ``, advice.BadAnswer},
		{400, nil, ``, advice.BadAnswer},
		{401, nil, ``, advice.CredentialWrong},
		{401, claims, ``, advice.ConditionalAccess},
		{402, nil, ``, advice.NotLicensed},
		{403, nil, ``, advice.RoleMissing},
		{403, claims, ``, advice.ConditionalAccess},
		{403, nil, `<html>`, advice.Unreachable},
		{403, nil, `{"error":{"code":"DisabledFeature"}}`, advice.NotLicensed},
		{403, nil, `{"error":{"message":"no licence"}}`, advice.NotLicensed},
		{404, nil, ``, advice.BadAnswer},
		{407, nil, ``, advice.Unreachable},
		{408, nil, ``, advice.TooSlow},
		{413, nil, ``, advice.TooLarge},
		{429, nil, ``, advice.Throttled},
		{500, nil, ``, advice.BadAnswer},
		{503, nil, ``, advice.BadAnswer},
	} {
		e := readError(t, alert.Graph, func(w http.ResponseWriter, _ *http.Request) {
			maps.Copy(w.Header(), test.header)
			w.WriteHeader(test.status)

			if test.status != 204 {
				_, _ = io.WriteString(w, test.body)
			}
		})
		if e.Reason != test.want {
			t.Errorf("%d %q: %s, want %s", test.status, test.body, e.Reason, test.want)
		}
	}
}

// TestARefusedProviderAsksForARelationshipWithTheRole, and for no permission that it has.
func TestARefusedProviderAsksForARelationshipWithTheRole(t *testing.T) {
	for home, want := range map[alert.TenantID]string{
		"":                                     "add SecurityAlert.Read.All",
		contoso:                                "add SecurityAlert.Read.All", // the provider's own alerts
		"aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee": "ask the customer for a new relationship with the role Security Reader",
	} {
		e := readError(t, alert.Graph, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
			func(s *Settings) { s.Home = home })
		if e.Reason != advice.RoleMissing || !strings.HasPrefix(e.Remedy, want) {
			t.Errorf("home %q: %s, %s", home, e.Reason, e.Remedy)
		}
	}
}

// TestRetryAfterInAllItsForms reads the header in all its forms; what asks for no wait
// counts as none.
func TestRetryAfterInAllItsForms(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"5":                             5 * time.Second,
		" 7 ":                           7 * time.Second,
		"-3":                            0,
		"30.5":                          31 * time.Second,
		"soon":                          0,
		"86400":                         24 * time.Hour,
		"99999999999999999999999":       24 * time.Hour,
		"Sun, 01 Mar 2026 12:01:30 GMT": 40 * time.Second, // the server's clock says 12:00:50
		"Sun, 01 Mar 2026 12:00:00 GMT": 0,
		"Mon, 02 Mar 2026 12:00:50 GMT": 24 * time.Hour,
	} {
		limiter := NewLimiter(func() time.Time { return start })

		e := readError(t, alert.Graph, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "Sun, 01 Mar 2026 12:00:50 GMT")

			if value != "" {
				w.Header().Set("Retry-After", value)
			}

			w.WriteHeader(429)
		}, func(s *Settings) { s.Limiter = limiter })
		if e.RetryAfter != want {
			t.Errorf("%q: %v", value, e.RetryAfter)
		}

		held := limiter.Until().Sub(start)
		if want > 0 && held != min(want, time.Hour) || want == 0 && (held < time.Second || held > firstHold) {
			t.Errorf("%q: everybody is held for %v", value, held)
		}
	}
}

// TestNoRequestBeforeRetryAfterHasPassed: not by this reader, not by another one that
// shares the limiter.
func TestNoRequestBeforeRetryAfterHasPassed(t *testing.T) {
	c := newClock()
	limiter, asked := NewLimiter(c.Now), 0
	h := func(w http.ResponseWriter, _ *http.Request) {
		asked++

		w.Header().Set("Retry-After", "30")
		w.WriteHeader(503)
	}
	change := func(s *Settings) { s.Limiter, s.Now = limiter, c.Now }
	one, _ := fake(t, alert.Endpoint, h, change)

	two, _ := fake(t, alert.Endpoint, h, change)
	for i := range 61 {
		for _, reader := range []Reader{one, two} {
			var e *Error
			err := reader.Read(t.Context(), lastHour(), discard{})
			if !errors.As(err, &e) || e.Fate != advice.TryAgain || e.RetryAfter == 0 {
				t.Fatal(err)
			}
		}

		if want := 1 + i/30; asked != want {
			t.Fatalf("after %d s: %d requests, not %d", i, asked, want)
		}

		c.Advance(time.Second)
	}
}

// spy is a TokenSource that returns a new token after each 401.
type spy struct{ given, dropped int }

func (s *spy) Token(context.Context) (tokens.Access, error) {
	s.given++
	return tokens.Access{Token: secret.New(fmt.Sprintf("token-%d-of-the-service", s.dropped))}, nil
}
func (s *spy) Invalidate(tokens.Access) { s.dropped++ }

// TestARefusedTokenIsReplacedOnce: a fresh one is tried at once; if that is refused
// too, a person has to look.
func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	for _, api := range alert.APIs() {
		var got []string

		s := &spy{}

		reader, _ := fake(t, api, func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("Authorization"))
			if len(got) == 1 {
				w.WriteHeader(401)
				return
			}

			_, _ = io.WriteString(w, map[bool]string{true: "[]", false: pageOf()}[api == alert.SIEM])
		}, func(c *Settings) { c.Tokens = s })
		err := reader.Read(t.Context(), lastHour(), discard{})
		if err != nil || len(got) != 2 || got[0] == got[1] || s.dropped != 1 {
			t.Errorf("%s: %v after %q", api, err, got)
		}

		s, asked := &spy{}, 0

		e := readError(t, api, func(w http.ResponseWriter, _ *http.Request) {
			asked++

			w.WriteHeader(401)
		}, func(c *Settings) { c.Tokens = s })
		if e.Fate != advice.NewToken || asked != 2 {
			t.Errorf("%s: fate %v after %d requests", api, e.Fate, asked)
		}
	}
}

// TestATokenGoesToTheConfiguredHostOnly: redirects and links to another host end in one
// line, and nothing arrives there (trap 36 in doc.go).
func TestATokenGoesToTheConfiguredHostOnly(t *testing.T) {
	arrived := 0

	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived++

		t.Errorf("%s arrived with %q", r.URL, r.Header.Get("Authorization"))
	}))
	defer other.Close()

	for _, api := range alert.APIs() {
		for _, status := range []int{301, 302, 303, 307, 308} {
			e := readError(
				t,
				api,
				func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/x", status) },
			)
			if !strings.Contains(e.Error(), other.URL) || !e.Fate.NeedsPerson() {
				t.Errorf("%s %d: %v", api, status, e)
			}
		}
	}

	u, _ := url.Parse(other.URL)
	for name, link := range map[string]string{
		"another host":    other.URL + "/alerts?$filter=x&$skiptoken=1",
		"another port":    "http://127.0.0.1:1/alerts?$filter=x&$skiptoken=1",
		"user in it":      "http://user@" + u.Host + "/alerts?$filter=x&$skiptoken=1",
		"another scheme":  "https://HOST/alerts?$filter=x&$skiptoken=1",
		"no scheme":       "//" + u.Host + "/alerts?$filter=x&$skiptoken=1",
		"relative":        "alerts?$filter=x&$skiptoken=1",
		"no address":      "http://[::1/%zz",
		"a control sign":  "http://a\\u0000b/",
		"the host behind": "http://HOST@" + u.Host + "/?$filter=x&$skiptoken=1",
		"too long":        "http://HOST/alerts?$filter=x&$skiptoken=" + strings.Repeat("a", longestLink),
	} {
		asked := 0
		reader, notices := fake(t, alert.Graph, func(w http.ResponseWriter, r *http.Request) {
			asked++

			q, _ := url.ParseQuery(r.URL.RawQuery)
			if q.Has("$skiptoken") {
				t.Errorf("%s: followed", name)
			}

			rows := []string{row(alert.Graph, "a", start.Add(-time.Minute)), row(alert.Graph, "b", start)}

			if q.Has("$skip") || strings.Contains(q.Get("$filter"), " lt ") {
				_, _ = io.WriteString(w, pageOf())
				return
			}

			if from, _ := (&poisoned{}).window(q); from > tick.FromTime(start.Add(-time.Minute)) {
				rows = rows[1:]
			}

			next := strings.ReplaceAll(link, "HOST", r.Host)
			_, _ = io.WriteString(w, `{"value":[`+strings.Join(rows, ",")+`],"@odata.nextLink":"`+next+`"}`)
		})

		b := newBasket(t, alert.Graph)
		for range 3 {
			b.safe = 0
			if err := reader.Read(t.Context(), lastHour(), b); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}

		if len(b.rows) != 2 || len(notices.List()) != 1 {
			t.Errorf("%s: %d rows, said %q", name, len(b.rows), notices.List())
		}
	}

	if arrived > 0 {
		t.Errorf("%d requests went elsewhere", arrived)
	}
}

// TestALinkToAnotherHostIsNotFollowed is the same with the simulator, whose attacker
// has a name.
func TestALinkToAnotherHostIsNotFollowed(t *testing.T) {
	r := newRig(t, alert.Graph, func(_ *simulator.Config, s *Settings) {
		s.HTTP = &http.Client{
			Transport: &http.Transport{
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					if !strings.HasPrefix(address, "127.0.0.1:") {
						t.Errorf("connects to %s", address)
					}

					return (&net.Dialer{}).DialContext(ctx, network, address)
				},
			},
		}
		s.PageSize, s.MaxPage = 10, 10
	})
	manyTied(r.Simulator, 2, 40, start.Add(-time.Hour), time.Minute)

	if err := r.SetFaults("link:kind=otherhost"); err != nil {
		t.Fatal(err)
	}

	b := newBasket(t, alert.Graph)
	r.readOn(r.window(2*time.Hour), b, &b.safe)
	r.complete(b)

	if len(r.notices.List()) != 1 || !strings.Contains(r.notices.List()[0], "graph.attacker.example") {
		t.Errorf("said %q", r.notices.List())
	}

	if err := r.SetFaults("redirect:kind=307"); err != nil {
		t.Fatal(err)
	}

	var e *Error
	if err := r.reader.Read(t.Context(), r.window(time.Hour), discard{}); !errors.As(err, &e) ||
		!strings.Contains(e.Error(), "login.attacker.example") {
		t.Errorf("a redirect: %v", err)
	}
}

// TestPreferIsSentOnLinksToo: trap 30 in doc.go.
func TestPreferIsSentOnLinksToo(t *testing.T) {
	links := 0
	r := newRig(t, alert.Graph, func(_ *simulator.Config, s *Settings) {
		s.PageSize, s.MaxPage = 10, 10
		s.HTTP = &http.Client{Transport: seeing(func(r *http.Request) {
			if strings.Contains(r.URL.RawQuery, "skiptoken") {
				links++
			}

			if r.Header.Get("Prefer") != "include-unknown-enum-members" {
				t.Errorf("%s without Prefer", r.URL.RawQuery)
			}
		})}
	})
	manyTied(r.Simulator, 1, 40, start.Add(-time.Hour), 0)

	if err := r.reader.Read(t.Context(), r.window(2*time.Hour), newBasket(t, alert.Graph)); err != nil || links == 0 {
		t.Errorf("%v, %d links", err, links)
	}
}

// seeing is a transport that shows each request.
type seeing func(*http.Request)

func (s seeing) RoundTrip(r *http.Request) (*http.Response, error) {
	s(r)
	return http.DefaultTransport.RoundTrip(r)
}

// TestSkewIsToldTheServersTime whatever the status.
func TestSkewIsToldTheServersTime(t *testing.T) {
	for _, status := range []int{200, 503} {
		var server, local time.Time

		reader, _ := fake(t, alert.SIEM, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "Sun, 01 Mar 2026 11:50:00 GMT")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "[]")
		}, func(s *Settings) { s.Skew = func(a, b time.Time) { server, local = a, b } })

		_ = reader.Read(t.Context(), lastHour(), discard{})
		if got := server.Sub(local); got != -10*time.Minute {
			t.Errorf("%d: %v", status, got)
		}
	}
}

func TestEveryRequestIsCountedByItsAnswer(t *testing.T) {
	var answers []int

	codes := []int{http.StatusUnauthorized, http.StatusServiceUnavailable}

	reader, _ := fake(t, alert.Graph, func(w http.ResponseWriter, _ *http.Request) {
		if len(codes) == 0 {
			panic(http.ErrAbortHandler)
		}

		w.WriteHeader(codes[0])
		codes = codes[1:]
	}, func(s *Settings) {
		s.Answered = func(status int) { answers = append(answers, status) }
		s.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	})
	for range 2 {
		if reader.Read(t.Context(), Window{Now: tick.FromTime(start)}, newBasket(t, alert.Graph)) == nil {
			t.Error("it was read")
		}
	}

	want := []int{http.StatusUnauthorized, http.StatusServiceUnavailable, 0}
	if len(answers) < 3 || !slices.Equal(answers[:3], want) {
		t.Errorf("counted %v, want %v", answers, want)
	}
}
