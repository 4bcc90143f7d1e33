package defender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/netfault"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// UserAgent names the collector in the services' logs.
const UserAgent = "fluent-bit-defender/1"

// TokenSource gives access tokens; *tokens.Source is one.
type TokenSource interface {
	// Token returns an access token that should be valid for some time.
	Token(ctx context.Context) (tokens.Access, error)
	// Invalidate says that the API answered 401 to it.
	Invalidate(tokens.Access)
}

// Settings are what every reader needs. A zero value is allowed only where the comment
// says so.
type Settings struct {
	// BaseURL is scheme, host and port of the API; Path the path of the alerts.
	BaseURL, Path string
	// Resource is what the token must be for; remedies name it.
	Resource string
	// Filter is the operator's own restriction, see the key `filter`; empty for none.
	Filter string
	// ClientID and TenantID are for remedies, which name them.
	ClientID alert.ClientID
	TenantID alert.TenantID
	// Home is the provider's own tenant, whose sign-in reads the alerts; empty for none.
	// It is for remedies too.
	Home alert.TenantID
	// HTTP sends the requests. The reader uses a copy that does not follow redirects.
	HTTP *http.Client
	// Tokens returns the access tokens.
	Tokens TokenSource
	// IdleTimeout is how long a read waits without a byte before it gives the request
	// up; 0 is for ever.
	IdleTimeout time.Duration
	// Limiter is asked before every request, and told what the service says about
	// waiting; nil for none.
	Limiter *Limiter
	// Now is the clock.
	Now func() time.Time
	// Skew is called with the service's time, from the header Date, and ours when an
	// answer arrives; nil for none.
	Skew func(server, local time.Time)
	// Answered is called with the HTTP status of each answer, and with 0 for a request
	// that got none; nil for none.
	Answered func(status int)
	// Log gets a line about something that is unusual but no error; nil for none.
	Log *slog.Logger
	// MaxPage is the most rows that the API lists at a time, PageSize how many to ask
	// for; both are for APIs with pages.
	MaxPage, PageSize int
	// ByCreation makes windows mean the time of creation instead of the last update.
	ByCreation bool
}

// client sends the requests of one reader.
type client struct {
	Settings
	host    string // and port of the API, for messages
	op      string
	waitMax time.Duration // how long a request waits for the call budget
	token   secret.Text   // the last one used, so that no error quotes it
	denied  denial
}

// denial returns what a refusal by the API means, and what to do about it.
type denial func(Settings) (problem, remedy string)

// service holds what errors say about the API.
type service struct {
	host, resource string
	// denied returns what a refusal means, and what to do about it.
	denied func() (problem, remedy string)
}

// service returns what errors say about the API.
func (c *client) service() service {
	return service{
		host:     c.host,
		resource: c.Resource,
		denied:   func() (problem, remedy string) { return c.denied(c.Settings) },
	}
}

// waitLong makes requests wait longWait for the call budget, until restore is called.
func (c *client) waitLong() (restore func()) {
	before := c.waitMax
	c.waitMax = longWait

	return func() { c.waitMax = before }
}

// get requests address and returns the body of a successful answer. After a 401 it tries
// once more, with a new token.
func (c *client) get(ctx context.Context, address string, header http.Header) (*body, error) {
	for try := 0; ; try++ {
		access, err := c.admit(ctx)
		if err != nil {
			return nil, err
		}

		body, err := c.send(ctx, address, header, access)
		if try > 0 || !isStatus(err, http.StatusUnauthorized) {
			return body, err
		}

		c.Tokens.Invalidate(access)
	}
}

// admit waits until a request may be sent: for an access token, which it returns, and
// for the limiter.
func (c *client) admit(ctx context.Context) (tokens.Access, error) {
	done := startWaiting(ctx)
	defer done()

	access, err := c.Tokens.Token(ctx)
	if err != nil {
		return tokens.Access{}, err
	}

	return access, c.Limiter.wait(ctx, max(c.waitMax, shortWait))
}

// send sends one request and returns the body of a successful answer.
func (c *client) send(
	ctx context.Context, address string, header http.Header, access tokens.Access,
) (*body, error) {
	c.token = access.Token
	ctx, cancel := context.WithCancelCause(ctx)

	req, err := c.request(ctx, address, header)
	if err != nil {
		cancel(nil)
		return nil, err
	}

	httpClient := *c.HTTP
	httpClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	guard := newWatchdog(cancel)
	done := startWaiting(ctx)

	if c.IdleTimeout > 0 {
		guard.start(c.IdleTimeout, errSilent) // for the connection and all the headers together
	}

	res, err := httpClient.Do(req)

	guard.stop()
	done()
	c.count(res)

	if err != nil {
		err = c.broken(ctx, err, true)

		cancel(nil)

		return nil, err
	}

	now := c.Now()
	if server, err := http.ParseTime(res.Header.Get("Date")); err == nil && c.Skew != nil {
		c.Skew(server, now)
	}

	body := &body{
		c:      c,
		ctx:    ctx,
		cancel: cancel,
		guard:  guard,
		pace:   pace{quiet: c.IdleTimeout},
		from:   plain(res),
		left:   mostBytes,
	}
	if res.StatusCode == http.StatusOK {
		c.Limiter.answered()
		return body, nil
	}

	return nil, c.refused(res, body, now)
}

// count passes on how a request was answered; res is nil for one that was not.
func (c *client) count(res *http.Response) {
	switch {
	case c.Answered == nil:
	case res == nil:
		c.Answered(0)
	default:
		c.Answered(res.StatusCode)
	}
}

