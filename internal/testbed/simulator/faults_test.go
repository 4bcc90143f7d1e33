package simulator_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// loaded starts a simulator with 50 alerts of the last hour and the faults.
func loaded(t *testing.T, faults string, change ...func(*simulator.Config)) fixture {
	f := start(t, append(change, func(c *simulator.Config) { c.Faults = faults })...)
	f.Generate(contoso, 50, simulator.GenerateOptions{Since: f.clock.Now().Add(-time.Hour)})
	f.clock.Advance(time.Second)

	return f
}

// asker asks the siem API of contoso, with a token that it got before there were faults.
type asker struct {
	fixture
	token string
}

func asking(f fixture) asker {
	f.t.Helper()

	return asker{f, "Bearer " + f.access(simulator.SIEM, contoso)}
}

// with asks once the faults are set.
func (a asker) with(faults string, headers ...string) answer {
	a.t.Helper()

	if err := a.SetFaults(faults); err != nil {
		a.t.Fatal(err)
	}

	headers = append(headers, "Authorization", a.token)

	return do(a.t, "GET", a.APIURL(simulator.SIEM)+"/api/alerts", "", headers...)
}

func TestFaultsOfStatus(t *testing.T) {
	f := asking(loaded(t, ""))

	for i, test := range []struct {
		faults     string
		status     int
		retryAfter string
		header     string // a name and a part of its value
		body       string // its beginning
		wait       time.Duration
	}{
		{"429:wait=7s", 429, "7", "", "{", 0},
		{"429:after=date;wait=7s", 429, "Sun, 01 Mar 2026 12:00:08 GMT", "", "", 0}, // it comes too early
		{"429:after=none", 429, "", "", "", 7 * time.Second},
		{"503", 503, "", "Content-Type: text/html; charset=utf-8", "<html>", 0},
		{"401", 401, "", "", `{"Message":"Authorization has been denied for this request."}`, 0},
		{"413", 413, "", "", "", 0},
		{"redirect:kind=307", 307, "", "Location: attacker", "", 0},
		{"", 200, "", "", "", 0},
	} {
		a := f.with(test.faults)
		if a.status != test.status || a.header.Get("Retry-After") != test.retryAfter {
			t.Errorf("%q: %d %v", test.faults, a.status, a.header)
		}

		name, value, _ := strings.Cut(test.header, ": ")
		if !strings.Contains(a.header.Get(name), value) || !strings.Contains(a.body, test.body) {
			t.Errorf("%q: %v %s", test.faults, a.header, a.body)
		}

		if early := f.Requests().Early[simulator.SIEM]; i == 1 && early != 1 {
			t.Errorf("the second came at once, early: %d", early)
		}

		f.clock.Advance(test.wait)
	}

	got := f.Requests()
	if got.Early[simulator.SIEM] != 2 || got.Faults["429"] != 3 || got.Status["siem 429"] != 3 ||
		got.Count["siem"] != 8 {
		t.Errorf("counted %+v", got)
	}
}

