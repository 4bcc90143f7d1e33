package cli_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
)

func TestOneCommandSignsInByBrowserAndTheTokenIsStored(t *testing.T) {
	for _, api := range simulator.APIs() {
		t.Run(api, func(t *testing.T) {
			w := newWorld(t)
			r := w.expect(w.run(w.acquire(api)...), 0)
			contains(t, r.out, "contoso: signed in as soc@contoso.example", "stored in "+w.dir,
				"tenant "+contoso, "API "+api+" answers")
			noSecret(t, r)

			if status, text := w.shown(); status != 200 || !strings.Contains(text, "You can close this window") {
				t.Errorf("the browser ended on status %d: %s", status, text)
			}

			list := parse[[]map[string]any](t, w.expect(w.run("tokens", "list", "--json"), 0).out)
			if len(list) != 1 || list[0]["tenant"] != "contoso" || list[0]["account"] != "soc@contoso.example" ||
				list[0]["state"] != "ok" {
				t.Errorf("listed: %v", list)
			}
		})
	}
}

func TestPasteTakesAnAddressARefusalOrABareCode(t *testing.T) {
	type step struct {
		change func(answer *url.URL) string
		code   int
		says   string
	}

	for name, c := range map[string]step{
		"whole address": {func(u *url.URL) string { return u.String() }, 0, ""},
		"in quotes":     {func(u *url.URL) string { return `"` + u.String() + `"` }, 0, ""},
		"query only":    {func(u *url.URL) string { return u.RawQuery }, 0, ""},
		"bare code":     {func(u *url.URL) string { return u.Query().Get("code") }, 0, ""},
		"wrong state, then right": {func(u *url.URL) string {
			v := u.Query()
			v.Set("state", "another")

			return redirect + "?" + v.Encode() + "\n\n" + u.String()
		}, 0, "answers another sign-in"},
		"cut off, then whole": {func(u *url.URL) string {
			return redirect + "?code=" + u.Query().Get("code") + "\n" + u.String()
		}, 0, "cut off"},
		"too long, then whole": {func(u *url.URL) string {
			return redirect + "?code=" + strings.Repeat("x", 100_000) + "\n" + u.String()
		}, 0, "too long"},
		"nonsense, then end": {func(*url.URL) string { return "hello" }, 1, "input ended"},
		"declined": {func(u *url.URL) string {
			return redirect + "?error=access_denied&error_description=AADSTS65004%3A+declined&state=" +
				u.Query().Get("state")
		}, 4, "AADSTS65004"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.paste(c.change, "--redirect-uri", redirect)
			w.expect(r, c.code)
			contains(t, r.err, c.says, redirect)
			noSecret(t, result{out: r.out})

			if stored := strings.Contains(w.run("tokens", "list").out, contoso[:8]); stored != (c.code == 0) {
				t.Errorf("stored: %v", stored)
			}
		})
	}
}

// paste signs in by --paste: it reads the address from stderr, lets a browser end on
// the registered redirect, and types what change makes of the address it ended on.
func (w *world) paste(change func(*url.URL) string, more ...string) result {
	w.t.Helper()
	return w.pasteFor(change, w.acquire("siem", append([]string{"--paste"}, more...)...))
}

// pasteFor is paste for any command line.
func (w *world) pasteFor(change func(*url.URL) string, args []string) result {
	w.t.Helper()

	in, typed := io.Pipe()
	watch, errs := io.Pipe()

	var (
		out, all lockedBuffer
		watching sync.WaitGroup
	)
	watching.Go(func() {
		s := bufio.NewScanner(io.TeeReader(watch, &all))
		done := false

		for s.Scan() {
			address := strings.TrimSpace(s.Text())
			if done || !strings.HasPrefix(address, w.LoginURL()) {
				continue
			}

			done = true
			c := http.Client{
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			}

			res, err := c.Get(address)
			if err != nil {
				w.t.Error(err)
				continue
			}

			res.Body.Close()

			answer, err := res.Location()
			if err != nil {
				w.t.Errorf("no redirect: %v", err)

				answer = &url.URL{}
			}

			go func() {
				fmt.Fprintln(typed, change(answer))
				typed.Close()
			}()
		}
	})

	code := w.start(w.t.Context(), in, &out, errs, args...)
	errs.Close()
	watching.Wait() // a write to a pipe ends before its reader has noted it down

	return result{code, out.String(), all.String()}
}

