package partner

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/tokens"
)

// TokenSource returns access tokens; *tokens.Source is one.
type TokenSource interface {
	// Token returns an access token that should be valid for some time.
	Token(ctx context.Context) (tokens.Access, error)
	// Invalidate says that the service answered 401 to it.
	Invalidate(tokens.Access)
}

// Settings are what a Client needs. Fields without a remark are required.
type Settings struct {
	// GraphURL, PartnerURL and LoginURL are scheme, host and port.
	GraphURL, PartnerURL, LoginURL string
	// HTTP sends the requests. The client uses a copy that does not follow redirects.
	HTTP *http.Client
	// Graph and Partner return tokens of the provider's own sign-in, for Microsoft Graph
	// and for the Partner Center; nil if no request goes there.
	Graph, Partner TokenSource
	// Timeout bounds half of a request; 0 means a minute.
	Timeout time.Duration
	// Now is the clock.
	Now func() time.Time
	// Sleep waits between two tries; nil waits on the machine's clock.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Client sends requests to the services of the partner programme. It is safe for
// concurrent use.
type Client struct{ s Settings }

// New returns a client.
func New(s Settings) *Client {
	if s.Sleep == nil {
		s.Sleep = pause.For
	}

	if s.Timeout <= 0 {
		s.Timeout = time.Minute
	}

	return &Client{s: s}
}

// userAgent names this program in the services' logs.
const userAgent = "fluent-bit-defender/1"

// Bounds of an answer.
const (
	mostPageBytes = 16 << 20
	mostRefusal   = 64 << 10
)

// tries is how often a request is sent at most, if the service asks to wait or the
// network fails.
const tries = 3

// call says what a request is for, for its errors.
type call struct {
	// name says what is being done. host is the host of the request, and key the option
	// that names it.
	name, host, key string
	// forbidden and forbiddenRemedy explain a 403, missingRemedy a 404.
	forbidden, forbiddenRemedy, missingRemedy string
	// source returns the access token; nil for none.
	source TokenSource
}

// request is one request that can be sent again.
type request struct {
	call
	method, address string
	body            []byte // JSON; nil for none
}

// answer is the answer to a request.
type answer struct {
	body    []byte
	details *refusalBody // the body of a refusal; nil for a success
}

// do sends a request. It sends it again if the service asks to wait for a short time, the
// network fails, or the token has just ended. After a refusal it returns both the answer
// and the error that explains it.
func (c *Client) do(ctx context.Context, r request) (answer, error) {
	var (
		got answer
		err error
	)

	renewed := false

	for try := 1; ; try++ {
		got, err = c.send(ctx, r)
		if err == nil || ctx.Err() != nil {
			break
		}

		var e *Error
		if !errors.As(err, &e) {
			break // no access token
		}

		if e.Fate == advice.NewToken && !renewed {
			renewed = true
			continue // send gets a new token
		}

		wait := max(e.RetryAfter, time.Duration(try)*time.Second)
		if e.Fate != advice.TryAgain || try >= tries || wait > longestRetry {
			break
		}

		if c.s.Sleep(ctx, wait) != nil {
			break
		}
	}

	if err != nil && ctx.Err() != nil {
		return answer{}, ctx.Err()
	}

	return got, err
}

// send sends a request once.
func (c *Client) send(ctx context.Context, r request) (answer, error) {
	var access tokens.Access

	if r.source != nil {
		var err error

		access, err = r.source.Token(ctx)
		if err != nil {
			return answer{}, err
		}
	}

	ctx, cancel := context.WithTimeout(ctx, 2*c.s.Timeout)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, r.method, r.address, bytes.NewReader(r.body))
	if err != nil {
		return answer{}, badAnswer(r.call, "has an address that cannot be used")
	}

	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)

	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}

	if r.source != nil {
		req.Header.Set("Authorization", "Bearer "+access.Token.Reveal())
	}

	client := *c.s.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	res, err := client.Do(req)
	if err != nil {
		return answer{}, networkError(r.call, err)
	}
	defer res.Body.Close()

	if res.StatusCode < 200 || res.StatusCode > 299 {
		body, _ := io.ReadAll(io.LimitReader(res.Body, mostRefusal)) // part of it will do
		refused, details := c.refusal(r.call, res, body, access.Token.Reveal())

		if refused.Fate == advice.NewToken && r.source != nil {
			r.source.Invalidate(access)
		}

		return answer{details: details}, refused
	}

	body, err := io.ReadAll(io.LimitReader(res.Body, mostPageBytes+1))
	switch {
	case err != nil:
		return answer{}, networkError(r.call, err)
	case len(body) > mostPageBytes:
		return answer{}, badAnswer(r.call, "sends an answer without end")
	}

	return answer{body: body}, nil
}

// hostOf returns the host of an address, for messages.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the service"
	}

	return u.Host
}