func TestFaultsOfRateScheduleAndScope(t *testing.T) {
	run := func(faults string, n int, step time.Duration) string {
		f := loaded(t, faults)
		token := "Bearer " + f.access(simulator.SIEM, contoso)

		var b strings.Builder
		for range n {
			b.WriteByte(
				map[int]byte{
					200: '.',
					429: 'x',
					503: 's',
				}[do(t, "GET", f.APIURL(simulator.SIEM)+"/api/alerts", "", "Authorization",
					token).status],
			)
			f.clock.Advance(step)
		}

		return b.String()
	}

	tests := map[string]struct {
		faults string
		want   string
	}{
		"every third":                {"429:every=3", "..x..x..x."},
		"twice":                      {"429:count=2", "xx........"},
		"from and to":                {"429:from=3s;to=6s", "..xxx....."},
		"the first that is due wins": {"429:every=3,503:every=2", ".sx.sx.sx."},
		"another api":                {"429:api=graph", ".........."},
		"every api":                  {"429:api=all;count=1;from=3s", "..x......."},
		"the tenant":                 {"429:tenant=contoso.example;count=1", "x........."},
		"another tenant":             {"429:tenant=" + fabrikam, ".........."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := run(test.faults, 10, time.Second); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}

	a, b := run("429:p=0.4", 40, 0), run("429:p=0.4", 40, 0)
	if n := strings.Count(a, "x"); a != b || n < 6 || n > 30 {
		t.Errorf("by chance: %s, again %s", a, b)
	}
}

func TestFaultsOfTheBody(t *testing.T) {
	f := asking(loaded(t, ""))

	whole := f.with("", "Accept-Encoding", "gzip")
	if whole.err != nil || len(whole.rows(t)) < 50 {
		t.Fatalf("without faults: %v", whole.err)
	}

	cut := func(share float64, err error) func(t *testing.T, a answer) bool {
		return func(_ *testing.T, a answer) bool {
			return a.status == 200 && errors.Is(a.err, err) && len(a.body) == int(float64(len(whole.body))*share)
		}
	}
	body := func(want string) func(t *testing.T, a answer) bool {
		return func(_ *testing.T, a answer) bool { return a.status == 200 && a.body == want }
	}

	for faults, ok := range map[string]func(t *testing.T, a answer) bool{
		"refuse":                func(_ *testing.T, a answer) bool { return a.err != nil && a.status == 0 },
		"cut:kind=length":       cut(0.5, io.ErrUnexpectedEOF),
		"cut:kind=chunked":      cut(0.5, io.ErrUnexpectedEOF),
		"cut:kind=clean;at=0.9": cut(0.9, nil),
		"reset:at=0.9": func(_ *testing.T, a answer) bool {
			return errors.Is(a.err, syscall.ECONNRESET) || errors.Is(a.err, io.ErrUnexpectedEOF) ||
				errors.Is(a.err, io.EOF)
		},
		"junk": func(_ *testing.T, a answer) bool {
			return a.status == 200 && strings.HasPrefix(a.body, "<!DOCTYPE html>")
		},
		"junk:kind=list":  body(`{"value":[]}`),
		"junk:kind=empty": body(""),
		"gzip":            func(t *testing.T, a answer) bool { return len(unzipped(t, a)) == len(whole.body) },
		"gzip,cut": func(_ *testing.T, a answer) bool {
			return a.header.Get("Content-Encoding") == "gzip" && a.err != nil
		},
		"huge:size=1M": func(t *testing.T, a answer) bool {
			return len(a.body) == len(whole.body)+1_000_000 && len(a.rows(t)) == len(whole.rows(t))
		},
		"dup": func(t *testing.T, a answer) bool { return len(a.rows(t)) > len(whole.rows(t)) },
	} {
		t.Run(faults, func(t *testing.T) {
			if a := f.with(faults, "Accept-Encoding", "gzip"); !ok(t, a) {
				t.Errorf("%d %v, %v, %d of %d bytes: %.50q",
					a.status, a.header, a.err, len(a.body), len(whole.body), a.body)
			}
		})
	}

	l := f.Ledger(contoso, simulator.SIEM)
	for key, n := range l.Partial {
		if n < 1 || l.Exists[key] == nil {
			t.Errorf("%s was served in part %d times", key, n)
		}
	}

	if len(l.Partial) == 0 || len(l.Served) != len(l.Exists) {
		t.Errorf("%d in part, %d of %d served", len(l.Partial), len(l.Served), len(l.Exists))
	}
}

// unzipped returns the body of an answer in gzip.
func unzipped(t *testing.T, a answer) []byte {
	t.Helper()

	if a.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("it is not in gzip: %v", a.header)
	}

	r, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}

	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}

	return b
}

// sleeper counts how long the simulator waits.
type sleeper struct {
	mu    sync.Mutex
	slept time.Duration
}