func TestDeviceCodeSignsInWhenThePersonEnteredIt(t *testing.T) {
	for _, accept := range []bool{true, false} {
		t.Run(fmt.Sprint("accept ", accept), func(t *testing.T) {
			var ahead atomic.Int64 // the simulator's clock: its service asks for five seconds between polls

			w := newWorld(t, func(c *simulator.Config) {
				c.AutoConsent = false
				c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
			w.quickPolls(t, func() { ahead.Add(int64(6 * time.Second)) })

			r := w.withDevice(accept, append(w.signIn(public, "graph"), "--device-code")...)
			if accept {
				w.expect(r, 0)
				contains(t, r.out, "signed in as soc@contoso.example", "API graph answers")
			} else {
				w.expect(r, advice.ExitNotAuthorised)
			}

			contains(t, r.err, "/devicelogin", "enter the code")
			noSecret(t, r)
		})
	}
}

var codeToEnter = regexp.MustCompile(`enter the code  (\S+)`)

// withDevice runs a command whose code a person enters on another device, and accepts or
// declines there.
func (w *world) withDevice(accept bool, args ...string) result {
	w.t.Helper()

	watch, errs := io.Pipe()

	var (
		out, all lockedBuffer
		watching sync.WaitGroup
	)
	watching.Go(func() {
		s := bufio.NewScanner(io.TeeReader(watch, &all))
		for s.Scan() {
			m := codeToEnter.FindStringSubmatch(s.Text())
			if m == nil {
				continue
			}

			if err := w.DecideDevice(m[1], accept); err != nil {
				w.t.Error(err)
			}
		}
	})

	code := w.start(w.t.Context(), strings.NewReader(""), &out, errs, args...)
	errs.Close()
	watching.Wait()

	return result{code, out.String(), all.String()}
}

func TestStrangersAtTheCallbackDoNotEndTheWait(t *testing.T) {
	w := newWorld(t)
	opened := make(chan string, 1)
	w.browser = func(address string) error { opened <- address; return nil }

	done := make(chan result, 1)
	go func() { done <- w.run(w.acquire("siem")...) }()

	address := <-opened

	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}

	back, state := u.Query().Get("redirect_uri"), u.Query().Get("state")

	get := func(method, address string) int {
		req, err := http.NewRequest(method, address, strings.NewReader("code=stolen&state="+state))
		if err != nil {
			t.Fatal(err)
		}

		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("the wait has ended: %v", err)
		}

		res.Body.Close()

		return res.StatusCode
	}
	for name, c := range map[string]struct {
		method, address string
		status          int
	}{
		"wrong state":   {"GET", back + "?code=stolen-code-0123456789&state=wrong", 400},
		"no state":      {"GET", back + "?code=stolen-code-0123456789", 404},
		"favicon":       {"GET", back + "favicon.ico", 404},
		"post":          {"POST", back, 405},
		"two states":    {"GET", back + "?code=x&state=wrong&state=" + state, 404},
		"refusal alone": {"GET", back + "?error=access_denied&state=wrong", 400},
	} {
		if got := get(c.method, c.address); got != c.status {
			t.Errorf("%s was answered with %d; want %d", name, got, c.status)
		}
	}

	for i := range setup.Size(500, 10_000) {
		if got := get("GET", fmt.Sprintf("%s?code=junk%d&state=junk%d", back, i, i)); got != 400 {
			t.Fatalf("junk was answered with %d", got)
		}
	}

	select {
	case r := <-done:
		t.Fatalf("the wait has ended: %+v", r)
	default:
	}

	go w.visit(address)

	r := w.expect(<-done, 0)
	contains(t, r.out, "signed in as soc@contoso.example")
	noSecret(t, r)
}

// The browser comes back, and a stranger after it, before the command has begun to
// wait: a person who is signed in already is that fast.
func TestASecondCallbackIsNotTakenForTheAnswer(t *testing.T) {
	w := newWorld(t)
	w.browser = func(address string) error {
		c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

		res, err := c.Get(address)
		if err != nil {
			return err
		}

		res.Body.Close()

		answer, err := res.Location()
		if err != nil {
			return err
		}

		stranger := *answer
		v := answer.Query()
		v.Set("code", "another-code-of-a-stranger")

		stranger.RawQuery = v.Encode()
		for _, visit := range []struct {
			who    string
			at     *url.URL
			status int
		}{{"the browser", answer, 200}, {"a stranger", &stranger, 409}, {"the browser again", answer, 409}} {
			res, err := c.Get(visit.at.String())
			if err != nil && visit.status == 409 {
				return nil // the browser has its page, and the command has ended
			}

			if err != nil {
				return err
			}

			res.Body.Close()

			if res.StatusCode != visit.status {
				t.Errorf("%s was answered with %d; want %d", visit.who, res.StatusCode, visit.status)
			}
		}

		return nil
	}
	r := w.expect(w.run(w.acquire("siem", "--timeout", "3m")...), 0)
	contains(t, r.out, "signed in as soc@contoso.example")

	if strings.Contains(r.err, "No browser was opened") {
		t.Error(r.err)
	}
}

