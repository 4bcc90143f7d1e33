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

func TestFaultsOfStatus(t *testing.T) {
	f := loaded(t, "")
	token := "Bearer " + f.access(simulator.SIEM, contoso)

	get := func(faults string) answer {
		t.Helper()

		if err := f.SetFaults(faults); err != nil {
			t.Fatal(err)
		}

		return do(t, "GET", f.APIURL(simulator.SIEM)+"/api/alerts", "", "Authorization", token)
	}
	if a := get("429:wait=7s"); a.status != 429 || a.header.Get("Retry-After") != "7" ||
		!strings.HasPrefix(a.body, "{") {
		t.Errorf("429: %d %v %s", a.status, a.header, a.body)
	}

	if a := get("429:after=date;wait=7s"); a.header.Get("Retry-After") != "Sun, 01 Mar 2026 12:00:08 GMT" {
		t.Errorf("429 with a date: %v", a.header)
	}

	if f.Requests().Early[simulator.SIEM] != 1 { // the second came at once
		t.Errorf("early: %v", f.Requests().Early)
	}

	if a := get("429:after=none"); a.status != 429 || a.header.Get("Retry-After") != "" {
		t.Errorf("429 without Retry-After: %d %v", a.status, a.header)
	}

	f.clock.Advance(7 * time.Second)

	a := get("503")
	if a.status != 503 || a.header.Get("Retry-After") != "" || !strings.Contains(a.body, "<html>") ||
		a.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("503: %d %v %s", a.status, a.header, a.body)
	}

	if a := get("401"); a.status != 401 || a.body != `{"Message":"Authorization has been denied for this request."}` {
		t.Errorf("401: %d %s", a.status, a.body)
	}

	if a := get("413"); a.status != 413 {
		t.Errorf("413: %d", a.status)
	}

	if a := get("redirect:kind=307"); a.status != 307 || !strings.Contains(a.header.Get("Location"), "attacker") {
		t.Errorf("redirect: %d %v", a.status, a.header)
	}

	if a := get(""); a.status != 200 {
		t.Errorf("no faults any more: %d", a.status)
	}

	if got := f.Requests(); got.Early[simulator.SIEM] != 2 || got.Faults["429"] != 3 || got.Status["siem 429"] != 3 ||
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
	f := loaded(t, "")
	token := "Bearer " + f.access(simulator.SIEM, contoso)
	get := func(faults string) answer {
		t.Helper()

		if err := f.SetFaults(faults); err != nil {
			t.Fatal(err)
		}

		return do(t, "GET", f.APIURL(simulator.SIEM)+"/api/alerts", "", "Authorization", token,
			"Accept-Encoding", "gzip")
	}

	whole := get("")
	if whole.err != nil || len(whole.rows(t)) < 50 {
		t.Fatalf("without faults: %v", whole.err)
	}

	if a := get("refuse"); a.err == nil || a.status != 0 {
		t.Errorf("refuse: %d %v", a.status, a.err)
	}

	for _, kind := range []string{"length", "chunked"} {
		if a := get("cut:kind=" + kind); a.status != 200 || !errors.Is(a.err, io.ErrUnexpectedEOF) ||
			len(a.body) != len(whole.body)/2 {
			t.Errorf("cut %s: %d %v %d of %d bytes", kind, a.status, a.err, len(a.body), len(whole.body))
		}
	}

	if a := get("cut:kind=clean;at=0.9"); a.status != 200 || a.err != nil ||
		len(a.body) != int(float64(len(whole.body))*0.9) {
		t.Errorf("cut clean: %d %v %d of %d bytes", a.status, a.err, len(a.body), len(whole.body))
	}

	a := get("reset:at=0.9")
	if !errors.Is(a.err, syscall.ECONNRESET) && !errors.Is(a.err, io.ErrUnexpectedEOF) &&
		!errors.Is(a.err, io.EOF) {
		t.Errorf("reset: %d %v", a.status, a.err)
	}

	if a := get("junk"); a.status != 200 || !strings.HasPrefix(a.body, "<!DOCTYPE html>") {
		t.Errorf("junk: %d %.50s", a.status, a.body)
	}

	if a := get("junk:kind=list"); a.status != 200 || a.body != `{"value":[]}` {
		t.Errorf("a list of the wrong form: %d %.50s", a.status, a.body)
	}

	if a := get("junk:kind=empty"); a.status != 200 || a.body != "" {
		t.Errorf("empty junk: %d %.50s", a.status, a.body)
	}

	if a := get("gzip"); a.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("gzip: %v", a.header)
	} else if r, err := gzip.NewReader(strings.NewReader(a.body)); err != nil {
		t.Errorf("gzip: %v", err)
	} else if b, err := io.ReadAll(r); err != nil || len(b) != len(whole.body) {
		t.Errorf("gzip: %v, %d of %d bytes", err, len(b), len(whole.body))
	}

	if a := get("gzip,cut"); a.header.Get("Content-Encoding") != "gzip" || a.err == nil {
		t.Errorf("gzip, cut: %v %v", a.header, a.err)
	}

	if a := get("huge:size=1M"); len(a.body) != len(whole.body)+1_000_000 || len(a.rows(t)) != len(whole.rows(t)) {
		t.Errorf("huge: %d bytes", len(a.body))
	}

	if a := get("dup"); len(a.rows(t)) <= len(whole.rows(t)) {
		t.Errorf("dup: %d rows of %d", len(a.rows(t)), len(whole.rows(t)))
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

func TestSlowFaults(t *testing.T) {
	var (
		mu    sync.Mutex
		slept time.Duration
	)

	f := loaded(t, "", func(c *simulator.Config) {
		c.Sleep = func(_ context.Context, d time.Duration) {
			mu.Lock()
			defer mu.Unlock()

			slept += d
		}
	})
	token := "Bearer " + f.access(simulator.SIEM, contoso)
	get := func(faults string) answer {
		t.Helper()

		if err := f.SetFaults(faults); err != nil {
			t.Fatal(err)
		}

		return do(t, "GET", f.APIURL(simulator.SIEM)+"/api/alerts", "", "Authorization", token)
	}

	waited := func() time.Duration {
		mu.Lock()
		defer mu.Unlock()

		return slept
	}
	if a := get("latency:by=3s"); a.status != 200 || waited() != 3*time.Second {
		t.Errorf("latency: %d, waited %v", a.status, waited())
	}

	before := waited()
	if a := get("drip:rate=50000"); a.err != nil || waited()-before < time.Duration(len(a.body)/50000)*time.Second {
		t.Errorf("drip: %v, waited %v for %d bytes", a.err, waited()-before, len(a.body))
	}

	if err := f.SetFaults("stall:at=0.5"); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())

	req, err := http.NewRequestWithContext(ctx, "GET", f.APIURL(simulator.SIEM)+"/api/alerts", nil)
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Set("Authorization", token)

	res, err := plain.Do(req)
	if err != nil {
		t.Fatal(err)
	}

	half := res.ContentLength / 2
	if _, err := io.CopyN(io.Discard, res.Body, half); err != nil {
		t.Errorf("stall: the first half did not come: %v", err)
	}

	cancel()

	if _, err := res.Body.Read(make([]byte, 1)); err == nil {
		t.Error("stall: there was more")
	}

	_ = res.Body.Close()
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

	if a := f.token(path, appV1); a.status != 503 || a.header.Get("Retry-After") != "3" ||
		!strings.Contains(a.body, "<html>") {
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

	f.SetRotation(simulator.Kill)
	set("cut:api=login;at=0.2;count=1")

	if a := f.token(path, refreshV1); a.err == nil {
		t.Error("cut: the answer was whole")
	}

	if _, code := f.redeem(seedRT); code != 50173 { // the redemption counted all the same
		t.Errorf("after an answer that was cut: %d", code)
	}

	f = start(t)
	if err := f.SetFaults("refuse:api=login;count=1"); err != nil {
		t.Fatal(err)
	}

	f.SetRotation(simulator.Kill)

	if a := f.token(path, refreshV1); a.err == nil {
		t.Error("refuse: there was an answer")
	}

	if _, code := f.redeem(seedRT); code != 0 { // it was not looked at
		t.Errorf("after a refused connection: %d", code)
	}

	f = start(t, func(c *simulator.Config) { c.Faults = "die:by=10s" })
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