func (s *sleeper) sleep(_ context.Context, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.slept += d
}

// since returns how long it has waited since it was asked last.
func (s *sleeper) since() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()

	d := s.slept
	s.slept = 0

	return d
}

func TestSlowFaults(t *testing.T) {
	var s sleeper

	f := asking(loaded(t, "", func(c *simulator.Config) { c.Sleep = s.sleep }))
	s.since()

	a := f.with("latency:by=3s")
	if waited := s.since(); a.status != 200 || waited != 3*time.Second {
		t.Errorf("latency: %d, waited %v", a.status, waited)
	}

	a = f.with("drip:rate=50000")
	if waited := s.since(); a.err != nil || waited < time.Duration(len(a.body)/50000)*time.Second {
		t.Errorf("drip: %v, waited %v for %d bytes", a.err, waited, len(a.body))
	}
}

func TestAStalledAnswerEndsHalfWay(t *testing.T) {
	f := asking(loaded(t, "", func(c *simulator.Config) { c.Sleep = new(sleeper).sleep }))
	if err := f.SetFaults("stall:at=0.5"); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, "GET", f.APIURL(simulator.SIEM)+"/api/alerts", nil)
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Set("Authorization", f.token)

	res, err := plain.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	half := res.ContentLength / 2
	if _, err := io.CopyN(io.Discard, res.Body, half); err != nil {
		t.Errorf("the first half did not come: %v", err)
	}

	cancel()

	if _, err := res.Body.Read(make([]byte, 1)); err == nil {
		t.Error("there was more")
	}
}

func TestFaultsOfSigningIn(t *testing.T) {
	f := start(t)
	path := contoso + "/oauth2/token"
	set := func(faults string) {
		t.Helper()

		if err := f.SetFaults(faults); err != nil {
			t.Fatal(err)
		}
	}

	set("login503:wait=3s;after=seconds")

	a := f.token(path, appV1)
	if a.status != 503 || a.header.Get("Retry-After") != "3" || !strings.Contains(a.body, "<html>") {
		t.Errorf("login503: %d %v", a.status, a.header)
	}

	set("429")

	if a := f.token(path, appV1); a.status != 200 {
		t.Errorf("a fault of the APIs struck the sign-in service: %d", a.status)
	}

	set("429:api=login")

	if a := f.token(path, appV1); a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("429: %d", a.status)
	}

	set("aadsts=70000:count=1")

	if _, code := f.redeem(seedRT); code != 70000 {
		t.Errorf("aadsts: %d", code)
	}
}

// TestARedemptionCountsWhenItsAnswerIsLost: and it does not if it was never received.
func TestARedemptionCountsWhenItsAnswerIsLost(t *testing.T) {
	for faults, want := range map[string]int{
		"cut:api=login;at=0.2;count=1": 50173,
		"refuse:api=login;count=1":     0,
	} {
		t.Run(faults, func(t *testing.T) {
			f := start(t)
			f.SetRotation(simulator.Kill)

			if err := f.SetFaults(faults); err != nil {
				t.Fatal(err)
			}

			if a := f.token(contoso+"/oauth2/token", refreshV1); a.err == nil {
				t.Error("there was a whole answer")
			}

			if _, code := f.redeem(seedRT); code != want {
				t.Errorf("redeemed again: %d, want %d", code, want)
			}
		})
	}
}

func TestAccessTokensDieWhenTheirTimeIsUp(t *testing.T) {
	f := start(t, func(c *simulator.Config) { c.Faults = "die:by=10s" })
	token := "Bearer " + f.access(simulator.SIEM, contoso)
	f.clock.Advance(9 * time.Second)

	for _, want := range []int{200, 401} {
		if a := do(t, "GET", f.APIURL(simulator.SIEM)+"/api/alerts", "", "Authorization", token); a.status != want {
			t.Errorf("die: %d, want %d", a.status, want)
		}

		f.clock.Advance(time.Second)
	}
}

