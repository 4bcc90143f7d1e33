package tokens_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/testbed/clock"
	"fluent-bit-defender/tokens"
)

const (
	tenant   = "99999999-8888-7777-6666-555555555555"
	client   = "11111111-2222-3333-4444-555555555555"
	loginURL = "https://login.example.test"
	resource = "https://graph.example.test"
)

// asked is one request the fake service got.
type asked struct {
	path   string
	form   url.Values
	header http.Header
}

// fake is a sign-in service inside the test's process: no sockets, so that it works
// within a synctest bubble. answer decides; the default rotates refresh tokens rt0 →
// rt1 → rt2 … and accepts the newest two.
type fake struct {
	mu       sync.Mutex
	requests []asked
	answer   func(asked) (status int, body string)
	header   http.Header
	newest   int
	expires  int
	busy     int
	overlap  bool
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}

	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}

	a := asked{r.URL.RequestURI(), r.PostForm, r.Header}

	f.mu.Lock()
	f.requests = append(f.requests, a)
	f.busy++
	f.overlap = f.overlap || f.busy > 1
	answer := f.answer
	f.mu.Unlock()

	if answer == nil {
		answer = f.rotate
	}

	status, body := answer(a)

	f.mu.Lock()
	defer f.mu.Unlock()

	f.busy--

	rec := httptest.NewRecorder()
	for name, values := range f.header {
		rec.Header()[name] = values
	}

	rec.WriteHeader(status)
	rec.WriteString(body)

	return rec.Result(), nil
}

func (f *fake) rotate(a asked) (int, string) {
	f.mu.Lock()
	defer f.mu.Unlock()

	var n int

	switch a.form.Get("grant_type") {
	case "client_credentials":
		return 200, granted(fmt.Sprintf("app-at-%d", len(f.requests)), "", f.life())
	case "refresh_token":
		if _, err := fmt.Sscanf(a.form.Get("refresh_token"), "rt%d", &n); err != nil || n < f.newest-1 ||
			n > f.newest {
			return 400, refusal("invalid_grant", 700082)
		}
	}

	f.newest = n + 1

	return 200, granted(fmt.Sprintf("at%d", f.newest), fmt.Sprintf("rt%d", f.newest), f.life())
}

func (f *fake) life() int {
	if f.expires == 0 {
		return 3600
	}

	return f.expires
}

func (f *fake) set(answer func(asked) (int, string)) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.answer = answer
}

func (f *fake) sent() []asked {
	f.mu.Lock()
	defer f.mu.Unlock()

	return append([]asked(nil), f.requests...)
}

// refreshes lists the refresh tokens that were sent.
func (f *fake) refreshes() string {
	var list []string
	for _, a := range f.sent() {
		list = append(list, a.form.Get("refresh_token"))
	}

	return strings.Join(list, " ")
}

func (f *fake) client() *http.Client { return &http.Client{Transport: f} }

func granted(at, rt string, life int) string {
	s := fmt.Sprintf(`{"token_type":"Bearer","expires_in":"%d","access_token":"%s"`, life, at)
	if rt != "" {
		s += fmt.Sprintf(`,"refresh_token":"%s"`, rt)
	}

	return s + "}"
}

func refusal(oauth string, codes ...int) string {
	list := strings.Join(strings.Fields(strings.Trim(fmt.Sprint(codes), "[]")), ",")

	return fmt.Sprintf(
		`{"error":"%s","error_description":"AADSTS%d: text.\r\n`+
			`Trace ID: 0a0a0a0a-0000-0000-0000-000000000001\r\n`+
			`Correlation ID: 0b0b0b0b-0000-0000-0000-000000000002",`+
			`"error_codes":[%s],"trace_id":"0a0a0a0a-0000-0000-0000-000000000001",`+
			`"correlation_id":"0b0b0b0b-0000-0000-0000-000000000002"}`,
		oauth,
		append(codes, 0)[0],
		list,
	)
}

func app(v tokens.Version) tokens.App {
	return tokens.App{
		LoginURL:   loginURL,
		TenantID:   tenant,
		ClientID:   client,
		Version:    v,
		Resource:   resource,
		Credential: fixed("s3cr3t+/=%~"),
	}
}

func fixed(s string) tokens.Credential {
	return tokens.Secret(func() (secret.Text, error) { return secret.New(s), nil })
}

func seed(s string) func() (secret.Text, error) {
	return func() (secret.Text, error) { return secret.New(s), nil }
}

func newClock() *clock.Manual { return clock.At(time.Date(2026, 2, 3, 9, 0, 0, 0, time.UTC)) }

func newSource(t *testing.T, cfg tokens.SourceConfig) *tokens.Source {
	t.Helper()

	s, err := tokens.NewSource(cfg)
	if err != nil {
		t.Fatal(err)
	}

	return s
}

func token(t *testing.T, s *tokens.Source) string {
	t.Helper()

	a, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	return a.Token.Reveal()
}
