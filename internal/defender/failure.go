package defender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/netfault"
)

// mostRefusal is how many bytes of a refusal's body are read.
const mostRefusal = 64 << 10

// refused explains an answer that is not a success. Its body only adds codes to the
// status, so only part of a long, slow or broken body is read.
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

// networkError explains an error of the network. connecting says that no answer has
// begun.
func (c *client) networkError(ctx context.Context, err error, connecting bool) error {
	if cause := context.Cause(ctx); cause != nil {
		if e := c.gaveUpError(cause); e != nil {
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

// gaveUpError explains why the reader itself gave up a request. It returns nil if reason
// is none of the reader's.
func (c *client) gaveUpError(reason error) *Error {
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