func TestSkewMovesTheServersTime(t *testing.T) {
	f := start(t, func(c *simulator.Config) { c.Faults = "skew:by=10m" })
	at := f.clock.Now()
	f.Add(contoso, simulator.Alert{ID: "a", Created: at.Add(-time.Minute)})

	a := f.get(simulator.Endpoint, contoso, "/api/alerts")
	if a.header.Get("Date") != "Sun, 01 Mar 2026 12:10:00 GMT" ||
		!strings.Contains(a.body, `"lastUpdateTime":"2026-03-01T12:09:00Z"`) {
		t.Errorf("Date %s, body %s", a.header.Get("Date"), a.body)
	}

	if rows := f.get(simulator.SIEM, contoso, "/api/alerts?ago=PT2M").rows(t); len(rows) != 1 {
		t.Errorf("the last two minutes of the server have %d rows", len(rows))
	}

	f.Add(contoso, simulator.Alert{ID: "b", Created: at.Add(time.Minute)})

	if got := f.get(simulator.Endpoint, contoso, "/api/alerts").ids(t, "id"); got != "a" {
		t.Errorf("listed before its time: %s", got)
	}

	f.clock.Advance(time.Minute)

	if got := f.get(simulator.Endpoint, contoso, "/api/alerts").ids(t, "id"); got != "b a" {
		t.Errorf("not listed at its time: %s", got)
	}
}

func TestLateListing(t *testing.T) {
	f := start(t, func(c *simulator.Config) { c.Faults = "late:by=1h" })
	f.Add(contoso, simulator.Alert{ID: "a", Created: f.clock.Now()})

	for _, want := range []string{"", "a"} {
		for _, api := range []string{simulator.Endpoint, simulator.Graph} {
			if got := f.get(api, contoso, listPath[api]).ids(t, "id"); got != want {
				t.Errorf("%s: got %q, want %q", api, got, want)
			}
		}

		if rows := f.get(simulator.SIEM, contoso, "/api/alerts").rows(t); len(rows) != len(want) {
			t.Errorf("siem: %d rows", len(rows))
		}

		f.clock.Advance(time.Hour)
	}

	f = start(t, func(c *simulator.Config) { c.Faults = "late:by=1h;p=0.5" })
	for range 40 {
		f.Add(contoso, simulator.Alert{Created: f.clock.Now()})
	}

	n := len(strings.Fields(f.get(simulator.Graph, contoso, listPath[simulator.Graph]).ids(t, "id")))
	if n < 8 || n > 32 {
		t.Errorf("%d of 40 were listed at once", n)
	}
}

func TestShuffle(t *testing.T) {
	f := many(t, 20, func(c *simulator.Config) { c.Faults = "shuffle" })

	ids := strings.Fields(f.get(simulator.Endpoint, contoso, "/api/alerts?$orderby=alertCreationTime").ids(t, "id"))
	if len(ids) != 20 || slices.IsSorted(ids) {
		t.Errorf("got %v", ids)
	}
}

// TestJunkInPlaceOfARefusalAsksNobodyToWait: the answer that replaces a 429 has no
// Retry-After, so who asks again at once is not too early.
func TestJunkInPlaceOfARefusalAsksNobodyToWait(t *testing.T) {
	f := start(t, func(c *simulator.Config) {
		c.Quotas = map[string]simulator.Quota{simulator.Graph: {PerMinute: 1}}
		c.Faults = "junk:kind=html"
	})

	token := "Bearer " + f.access(simulator.Graph, contoso)
	for n := range 3 {
		a := do(t, "GET", f.APIURL(simulator.Graph)+listPath[simulator.Graph], "", "Authorization", token)
		if a.status != 200 || a.header.Get("Retry-After") != "" {
			t.Errorf("answer %d: %d, Retry-After %q", n, a.status, a.header.Get("Retry-After"))
		}
	}

	if early := f.Requests().Early[simulator.Graph]; early != 0 {
		t.Errorf("%d requests counted as too early", early)
	}
}
