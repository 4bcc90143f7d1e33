package tokens

import (
	"bytes"
	"cmp"
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

// maxBody bounds what is read of an answer, in bytes; a token answer has a few
// kilobytes.
const maxBody = 1 << 20

// wire is the transport under golang.org/x/oauth2 for one sign-in. The library builds
// requests and polls. wire adds what the library has no place for or does not
// understand: `resource` at a v1 refresh, client assertions, our request id, numbers
// written as strings, JSON under another content type, the service's clock, and errors
// that can be told apart.
type wire struct {
	base http.RoundTripper
	app  App
	now  func() time.Time
	skew func(server, at time.Time) // Client.OnSkew
	host string
	// timeout is how long a request may go without a byte arriving.
	timeout time.Duration
	// onWritten, if set, is called when a request has been sent whole.
	onWritten func()

	add  url.Values // parameters the library has no place for
	drop []string   // parameters the library sends and v1 does not know

	exchange // the last one

	slowDowns int // how often the service said slow_down
}

// exchange is one request and what came back.
type exchange struct {
	secrets   []string // of the form that was sent; none may be printed when it comes back
	requestID string
	// written says that the request was sent whole. The transport may set it even after
	// it has given up.
	written *atomic.Bool

	status int // 0: no answer
	header http.Header
	answer answer
	fault  *Error // why there is no answer that can be used
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.exchange = exchange{written: new(atomic.Bool)}

	ctx, heard, done := withTimeouts(req.Context(), w.timeout)
	defer done()

	req, err := w.rewrite(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}

	start := w.now()

	res, err := w.base.RoundTrip(req)
	if err != nil {
		return nil, w.fail(w.incomplete(ctx, err, w.written.Load()))
	}
	defer res.Body.Close()

	heard()

	w.status = res.StatusCode
	w.header = res.Header

	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil && w.skew != nil {
		w.skew(date, w.now())
	}

	body, err := io.ReadAll(io.LimitReader(&meteredReader{Reader: res.Body, heard: heard}, maxBody+1))
	if err != nil {
		return nil, w.fail(w.incomplete(ctx, err, true))
	}

	if fault := w.read(body, start); fault != nil {
		return nil, w.fail(fault)
	}

	if w.answer.refusal.OAuth == "slow_down" {
		w.slowDowns++
	}

	return w.libraryAnswer(res)
}

// fail records why the exchange failed, and returns it.
func (w *wire) fail(fault *Error) *Error {
	fault.RetryAfter = w.retryAfter()
	fault.Refusal.CorrelationID = w.requestID
	w.fault = fault

	return fault
}

// read reads the body of an answer. It returns a fault if the answer is not from the
// sign-in service.
func (w *wire) read(body []byte, start time.Time) *Error {
	if len(body) > maxBody {
		fault := w.unexpected()
		fault.Err = fmt.Errorf("it is larger than %d bytes", maxBody)

		return fault
	}

	if w.status >= 300 && w.status < 400 {
		return w.unexpected()
	}

	a, err := parseAnswer(body, start)
	if err != nil {
		return w.unexpected()
	}

	a.scrub(w.holdsSecret)
	w.answer = a

	if w.status >= 300 && a.refusal.OAuth == "" && len(a.refusal.AADSTS) == 0 {
		return w.unexpected()
	}

	return nil
}

// rewrite returns the request with everything that the library leaves out. The library
// always posts a form.
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

	w.requestID = newGUID()

	text := form.Encode() // each value form-encoded exactly once: AADSTS7000215 otherwise
	written := w.written
	req = req.Clone(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err != nil {
				return
			}

			written.Store(true)

			if w.onWritten != nil {
				w.onWritten()
			}
		},
	}))
	req.Body = io.NopCloser(strings.NewReader(text))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	req.ContentLength = int64(len(text))

	// Sign-ins are an hour apart, so the service has often closed the connection that
	// was kept open since the last one. This key, which is empty and never sent, tells
	// net/http that it may repeat the request on a new connection when a reused one
	// ends without a byte of an answer.
	req.Header["Idempotency-Key"] = nil

	req.Header.Set("Accept", "application/json")
	req.Header.Set("client-request-id", w.requestID)
	req.Header.Set("return-client-request-id", "true")

	return req, nil
}

