package defender

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// UserAgent names the collector in the services' logs.
const UserAgent = "fluent-bit-defender/1"

// TokenSource returns access tokens; *tokens.Source is one.
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
	// IdleTimeout is how long a read waits without a byte before it gives up the
	// request; 0 means for ever.
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
	// Log gets lines about what is unusual but no error; nil for none.
	Log *slog.Logger
	// MaxPage is the greatest number of rows that the API returns in a page, PageSize
	// the number to ask for. Both are for APIs with pages.
	MaxPage, PageSize int
	// ByCreation says that windows are of the creation time instead of the update time.
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

// denial returns what it means that the API denies access, and what to do about it.
type denial func(Settings) (problem, remedy string)

// service is what errors say about the API.
type service struct {
	host, resource string
	// denied returns what it means that the API denies access, and what to do about it.
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

// get sends a request for address and returns the body of a successful answer. After a
// 401 it tries once more, with a new token.
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

// admit waits until a request may be sent. It returns the access token to send it with.
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
		err = c.networkError(ctx, err, true)

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

// count calls Settings.Answered for a request; res is nil if it got no answer.
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