func TestTheTokenIsStoredWhenTheAPIRefusesIt(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.Tenants[0].MSSPAuthorised = false })
	r := w.expect(w.run(w.acquire("siem")...), 4)
	contains(t, r.out+r.err, "stored in", "What to do:", "https://security.microsoft.com?tid="+contoso,
		"application id "+client, "Authorize application")
	noSecret(t, r)

	got := parse[map[string]any](t, w.expect(w.run(w.acquire("siem", "--json")...), 4).out)
	if got["stored"] != true || got["api_answer"] != "refused" || got["tid"] != contoso ||
		!strings.Contains(fmt.Sprint(got["remedy"]), contoso) ||
		got["refresh_token"] != nil {
		t.Errorf("JSON: %v", got)
	}
	// With the permission in the token it is the user's role that is missing; without
	// it the consent page is named.
	if err := w.SetFaults("403:api=graph"); err != nil {
		t.Fatal(err)
	}

	r = w.expect(w.run(w.acquire("graph")...), 4)
	contains(t, r.out, "HTTP 403, Forbidden, trace id ")
	contains(t, r.err, "HTTP 403, Forbidden, trace id ",
		"although the token has the permission SecurityAlert.Read.All",
		"soc@contoso.example a role that may see alerts")

	if strings.Contains(r.err, "adminconsent") {
		t.Errorf("what is there is asked for: %s", r.err)
	}

	w.SetApp(contoso, client, func(a *simulator.App) { a.Scopes = []string{"SecurityIncident.Read.All"} })
	r = w.expect(w.run(w.acquire("graph")...), 4)
	contains(t, r.out+r.err, "adminconsent", "needs the permission SecurityAlert.Read.All")
	w.SetApp(contoso, client, func(a *simulator.App) { a.Scopes = nil })
	// A fault of the API's own is no refusal, and costs no token either.
	if err := w.SetFaults("503:api=graph"); err != nil {
		t.Fatal(err)
	}

	got = parse[map[string]any](t, w.expect(w.run(w.acquire("graph", "--json")...), 1).out)
	if got["stored"] != true || got["api_answer"] != "failed" {
		t.Errorf("JSON: %v", got)
	}
	// The customer does their part: the stored token works.
	w.SetMSSPAuthorised(contoso, true)
	w.expect(
		w.run("pull", "contoso", "--api", "siem", "--api-url", w.APIURL("siem"), "--client-secret-file",
			w.secretFile()),
		0,
	)
}

// brokenSignIns are sign-ins that go wrong, each with its message and exit code.
var brokenSignIns = map[string]struct {
	spoil func(*world) []string
	code  int
	says  []string
}{
	"declined": {func(w *world) []string {
		w.SetApp(contoso, client, func(a *simulator.App) { a.AADSTS = 65004 })
		return nil
	}, 4, []string{"AADSTS65004"}},
	"consent missing": {func(w *world) []string {
		w.SetApp(contoso, client, func(a *simulator.App) { a.AADSTS = 65001 })
		return nil
	}, 4, []string{"AADSTS65001", "adminconsent"}},
	"account not here": {func(w *world) []string {
		w.SetApp(contoso, client, func(a *simulator.App) { a.AADSTS = 50020 })
		return nil
	}, 4, []string{"AADSTS50020"}},
	"wrong secret": {func(w *world) []string {
		return []string{"--client-secret-file", w.file("wrong", "nonsense")}
	}, 1,
		[]string{"AADSTS7000215"}},
	"service down": {func(w *world) []string {
		return []string{"--login-url", "http://127.0.0.1:1", "--timeout", "300ms"}
	}, 1,
		[]string{"nobody signed in"}},
	"nobody comes": {func(w *world) []string {
		w.browser = func(string) error { return nil }
		return []string{"--timeout", "50ms"}
	}, 1, []string{"nobody signed in within 50ms"}},
	"wrong account": {func(w *world) []string { return []string{"--account", "boss@contoso.example"} }, 1,
		[]string{"soc@contoso.example signed in, not boss@contoso.example", "nothing was stored"}},
	"unknown tenant": {func(w *world) []string {
		w.SetTenantGone(contoso, true)
		return []string{"--timeout", "300ms"}
	},
		1, []string{"nobody signed in"}},
	"no tenant": {func(w *world) []string { return []string{"--tenant-id", ""} }, 2,
		[]string{"--tenant-id"}},
	"common": {func(w *world) []string { return []string{"--tenant-id", "common"} }, 2,
		[]string{"--tenant-id", "common"}},
	"bad api": {func(w *world) []string { return []string{"--api", "grahp"} }, 2, []string{"--api"}},
	"both ways": {func(w *world) []string { return []string{"--paste", "--device-code"} }, 2,
		[]string{"paste"}},
	"foreign redirect": {func(w *world) []string { return []string{"--redirect-uri", redirect} }, 2,
		[]string{"--paste"}},
	"two ports": {func(w *world) []string {
		return []string{"--redirect-uri", "http://localhost:1234/", "--port",
			"99"}
	}, 2, []string{"different ports"}},
	"two secrets": {func(w *world) []string { return []string{"--client-secret", "x"} }, 2,
		[]string{"give one of"}},
	"file for the secret": {func(w *world) []string { return []string{"--client-secret-file", "/nonexistent"} }, 2,
		[]string{"--client-secret-file"}},
	"store not writable": {func(w *world) []string {
		return []string{"--data-dir", w.file("plain", "x") + "/below"}
	}, 1,
		[]string{"not a directory"}},
	"out not writable": {func(w *world) []string { return []string{"--out", "/nonexistent/dir/rt"} }, 1,
		[]string{"/nonexistent/dir/rt"}},
}

