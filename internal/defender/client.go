package defender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"fluent-bit-defender/internal/netfault"
	"fluent-bit-defender/tokens"
)

// UserAgent names the collector in the services' logs.
const UserAgent = "fluent-bit-defender/1"

// TokenSource gives access tokens; *tokens.Source is one.
type TokenSource interface {
	// Token gives an access token that should be valid for a while yet.
	Token(ctx context.Context) (tokens.Access, error)
	// Invalidate says that the API answered 401 to it.
	Invalidate(tokens.Access)
}

// Settings are what every reader needs. All are required but Gate, IdleTimeout and Skew.
type Settings struct {
	// BaseURL is scheme, host and port of the API; Path the path of the alerts.
	BaseURL, Path string
	// Resource is what the token must be for; it is named in remedies.
	Resource string
	// Filter is the operator's own restriction, see the key `filter`.
	Filter string
	// ClientID and TenantID are named in remedies.
	ClientID, TenantID string
	// HTTP sends the requests; Client forbids it to follow redirects.
	HTTP   *http.Client
	Tokens TokenSource
	// IdleTimeout is how long to wait without a byte, while reading, before a request is given up.
	IdleTimeout time.Duration
	// Gate is asked before every request, and told what the service says about waiting; nil for none.
	Gate *Gate
	// Now is the clock; Skew is told the service's time, as the Date header has it, when an answer arrives.
	Now  func() time.Time
	Skew func(server, local time.Time)
	// Notice takes a line for the log about something that is unusual but no error; nil for none.
	Notice func(level, text string)
	// MaxPage is the most rows the API gives at a time, PageSize how many to ask for; both are for APIs with pages.
	MaxPage, PageSize int
	// ByCreation makes windows go by the time of creation instead of the last update.
	ByCreation bool
}

// service is what errors say about the API.
type service struct {
	host, resource             string
	forbidden, forbiddenRemedy string
}

// client sends the requests of one reader.
type client struct {
	Settings
	service  service
	op       string
	patience time.Duration // how long a request waits for its place in the budget
	access   tokens.Access // the last one used, so that it is not printed when it comes back
}

// patiently makes requests wait long for their place, until the function that it returns is called.
func (c *client) patiently() func() {
	before := c.patience
	c.patience = longWait
	return func() { c.patience = before }
}

func (c *client) notice(level, text string) {
	if c.Notice != nil {
		c.Notice(level, text)
	}
}

// errIdle ends a request that brought no byte for Settings.IdleTimeout.
var errIdle = errors.New("no byte arrived in time")

// get asks for address and gives the body of a successful answer. A 401 is answered with a fresh token, once.
func (c *client) get(ctx context.Context, address string, header http.Header) (io.ReadCloser, error) {
	for try := 0; ; try++ {
		access, err := c.admit(ctx)
		if err != nil {
			return nil, err
		}

		body, err := c.send(ctx, address, header, access)
		var refused *Error
		if try > 0 || !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
			return body, err
		}
		c.Tokens.Invalidate(access)
	}
}

// admit waits until a request may be sent: for an access token, which it returns, and for the
// limiter.
func (c *client) admit(ctx context.Context) (tokens.Access, error) {
	done := startWaiting(ctx)
	defer done()

	access, err := c.Tokens.Token(ctx)
	if err != nil {
		return tokens.Access{}, err
	}
	return access, c.Gate.wait(ctx, max(c.patience, shortWait))
}

func (c *client) send(ctx context.Context, address string, header http.Header, access tokens.Access) (io.ReadCloser, error) {
	c.access = access
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		cancel(nil)
		return nil, &Error{Op: c.op, Fate: WaitForHuman, Problem: "the address of the API cannot be used", Remedy: "check `api_url`"}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", UserAgent)
	req.Header.Set("Authorization", "Bearer "+access.Token.Reveal())
	idle := newWatchdog(c.IdleTimeout, func() { cancel(errIdle) })
	httpClient := *c.HTTP
	httpClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	done := startWaiting(ctx)
	idle.start()
	res, err := httpClient.Do(req)
	idle.stop()
	done()
	if err != nil {
		err = c.broken(ctx, err, true)
		cancel(nil)
		return nil, err
	}
	now := c.Now()
	if server, err := http.ParseTime(res.Header.Get("Date")); err == nil && c.Skew != nil {
		c.Skew(server, now)
	}
	body := &body{c: c, ctx: ctx, cancel: cancel, idle: idle, from: res.Body, left: mostBytes}
	if res.StatusCode == http.StatusOK {
		c.Gate.answered()
		return body, nil
	}
	defer body.Close()
	start, _ := io.ReadAll(io.LimitReader(body, 64<<10)) // the status says it all; the body only adds codes
	e := refusal(c.op, res, start, now, c.service)
	e.scrub(access.Token.Reveal())
	if e.Fate == TryAgain {
		c.Gate.refused(e)
	}
	return nil, e
}

// broken explains an error of the network.
func (c *client) broken(ctx context.Context, err error, connecting bool) error {
	cause := context.Cause(ctx)
	if cause != nil && !errors.Is(cause, errIdle) {
		return cause // we were told to stop
	}
	fault := netfault.Of(err)
	e := &Error{Op: c.op, Fate: TryAgain, Err: fault.Err}
	switch {
	case errors.Is(cause, errIdle):
		e.Err, e.Smaller = nil, true
		e.Problem = fmt.Sprintf("%s sent nothing for %v", c.service.host, c.IdleTimeout)
		e.Remedy = "if it lasts, check the network and `proxy`, or raise `http_timeout`"
	case connecting && fault.Kind == netfault.Proxy:
		e.Unreachable = true
		e.Problem, e.Remedy = "there is no way through the proxy to "+c.service.host, "check `proxy` and the environment's HTTPS_PROXY"
	case connecting && fault.Dialing, fault.Kind == netfault.Name:
		e.Unreachable = true
		e.Problem, e.Remedy = c.service.host+" cannot be reached", "check `api_url`, `region`, `proxy`, the name service and the firewall"
	case fault.Kind.TLS():
		e.Unreachable = true
		e.Problem, e.Remedy = c.service.host+" has no certificate that is trusted here", "check `ca_file`, the proxy and the clock"
	case connecting:
		e.Problem, e.Smaller = "the connection to "+c.service.host+" broke before an answer came", true
	default:
		e.Problem, e.Smaller = "the answer of "+c.service.host+" broke off", true
	}
	return e
}

// mostBytes bounds an answer: a page of the largest size, of alerts with half a megabyte of evidence each.
const mostBytes = 5_000_000_000

// body reads an answer and watches that bytes keep coming while somebody reads; whoever does not read (the buffer is full) has all the time.
type body struct {
	c      *client
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   *watchdog
	from   io.ReadCloser
	left   int64 // bytes that it may still have
}

func (b *body) Read(p []byte) (int, error) {
	done := startWaiting(b.ctx)
	b.idle.start()
	n, err := b.from.Read(p)
	b.idle.stop()
	done()
	if b.left -= int64(n); b.left < 0 && err == nil {
		return n, &Error{Op: b.c.op, Problem: b.c.service.host + " sends an answer without end", Smaller: true}
	}
	if err != nil && err != io.EOF {
		err = b.c.broken(b.ctx, err, false)
	}
	return n, err
}

func (b *body) Close() error {
	b.idle.stop()
	b.cancel(nil)
	return b.from.Close()
}
