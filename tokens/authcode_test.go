package tokens_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/tokens"
)

func TestTheAuthorizeAddressIsWhatEachEndpointFamilyKnows(t *testing.T) {
	for name, tc := range map[string]struct {
		version tokens.Version
		path    string
		want    url.Values
	}{
		"v1": {tokens.V1, "/oauth2/authorize", url.Values{"resource": {resource}}},
		"v2": {tokens.V2, "/oauth2/v2.0/authorize",
			url.Values{"scope": {resource + "/.default offline_access openid profile"}}},
	} {
		t.Run(name, func(t *testing.T) {
			verifier := oauth2.GenerateVerifier()

			u, err := url.Parse(
				app(
					tc.version,
				).AuthCodeURL("https://mssp.example.test/SiemMsspConnector", "st+ate", verifier, "select_account"),
			)
			if err != nil {
				t.Fatal(err)
			}

			tc.want["client_id"], tc.want["response_type"], tc.want["response_mode"] = []string{
				client,
			}, []string{
				"code",
			}, []string{
				"query",
			}
			tc.want["redirect_uri"], tc.want["state"], tc.want["prompt"] = []string{
				"https://mssp.example.test/SiemMsspConnector",
			}, []string{
				"st+ate",
			}, []string{
				"select_account",
			}

			tc.want["code_challenge"], tc.want["code_challenge_method"] = []string{
				oauth2.S256ChallengeFromVerifier(verifier),
			}, []string{
				"S256",
			}
			if got := u.Query().Encode(); u.Host != "login.example.test" || u.Path != "/"+tenant+tc.path ||
				got != tc.want.Encode() {
				t.Errorf("got  %s\nwant %s", u, tc.want.Encode())
			}
		})
	}
}