func TestWhatGoesWrongInASignInHasItsMessageAndExitCode(t *testing.T) {
	for name, c := range brokenSignIns {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			args := w.acquire("siem")
			args = append(args, c.spoil(w)...)
			r := w.expect(w.run(args...), c.code)
			contains(t, r.err, c.says...)
			noSecret(t, r)

			if _, err := os.Stat(filepath.Join(w.dir, "tokens.db")); err == nil {
				if list := w.run("tokens", "list", "--json"); strings.TrimSpace(list.out) != "[]" {
					t.Errorf("stored: %s", list.out)
				}
			}
		})
	}
}

func TestWhatCanFailWithoutThePersonFailsFirst(t *testing.T) {
	for name, args := range map[string]func(w *world) []string{
		"no directory":    func(w *world) []string { return []string{"--data-dir", w.file("plain", "x")} },
		"no place for rt": func(w *world) []string { return []string{"--out", "/nonexistent/rt"} },
		"no CA bundle":    func(w *world) []string { return []string{"--ca-file", "/nonexistent"} },
		"wrong key": func(w *world) []string {
			w.expect(w.run(w.acquire("siem", "--key-file", w.key("a"))...), 0)
			return []string{"--key-file", w.key("b")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			more := args(w)

			w.browser = func(string) error { t.Error("the browser was opened"); return nil }
			if r := w.run(w.acquire("siem", append(more, "--timeout", "100ms")...)...); r.code == 0 {
				t.Error("it went well")
			}
		})
	}
}

func TestAnInterruptedSignInEndsWith130(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.browser = func(string) error { cancel(); return nil }
	r := w.expect(w.with(ctx, "", w.acquire("siem")...), 130)
	contains(t, r.err, "interrupted")
}

func TestAWrongTenantsTokenIsNotKept(t *testing.T) {
	w := newWorld(t)
	// A service that signs in to fabrikam whatever tenant the path names.
	proxy := w.tenantSwapper(t)

	args := w.acquire("siem")
	for i := range args {
		if args[i] == w.LoginURL() {
			args[i] = proxy
		}
	}

	r := w.expect(w.run(args...), 1)
	contains(t, r.err, "is for tenant "+fabrikam, "not for "+contoso, "nothing was stored")

	if list := w.run("tokens", "list", "--json"); strings.TrimSpace(list.out) != "[]" {
		t.Errorf("stored: %s", list.out)
	}
}

func TestAFailedBrowserIsSaidAtOnceAndTheWaitGoesOn(t *testing.T) {
	w := newWorld(t)

	var address string

	w.browser = func(a string) error {
		address = a
		return errors.New(`"xdg-open" failed (exit status 3)`)
	}
	errs := &interrupting{text: "--device-code.)", cancel: func() {
		if a := address; a != "" {
			address = ""

			go w.visit(a)
		}
	}}

	var out lockedBuffer
	if code := w.start(t.Context(), strings.NewReader(""), &out, errs, w.acquire("graph")...); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}

	contains(t, errs.String(),
		`No browser was opened: "xdg-open" failed (exit status 3). Open the address above yourself.`,
		"Open this address: "+w.LoginURL())
}