// request returns a request with the access token.
func (c *client) request(ctx context.Context, address string, header http.Header) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &Error{
			Fault: advice.Fault{
				Reason:  advice.Unreachable,
				Fate:    advice.NeedsFix,
				Problem: "the address of the API cannot be used",
				Remedy:  "check `api_url`",
			},
			Op: c.op,
		}
	}

	for k, v := range header {
		req.Header[k] = v
	}

	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", acceptEncoding)
	req.Header.Set("User-Agent", UserAgent)
	req.Header.Set("Authorization", "Bearer "+c.token.Reveal())

	return req, nil
}

// mostRefusal is how many bytes of a refusal's body are read.
const mostRefusal = 64 << 10

// refused explains an answer that is not a success. Its body only adds codes to the
// status, so a body that is long, slow or broken is read in part.
func (c *client) refused(res *http.Response, body *body, now time.Time) error {
	defer body.Close()

	body.pace.most = refusalTime
	start, _ := io.ReadAll(io.LimitReader(body, mostRefusal))

	e := refusal(c.op, res, start, now, c.service())
	e.scrub(c.token.Reveal())

	if e.Fate == advice.TryAgain {
		c.Limiter.refused(e)
	}

	return e
}

// broken explains an error of the network. connecting says that no answer has begun.
func (c *client) broken(ctx context.Context, err error, connecting bool) error {
	if cause := context.Cause(ctx); cause != nil {
		if e := c.gaveUp(cause); e != nil {
			return e
		}

		return cause // the caller told us to stop
	}

	fault, host := netfault.Of(err), c.host

	e := &Error{Fault: advice.Fault{Reason: advice.Unreachable, Err: fault.Err}, Op: c.op}
	switch {
	case connecting && fault.Kind == netfault.ProxySignIn:
		e.Unreachable = true
		e.Problem, e.Remedy = proxySignIn(host)
	case connecting && fault.Kind == netfault.Proxy:
		e.Unreachable = true
		e.Problem = "the proxy does not connect to " + host
		e.Remedy = "check `proxy` and the environment variable HTTPS_PROXY"
	case connecting && fault.Dialing, fault.Kind == netfault.Name:
		e.Unreachable = true
		e.Problem = host + " cannot be reached"
		e.Remedy = "check `api_url`, `region`, `proxy`, the name service and the firewall"
	case fault.Kind.TLS():
		e.Unreachable = true
		e.Problem = "the certificate of " + host + " is not trusted here"
		e.Remedy = "check `ca_file`, the proxy and the clock"
	case fault.Kind == netfault.Reset:
		e.Reason = advice.BadAnswer
		e.Smaller = true
		e.Problem = host + " ended the request early (HTTP/2 reset)"
		e.Remedy = "if it lasts, check whether a proxy or firewall limits requests"
	case errors.Is(err, errEncoding):
		e.Err, e.Reason = nil, advice.BadAnswer
		e.Problem = host + " answered in " + err.Error()
		e.Remedy = notAList
	case connecting:
		e.Reason = advice.BadAnswer
		e.Smaller = true
		e.Problem = "the connection to " + host + " ended before an answer came"
	default:
		e.Reason = advice.BadAnswer
		e.Smaller = true
		e.Problem = "the answer of " + host + " is incomplete"
	}

	return e
}

// gaveUp explains why the reader itself gave a request up; it returns nil if it did not.
func (c *client) gaveUp(reason error) *Error {
	host, quiet := c.host, c.IdleTimeout
	e := &Error{
		Fault: advice.Fault{
			Reason: advice.TooSlow,
			Fate:   advice.TryAgain,
			Remedy: "if it lasts, check the network and `proxy`, or raise `http_timeout`",
		},
		Op:      c.op,
		Smaller: true,
	}

	switch {
	case errors.Is(reason, errSilent):
		e.Problem = fmt.Sprintf("%s sent nothing for %v", host, quiet)
	case errors.Is(reason, errSlow):
		e.Problem = fmt.Sprintf("%s sent less than %d bytes in %v", host, leastBytes, quiet)
	case errors.Is(reason, errNoRow):
		e.Problem = fmt.Sprintf("%s sent no whole alert in %v", host, rowTimes*quiet)
	case errors.Is(reason, errLarge):
		e.Problem = fmt.Sprintf("%s did not send a large alert within %v", host, largeTimes*quiet)
	case errors.Is(reason, errTooLong):
		e.Problem = fmt.Sprintf("%s did not finish its answer within %v", host, answerTimes*quiet)
	default:
		return nil
	}

	return e
}

// mostBytes bounds an answer: the largest page, full of alerts with half a megabyte of
// evidence each.
const mostBytes = 5_000_000_000

// body reads an answer. It watches that bytes keep coming while somebody reads; time in
// which nobody reads, because the buffer is full, does not count.
type body struct {
	c      *client
	ctx    context.Context
	cancel context.CancelCauseFunc
	guard  *watchdog
	pace   pace
	from   io.ReadCloser
	read   int64 // bytes read so far
	left   int64 // bytes that may still come
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	left, reason := b.pace.next()
	done := startWaiting(b.ctx)
	began := time.Now()

	b.guard.start(left, reason)
	n, err := b.from.Read(p)
	b.guard.stop()
	b.pace.waited(time.Since(began), n)
	done()

	b.read += int64(n)
	if b.left -= int64(n); b.left < 0 && err == nil {
		return n, tooMuch(b.c.op, b.c.host+" sends an endless answer")
	}

	if err != nil && !errors.Is(err, io.EOF) {
		err = b.c.broken(b.ctx, err, false)
	}

	return n, err
}

// rowRead notes that a whole row has arrived.
func (b *body) rowRead() { b.pace.rowRead() }

// Close ends the request, whether or not the answer has ended.
func (b *body) Close() error {
	b.guard.stop()
	b.cancel(nil)

	return b.from.Close()
}