// libraryAnswer returns the answer in the form that the library understands.
func (w *wire) libraryAnswer(res *http.Response) (*http.Response, error) {
	a := w.answer
	m := map[string]any{}

	set := func(name, value string) {
		if value != "" {
			m[name] = value
		}
	}

	set("error", a.refusal.OAuth)

	if a.refusal.OAuth == "" && res.StatusCode >= 300 {
		set("error", unknownError)
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

// failure returns the Error for an error of the library.
func (w *wire) failure(err error) *Error {
	switch {
	case w.fault != nil:
		return w.fault
	case w.status == 0:
		return networkError(err, w.host)
	case w.answer.refusal.OAuth != "" || len(w.answer.refusal.AADSTS) > 0:
		return w.refused()
	}

	return w.unusable("") // whole JSON, yet without what was asked for
}

// refused returns the Error for the service's refusal.
func (w *wire) refused() *Error {
	r := w.answer.refusal
	r.Status = w.status
	r.CorrelationID = cmp.Or(r.CorrelationID, w.requestID)

	e := r.Explain(w.app)

	e.RetryAfter = w.retryAfter()
	if e.Code == loopCode && e.RetryAfter == 0 {
		e.RetryAfter = loopPause
	}

	return e
}

// unusable returns the Error for a successful answer that cannot be used. problem,
// unless it is empty, replaces the usual text.
func (w *wire) unusable(problem string) *Error {
	e := w.unexpected()
	e.Problem = cmp.Or(problem, e.Problem)
	e.Refusal.CorrelationID = w.requestID

	return e
}

// keepRotated puts the new refresh token of an answer that cannot be used into its
// error, so that it is not lost.
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

// bind returns a context whose HTTP client sends the library's requests through w.
// RoundTrip makes an error of every redirect, so the client follows none, whatever hc
// does: net/http would post the form again to wherever a 307 points.
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

// holdsSecret reports whether a text of another machine holds a part of a secret that
// we sent.
func (w *wire) holdsSecret(text string) bool {
	return slices.ContainsFunc(w.secrets, func(s string) bool { return netfault.Shares(text, s) })
}

// retryAfter returns how long the answer asks to wait; 0 if it does not.
func (w *wire) retryAfter() time.Duration {
	d, _ := netfault.RetryAfter(w.header, w.now())
	return d
}

// incomplete returns the Error when no whole answer came. lost says that the service
// may have acted on the request.
func (w *wire) incomplete(ctx context.Context, err error, lost bool) *Error {
	e := networkError(err, w.host)
	e.Refusal.Status = w.status
	e.lost = lost

	cause := context.Cause(ctx)

	switch {
	case errors.Is(cause, errSilent) && w.status == 0:
		e.Problem = fmt.Sprintf("%s sent nothing for %v", w.host, w.timeout)
	case errors.Is(cause, errSilent):
		e.Problem = fmt.Sprintf("%s sent less than %d bytes in %v", w.host, leastBytes, w.timeout)
	case errors.Is(cause, errSlow):
		e.Problem = fmt.Sprintf("%s did not answer whole within %v", w.host, wholeTimeout(w.timeout))
	default:
		return e
	}

	e.Remedy = checkNetwork
	e.Err = nil

	return e
}

// Reasons for giving a request up ourselves.
var (
	errSilent = errors.New("too few bytes arrived in time")
	errSlow   = errors.New("the answer takes too long")
)

// leastBytes is how much of an unfinished answer has to arrive within Client.Timeout.
// Less counts as nothing.
const leastBytes = 1 << 10

// wholeTimeout returns how long a whole request may take whose answer keeps coming. An
// answer has a few kilobytes.
func wholeTimeout(timeout time.Duration) time.Duration { return 2 * timeout }

// withTimeouts returns a context that ends when heard was not called for the timeout,
// or when the whole request takes too long. done releases it.
func withTimeouts(ctx context.Context, timeout time.Duration) (limited context.Context, heard, done func()) {
	ctx, giveUp := context.WithCancelCause(ctx)
	ctx, end := context.WithTimeoutCause(ctx, wholeTimeout(timeout), errSlow)
	silence := time.AfterFunc(timeout, func() { giveUp(errSilent) })

	heard = func() { silence.Reset(timeout) }
	done = func() {
		silence.Stop()
		end()
		giveUp(nil)
	}

	return ctx, heard, done
}

// meteredReader calls heard whenever leastBytes have arrived.
type meteredReader struct {
	io.Reader
	heard func()
	bytes int // since the last call
}

// Read implements io.Reader.
func (m *meteredReader) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)

	m.bytes += n
	if m.bytes >= leastBytes {
		m.bytes = 0
		m.heard()
	}

	return n, err
}
