package tokens

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
)

// answering is a sign-in service that sends one answer, once released.
type answering struct {
	status  int
	body    string
	asked   chan struct{} // gets a value with each request
	release chan struct{}
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked <- struct{}{}

	select {
	case <-a.release:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}

	return &http.Response{
		StatusCode: a.status,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(a.body)),
		Request:    r,
	}, nil
}

// returning begins a sign-in and sends the browser back with a code. The page comes
// through the channel.
func returning(t *testing.T, service http.RoundTripper) (*Callback, *AuthCode, chan string) {
	t.Helper()

	cb, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { cb.Close() })

	app := App{
		LoginURL: "https://login.example.test",
		TenantID: "contoso<b>.test",
		ClientID: "11111111-2222-3333-4444-555555555555",
		Resource: "https://graph.example.test",
	}

	attempt := NewAuthCode(Client{App: app, HTTP: &http.Client{Transport: service}}, cb.RedirectURI(""), "")
	if err := cb.Expect(attempt.State()); err != nil {
		t.Fatal(err)
	}

	shown := make(chan string, 1)

	address := "http://127.0.0.1:" + strconv.Itoa(cb.Port()) +
		"/?code=the-code&state=" + url.QueryEscape(attempt.State())
	go func() {
		res, err := http.Get(address)
		if err != nil {
			shown <- err.Error()
			return
		}
		defer res.Body.Close()

		body, _ := io.ReadAll(res.Body)
		shown <- strconv.Itoa(res.StatusCode) + " " + string(body)
	}()

	return cb, attempt, shown
}

func TestThePageSaysWhoSignedInOnceTheCodeIsRedeemed(t *testing.T) {
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"preferred_username":"soc<script>@contoso.test"}`))
	for name, tc := range map[string]struct {
		status int
		body   string
		want   []string
	}{
		"redeemed": {
			200,
			`{"token_type":"Bearer","access_token":"a.` + claims + `.c","refresh_token":"rt-1","expires_in":3600}`,
			[]string{
				"<h1>Signed in</h1>",
				"soc&lt;script&gt;@contoso.test signed in to tenant contoso&lt;b&gt;.test",
				"graph.example.test",
			},
		},
		"redeemed, of an unknown user": {
			200,
			`{"token_type":"Bearer","access_token":"at","refresh_token":"rt-1","expires_in":3600}`,
			[]string{"<h1>Signed in</h1>", "You signed in to tenant"},
		},
		"refused": {
			400,
			`{"error":"invalid_grant","error_description":"AADSTS65001: <script> the-code","error_codes":[65001]}`,
			[]string{"<h1>The sign-in failed</h1>", "has no consent in tenant contoso&lt;b&gt;.test"},
		},
		"no answer that can be read": {502, `<html>`, []string{"<h1>The sign-in failed</h1>", "Nobody is signed in"}},
	} {
		t.Run(name, func(t *testing.T) {
			service := answering{
				status:  tc.status,
				body:    tc.body,
				asked:   make(chan struct{}, 1),
				release: make(chan struct{}),
			}
			cb, attempt, shown := returning(t, service)
			done := make(chan error, 1)

			go func() {
				_, err := attempt.ExchangeReturned(t.Context(), cb)
				done <- err
			}()

			<-service.asked // the code is on its way, and what comes of it is not known

			select {
			case body := <-shown:
				t.Fatalf("before the code was redeemed the page says %s", body)
			default:
			}

			close(service.release)

			body := <-shown
			for _, want := range tc.want {
				if !strings.Contains(body, want) {
					t.Errorf("%q is not in %s", want, body)
				}
			}

			if strings.Contains(body, "<script>") || strings.Contains(body, "the-code") ||
				strings.Contains(body, "rt-1") {
				t.Errorf("the page shows what it must not: %s", body)
			}

			if err := <-done; (err == nil) != (tc.status == 200) {
				t.Error(err)
			}
		})
	}
}

func TestThePageDoesNotWaitForEver(t *testing.T) {
	cb, _, shown := returning(t, nil)
	cb.mu.Lock()
	state := cb.state
	cb.mu.Unlock()

	if _, err := cb.Wait(t.Context(), state); err != nil {
		t.Fatal(err)
	}

	cb.Close()

	if body := <-shown; !strings.Contains(body, "was not completed") {
		t.Errorf("when the command ends, the page says %s", body)
	}

	slow := &Callback{pageTimeout: time.Millisecond, reported: make(chan struct{})}
	if p := slow.outcome(t.Context()); p.status != 200 || p.title != "Not finished yet" {
		t.Errorf("%+v", p)
	}

	gone, cancel := context.WithCancel(t.Context())
	cancel()

	waiting := &Callback{pageTimeout: time.Hour, reported: make(chan struct{})}
	if p := waiting.outcome(gone); p.title != "Not finished yet" {
		t.Errorf("a browser that left: %+v", p)
	}
}

func TestTheFirstReportCounts(t *testing.T) {
	c := &Callback{pageTimeout: time.Hour, reported: make(chan struct{})}
	a := NewAuthCode(Client{App: App{TenantID: "t"}}, "", "")
	c.report(a.closingPage(Tokens{Account: "soc@contoso.test"}, nil))
	c.report(a.closingPage(Tokens{}, errors.New("x")))

	if p := c.outcome(t.Context()); p.title != "Signed in" {
		t.Errorf("%+v", p)
	}
}

func TestTheLimitIsForThePersonNotForTheRedemption(t *testing.T) {
	service := answering{
		status:  200,
		body:    `{"token_type":"Bearer","access_token":"at","refresh_token":"rt-1","expires_in":3600}`,
		asked:   make(chan struct{}, 1),
		release: make(chan struct{}),
	}
	cb, attempt, shown := returning(t, service)
	attempt.Limit = time.Minute

	code, err := attempt.waitReturned(t.Context(), cb)
	if err != nil {
		t.Fatal(err)
	}

	cb.result <- redirected{code: code} // the browser is back,

	attempt.Limit = time.Nanosecond // and the limit ends at that moment
	done := make(chan error, 1)

	go func() {
		_, err := attempt.ExchangeReturned(t.Context(), cb)
		done <- err
	}()

	<-service.asked // the limit is over long since
	close(service.release)

	if err := <-done; err != nil {
		t.Error(err)
	}

	if body := <-shown; !strings.Contains(body, "Signed in") {
		t.Errorf("the page says %s", body)
	}

	if _, err := attempt.ExchangeReturned(t.Context(), cb); !errors.Is(err, ErrNobodyReturned) {
		t.Errorf("without an answer: %v", err)
	}
}

func TestAnAnswerThatIsThereIsNotLostToTheEndOfTheWait(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	for range 100 { // a select would choose between the two by chance
		cb := &Callback{result: make(chan redirected, 1)}
		cb.result <- redirected{code: secret.New("the-code")}

		if _, err := cb.Wait(ended, "state"); err != nil {
			t.Fatal(err)
		}
	}
}
