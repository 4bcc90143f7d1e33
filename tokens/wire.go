package tokens

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"fluent-bit-defender/internal/netfault"
	"fluent-bit-defender/internal/secret"
)

// maxBody bounds what is read of an answer; a token answer has a few kilobytes.
const maxBody = 1 << 20

// wire is the transport under golang.org/x/oauth2 for one sign-in. The library builds
// requests and polls; what it cannot say or would not understand is added here:
// `resource` at a v1 refresh, client assertions, our request id, numbers written as
// strings, JSON under another content type, the service's clock, and errors that can be
// told apart.
type wire struct {
	base http.RoundTripper
	app  App
	now  func() time.Time
	skew func(server, at time.Time)
	host string
	// quiet is how long to wait without a byte before a request is given up.
	quiet time.Duration

	add  url.Values // parameters the library has no place for
	drop []string   // parameters the library sends and v1 does not know

	secrets []string // of the form that was sent last: none of them may be printed when it comes back

	// what came back last
	answer    answer
	status    int
	header    http.Header
	requestID string
	sent      *atomic.Bool // the request went out whole; the transport may still set it after it gave up
	fault     *Error       // why the answer is none
	slowDowns int
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.answer, w.status, w.header, w.sent, w.fault = answer{}, 0, nil, new(atomic.Bool), nil

	ctx, heard, done := limited(req.Context(), w.quiet)
	defer done()

	req, err := w.rewrite(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}

	start := w.now()

	res, err := w.base.RoundTrip(req)
	if err != nil {
		w.fault = w.broken(ctx, err)
		w.fault.lost = w.sent.Load()
		w.fault.Refusal.CorrelationID = w.requestID

		return nil, w.fault
	}
	defer res.Body.Close()

	w.status, w.header = res.StatusCode, res.Header
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil && w.skew != nil {
		w.skew(date, w.now())
	}

	heard()

	body, err := io.ReadAll(io.LimitReader(&listening{Reader: res.Body, heard: heard}, maxBody+1))
	switch {
	case err != nil:
		w.fault = w.broken(ctx, err)
		w.fault.Refusal.Status = res.StatusCode
		w.fault.lost = true
	case len(body) > maxBody:
		w.fault = w.strange(res.StatusCode, res.Header)
		w.fault.Err = fmt.Errorf("it is larger than %d bytes", maxBody)
	case res.StatusCode >= 300 && res.StatusCode < 400:
		w.fault = w.strange(res.StatusCode, res.Header)
	default:
		w.answer, err = parseAnswer(body, start)
		if err != nil || res.StatusCode >= 300 && w.answer.refusal.OAuth == "" && len(w.answer.refusal.AADSTS) == 0 {
			w.fault = w.strange(res.StatusCode, res.Header)
		}

		w.answer.scrub(w.sentOut)
	}

	if w.fault != nil {
		w.fault.RetryAfter = w.retryAfter(res.Header)
		w.fault.Refusal.CorrelationID = w.requestID

		return nil, w.fault
	}

	if w.answer.refusal.OAuth == "slow_down" {
		w.slowDowns++
	}

	return w.canonical(res)
}

// rewrite gives the request with what the library left out. The library always posts a
// form.
func (w *wire) rewrite(req *http.Request) (*http.Request, error) {
	old, err := io.ReadAll(req.Body)
	req.Body.Close()

	if err != nil {
		return nil, err
	}

	form, err := url.ParseQuery(string(old))
	if err != nil {
		return nil, errors.New("tokens: the request form cannot be read") // err would quote it
	}

	for _, name := range w.drop {
		form.Del(name)
	}

	for name, values := range w.add {
		form[name] = values
	}

	w.secrets = w.secrets[:0]
	for _, name := range secretFields {
		w.secrets = append(w.secrets, form[name]...)
	}

	text := form.Encode() // each value form-encoded exactly once: AADSTS7000215 otherwise
	sent := w.sent
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				sent.Store(true)
			}
		},
	})
	req = req.Clone(ctx)
	req.Body = io.NopCloser(strings.NewReader(text))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	req.ContentLength = int64(len(text))
	// Sign-ins are an hour apart, so the connection kept open since the last one has
	// often been closed at the other end. An empty key (never sent) tells net/http that
	// it may repeat the request on a fresh connection when a reused one ends without a
	// byte of an answer.
	req.Header["Idempotency-Key"] = nil
	w.requestID = newGUID()

	req.Header.Set("Accept", "application/json")
	req.Header.Set("client-request-id", w.requestID)
	req.Header.Set("return-client-request-id", "true")

	return req, nil
}

// canonical is the answer as the library reads it without stumbling.
func (w *wire) canonical(res *http.Response) (*http.Response, error) {
	a := w.answer
	m := map[string]any{}

	set := func(name, value string) {
		if value != "" {
			m[name] = value
		}
	}
	if set("error", a.refusal.OAuth); a.refusal.OAuth == "" && res.StatusCode >= 300 {
		set("error", "unknown_error")
	}

	set("token_type", a.tokenType)
	set("access_token", a.access.Reveal())
	set("refresh_token", a.refresh.Reveal())
	set("device_code", a.deviceCode.Reveal())
	set("user_code", a.userCode)
	set("verification_uri", a.verification)

	if a.life > 0 {
		m["expires_in"] = int64(a.life / time.Second)
	}

	if a.interval > 0 {
		m["interval"] = max(int64(a.interval/time.Second), 1)
	}

	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}

	out := *res
	out.Header = http.Header{"Content-Type": {"application/json"}}
	out.Body = io.NopCloser(bytes.NewReader(body))
	out.ContentLength = int64(len(body))

	return &out, nil
}