func TestTheAdminConsentAddress(t *testing.T) {
	got := app(tokens.V2).AdminConsentURL("https://r.test/", "s")

	want := loginURL + "/" + tenant + "/v2.0/adminconsent?client_id=" + client +
		"&redirect_uri=https%3A%2F%2Fr.test%2F&scope=https%3A%2F%2Fgraph.example.test%2F.default&state=s"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	got = app(tokens.V1).AdminConsentURL("", "")

	want = loginURL + "/" + tenant + "/adminconsent?client_id=" + client
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// browse does what a browser or a stranger does; host is "127.0.0.1" or "[::1]".
func browse(t *testing.T, method, address string) (int, string) {
	t.Helper()

	req, err := http.NewRequest(method, address, nil)
	if err != nil {
		t.Fatal(err)
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	body, _ := io.ReadAll(res.Body)

	return res.StatusCode, string(body)
}

// waiting is a sign-in that waits for the browser.
type waiting struct {
	*tokens.AuthCode

	t     *testing.T
	fake  *fake
	cb    *tokens.Callback
	state string // as it stands in an address
	done  chan error
	token string // the refresh token, once it is done
}

func awaitBrowser(t *testing.T) *waiting {
	t.Helper()

	cb, err := tokens.Listen(0)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { cb.Close() })

	w := &waiting{
		t:    t,
		fake: &fake{},
		cb:   cb,
		done: make(chan error, 1),
	}
	client := tokens.Client{App: app(tokens.V2), HTTP: w.fake.client()}
	w.AuthCode = tokens.NewAuthCode(client, cb.RedirectURI("/cb"), "select_account")
	w.state = url.QueryEscape(w.State())

	return w
}

func (w *waiting) exchange() {
	got, err := w.ExchangeReturned(w.t.Context(), w.cb)
	w.token = got.Refresh.Reveal()
	w.done <- err
}

// get asks the address that the browser is sent to.
func (w *waiting) get(query string) int {
	w.t.Helper()

	status, _ := browse(w.t, "GET", "http://127.0.0.1:"+strconv.Itoa(w.cb.Port())+"/cb?"+query)

	return status
}

// strangers ask at each address of the loopback interface for what is no answer to the
// sign-in.
func (w *waiting) strangers() {
	w.t.Helper()

	for _, host := range loopback(w.cb.Port()) {
		for address, want := range map[string]int{
			"/favicon.ico":                        404,
			"/":                                   404,
			"/cb?code=x":                          404,
			"/cb?state=" + w.state:                404,
			"/cb?code=evil&state=wrong":           400,
			"/cb?code=evil&state=":                400,
			"/cb?error=access_denied&state=wrong": 400,
			"/cb?code=a&state=" + w.state + "&state=" + w.state: 404,
		} {
			if got, body := browse(w.t, "GET", host+address); got != want || strings.Contains(body, "evil") {
				w.t.Errorf("GET %s: %d, want %d", address, got, want)
			}
		}

		for _, method := range []string{"POST", "PUT", "HEAD", "OPTIONS"} {
			if got, _ := browse(w.t, method, host+"/cb?code=evil&state="+w.state); got != 405 {
				w.t.Errorf("%s: %d", method, got)
			}
		}
	}
}

// loopback returns the addresses at which a port of this machine is reached.
func loopback(port int) []string {
	hosts := []string{"http://127.0.0.1:" + strconv.Itoa(port)}

	six := "[::1]:" + strconv.Itoa(port)
	if c, err := net.Dial("tcp", six); err == nil {
		c.Close()

		hosts = append(hosts, "http://"+six)
	}

	return hosts
}

func TestOnlyTheRightAnswerEndsTheWaitForTheBrowser(t *testing.T) {
	w := awaitBrowser(t)

	if status := w.get("code=early&state=" + w.state); status != 400 {
		t.Errorf("an answer before anybody waits: %d", status)
	}

	go w.exchange()

	for status := 0; status != 409; { // until the wait has begun; then take the answer
		w.strangers()

		select {
		case err := <-w.done:
			t.Fatalf("the wait ended early: %v", err)
		default:
		}

		if got := w.get("code=&state=" + w.state); got != 400 {
			t.Errorf("an empty code: %d", got)
		}

		status = w.get("code=good-code&session_state=x&state=" + w.state)
		if status == 200 {
			status = w.get("code=second&state=" + w.state)
		}
	}

	if err := <-w.done; err != nil || w.token != "rt1" {
		t.Fatalf("token %q, %v", w.token, err)
	}

	form := w.fake.sent()[0].form
	if len(w.fake.sent()) != 1 || form.Get("code") != "good-code" ||
		form.Get("redirect_uri") != "http://localhost:"+strconv.Itoa(w.cb.Port())+"/cb" {
		t.Errorf("sent %v", form)
	}

	raw, err := base64.RawURLEncoding.DecodeString(w.State())
	if err != nil || len(raw) < 16 || len(form.Get("code_verifier")) < 43 {
		t.Errorf("state of %d bytes, verifier of %d", len(raw), len(form.Get("code_verifier")))
	}
}

func TestTheFirstAnswerCountsEvenBeforeTheWait(t *testing.T) {
	f := &fake{}

	cb, err := tokens.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer cb.Close()

	attempt := tokens.NewAuthCode(tokens.Client{App: app(tokens.V2), HTTP: f.client()}, cb.RedirectURI(""), "")
	if err := cb.Expect(attempt.State()); err != nil {
		t.Fatal(err)
	}

	base := "http://127.0.0.1:" + strconv.Itoa(cb.Port())
	if got, _ := browse(t, "GET", base+"/?code=evil&state=wrong"); got != 400 {
		t.Errorf("another state: %d", got)
	}

	shown := make(chan string, 1)

	go func() {
		_, body := browse(t, "GET", base+"/?code=good-code&state="+attempt.State())
		shown <- body
	}()

	for status := 0; status != 409; { // until the good one was taken; an error is no answer before
		status, _ = browse(t, "GET", base+"/?code=&state="+attempt.State())
	}

	for _, query := range []string{"code=second&state=", "error=access_denied&state="} {
		if got, _ := browse(t, "GET", base+"/?"+query+attempt.State()); got != 409 {
			t.Errorf("%s: %d", query, got)
		}
	}

	if err := cb.Expect("another"); err == nil {
		t.Error("a second state was taken")
	}

	if _, err := cb.Wait(t.Context(), "another"); err == nil {
		t.Error("one sign-in's code was given to another")
	}

	if _, err := attempt.ExchangeReturned(t.Context(), cb); err != nil {
		t.Fatal(err)
	}

	if sent := f.sent(); len(sent) != 1 || sent[0].form.Get("code") != "good-code" {
		t.Errorf("sent %v", sent)
	}

	if body := <-shown; !strings.Contains(body, "<h1>Signed in</h1>") {
		t.Errorf("the page says %s", body)
	}
}

func TestARefusalThatTheBrowserBringsIsExplained(t *testing.T) {
	cb, err := tokens.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer cb.Close()

	attempt := tokens.NewAuthCode(tokens.Client{App: app(tokens.V2)}, cb.RedirectURI(""), "")
	done := make(chan error, 1)

	go func() {
		_, err := attempt.ExchangeReturned(t.Context(), cb)
		done <- err
	}()

	description := "AADSTS65004: <script>User declined.\r\nTrace ID: 0a0a0a0a-0000-0000-0000-000000000001"
	address := "http://127.0.0.1:" + strconv.Itoa(cb.Port()) + "/?error=access_denied" +
		"&error_description=" + url.QueryEscape(description) + "&state=" + url.QueryEscape(attempt.State())

	for status := 0; status != 200; {
		var body string
		if status, body = browse(t, "GET", address); strings.Contains(body, "script") {
			t.Fatal("the page echoes the request")
		}
	}

	var e *tokens.Error
	if err := <-done; !errors.As(err, &e) || e.Code != 65004 || e.Fate != advice.NotAuthorised ||
		!strings.Contains(e.Error(), tenant) ||
		e.Refusal.TraceID == "" {
		t.Errorf("%v", err)
	}
}

func TestTheWaitEndsWithTheContextAndATakenPortIsNamed(t *testing.T) {
	cb, err := tokens.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer cb.Close()

	if _, err := tokens.Listen(cb.Port()); !errors.Is(err, syscall.EADDRINUSE) ||
		!strings.Contains(err.Error(), strconv.Itoa(cb.Port())) {
		t.Errorf("%v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()

	if _, err := cb.Wait(ctx, "state"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}

	if _, err := cb.Wait(t.Context(), ""); err == nil {
		t.Error("an empty state would be matched by anybody")
	}

	if err := cb.Close(); err != nil {
		t.Error(err)
	}

	again, err := tokens.Listen(cb.Port())
	if err != nil {
		t.Fatalf("the port is not free after Close: %v", err)
	}

	again.Close()
}

func TestPastedAnswersAreReadHoweverTheyWereCopied(t *testing.T) {
	const code = "0.AXkA-long_enough.code"
	for name, tc := range map[string]struct{ text, code, state, fault string }{
		"whole address": {
			"https://mssp.example.test/SiemMsspConnector?code=" + code + "&state=s%2Bt&session_state=x#",
			code,
			"s+t",
			"",
		},
		"wrapped by a terminal": {
			"  https://mssp.example.test/Siem\r\n MsspConnector?code=0.AXkA-long_\n enough.code&state=s\n",
			code,
			"s",
			"",
		},
		"in quotes":               {`"https://x.test/?code=` + code + `&state=s"`, code, "s", ""},
		"in angle brackets":       {"<https://x.test/?state=s&code=" + code + ">", code, "s", ""},
		"without the scheme":      {"localhost:8400/?code=" + code + "&state=s", code, "s", ""},
		"query alone":             {"code=" + code + "&state=s", code, "s", ""},
		"query with mark":         {"?code=" + code + "&state=s", code, "s", ""},
		"fragment":                {"https://x.test/#code=" + code + "&state=s", code, "s", ""},
		"bare code":               {" " + code + "\n", code, "", ""},
		"percent signs in a code": {"https://x.test/?code=a%2Fb%2Bc&state=s", "a/b+c", "s", ""},
		"refusal": {
			"https://x.test/?error=access_denied&error_description=AADSTS65004%3a+declined&state=s",
			"",
			"s",
			"declined",
		},
		"refusal without code":     {"https://x.test/?error=server_error", "", "", "fault"},
		"the address to open":      {app(tokens.V2).AuthCodeURL("https://x.test", "s", "v", ""), "", "", "no code"},
		"no parameters":            {"https://x.test/SiemMsspConnector", "", "", "no code"},
		"two codes":                {"https://x.test/?code=a&code=b&state=s", "", "", "no code"},
		"two states":               {"https://x.test/?code=a&state=b&state=s", "", "", "more than one state"},
		"cut off before the state": {"https://x.test/?code=" + code, "", "", "cut off"},
		"cut off in the state":     {"https://x.test/?code=" + code + "&state=", "", "", "cut off"},
		"a query without a state":  {"code=" + code, "", "", "cut off"},
		"empty code":               {"https://x.test/?code=&state=s", "", "", "no code"},
		"nothing":                  {" \n", "", "", "nothing was pasted"},
		"a word":                   {"yes", "", "", "no code"},
		"something else":           {"<html><body>sign in</body></html>", "", "", "no code"},
		"far too long":             {strings.Repeat("x", 70<<10), "", "", "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			got, state, err := tokens.ParsePasted(tc.text)
			if tc.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fault) || state != tc.state || !got.IsZero() {
					t.Errorf("%q, %q, %v", got.Reveal(), state, err)
				}

				return
			}

			if err != nil || got.Reveal() != tc.code || state != tc.state {
				t.Errorf("%q, %q, %v", got.Reveal(), state, err)
			}
		})
	}
}