// failure explains why the library gave err.
func (w *wire) failure(err error) *Error {
	switch {
	case w.fault != nil:
		return w.fault
	case w.status == 0:
		return networkError(err, w.host)
	case w.answer.refusal.OAuth != "" || len(w.answer.refusal.AADSTS) > 0:
		w.answer.refusal.Status = w.status
		e := w.answer.refusal.Explain(w.app)

		e.RetryAfter = w.retryAfter(w.header)
		if e.Code == 50196 && e.RetryAfter == 0 {
			e.RetryAfter = loopPause
		}

		if e.Refusal.CorrelationID == "" {
			e.Refusal.CorrelationID = w.requestID
		}

		return e
	}

	e := w.strange(w.status, w.header) // whole JSON, yet without what was asked for
	e.Refusal.CorrelationID = w.requestID

	return e
}

// keepRotated puts the refresh token of a success into the error that it ended with, if
// it is not the one we sent.
func (w *wire) keepRotated(e *Error, sent secret.Text) {
	if w.status != http.StatusOK || w.answer.refusal.OAuth != "" || sent.IsZero() {
		return
	}

	rotated := w.answer.refresh
	if !rotated.IsZero() && !rotated.Equal(sent) && rotated.CheckToken() == nil {
		e.rotated = rotated
	}
}

// loopPause is how long to stay away after "request loop detected" (AADSTS50196), which
// lasts some minutes by itself.
const loopPause = 15 * time.Minute

// bind puts w under the library, as the client of ctx. RoundTrip makes an error of every
// redirect, so that the client follows none, whatever hc does: net/http would post the
// form again to wherever a 307 points.
func (w *wire) bind(ctx context.Context, hc *http.Client) context.Context {
	client := &http.Client{}
	if hc != nil {
		*client = *hc
	}

	w.base = client.Transport
	if w.base == nil {
		w.base = http.DefaultTransport
	}

	client.Transport = w
	client.Jar = nil

	return context.WithValue(ctx, oauth2.HTTPClient, client)
}

// secretFields are the parameters of a form that nobody else may see.
var secretFields = []string{
	"client_secret",
	"client_assertion",
	"refresh_token",
	"code",
	"code_verifier",
	"device_code",
}

// sentOut tells whether a foreign text holds a piece of a secret that we sent.
func (w *wire) sentOut(text string) bool {
	return slices.ContainsFunc(w.secrets, func(s string) bool { return netfault.Shares(text, s) })
}

func (w *wire) retryAfter(h http.Header) time.Duration {
	wait, _ := netfault.RetryAfter(h, w.now())
	return wait
}

// broken explains why no whole answer came.
func (w *wire) broken(ctx context.Context, err error) *Error {
	cause := context.Cause(ctx)

	e := networkError(err, w.host)
	switch {
	case errors.Is(cause, errSilent) && w.status == 0:
		e.Problem, e.Err = fmt.Sprintf("%s sent nothing for %v", w.host, w.quiet), nil
	case errors.Is(cause, errSilent):
		e.Problem, e.Err = fmt.Sprintf("%s sent less than %d bytes in %v", w.host, leastBytes, w.quiet), nil
	case errors.Is(cause, errSlow):
		e.Problem, e.Err = fmt.Sprintf("%s did not answer whole within %v", w.host, wholeTime(w.quiet)), nil
	default:
		return e
	}

	e.Remedy = "check the network, the firewall and proxy"

	return e
}

// Reasons why we gave a request up ourselves.
var (
	errSilent = errors.New("too few bytes arrived in time")
	errSlow   = errors.New("the answer takes too long")
)

// leastBytes is how much of an unfinished answer must arrive within Client.Timeout: less
// counts as nothing.
const leastBytes = 1 << 10

// wholeTime is how long a whole request may take whose answer keeps coming: it has a few
// kilobytes.
func wholeTime(quiet time.Duration) time.Duration { return 2 * quiet }

// limited returns a context that ends when nothing was heard for as long as quiet, or the
// whole takes too long. heard says that something was.
func limited(ctx context.Context, quiet time.Duration) (limit context.Context, heard, done func()) {
	ctx, giveUp := context.WithCancelCause(ctx)
	ctx, end := context.WithTimeoutCause(ctx, wholeTime(quiet), errSlow)
	silence := time.AfterFunc(quiet, func() { giveUp(errSilent) })

	return ctx, func() { silence.Reset(quiet) }, func() {
		silence.Stop()
		end()
		giveUp(nil)
	}
}

// listening is a body that says whenever leastBytes have arrived.
type listening struct {
	io.Reader
	heard func()
	bytes int // since it said so
}

// Read implements io.Reader.
func (l *listening) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)

	l.bytes += n
	if l.bytes >= leastBytes {
		l.bytes = 0
		l.heard()
	}

	return n, err
}