func TestAPastedAnswerToAnotherSignInIsNotRedeemed(t *testing.T) {
	f := &fake{}

	attempt := tokens.NewAuthCode(
		tokens.Client{App: app(tokens.V1), HTTP: f.client()},
		"https://x.test/SiemMsspConnector",
		"",
	)
	if _, err := attempt.ExchangePasted(t.Context(), "https://x.test/?code=evil&state=other"); err == nil ||
		len(f.sent()) != 0 {
		t.Errorf("%v, sent %v", err, f.sent())
	}

	if _, err := attempt.ExchangePasted(t.Context(), "https://x.test/?code=cut-off-somewhere"); err == nil ||
		len(f.sent()) != 0 {
		t.Errorf("an address without a state: %v, sent %v", err, f.sent())
	}

	for _, text := range []string{"https://x.test/?code=good&state=" + attempt.State(), "a-bare-code-of-some-length"} {
		if _, err := attempt.ExchangePasted(t.Context(), text); err != nil {
			t.Error(err)
		}
	}

	if len(f.sent()) != 2 {
		t.Errorf("sent %v", f.sent())
	}
}

func TestTheAddressNamesTheUserWhoIsToSignIn(t *testing.T) {
	attempt := tokens.NewAuthCode(tokens.Client{App: app(tokens.V2)}, "http://localhost:1/", "select_account")
	for _, who := range []string{"", "soc+1@contoso.example"} {
		attempt.LoginHint = who

		u, err := url.Parse(attempt.URL())
		if err != nil || u.Query().Get("login_hint") != who || u.Query().Has("login_hint") != (who != "") ||
			u.Query().Get("state") != attempt.State() {
			t.Errorf("%s, %v", u, err)
		}
	}
}
