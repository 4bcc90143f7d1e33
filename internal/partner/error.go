package partner

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/netfault"
)

// Error is a request that failed. Its text is one line with the remedy.
type Error struct {
	// Fault has the problem, the remedy and what the error waits for.
	advice.Fault
	// Op says what was being done, such as "listing customers".
	Op string
	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// Code is the service's own code; empty if it sent none.
	Code string
}

// Error returns one line: what was done, problem, remedy, codes.
func (e *Error) Error() string { return e.Op + ": " + e.Fault.Error() }

// noMFA is the code of the Partner Center for a token whose sign-in had no second
// factor.
const noMFA = "900421"

// refusalBody is what may be in the body of a refusal: Graph has an object with code and
// message, the Partner Center has the code beside a description.
type refusalBody struct {
	Error struct {
		Code       string `json:"code"`
		Message    string `json:"message"`
		InnerError struct {
			RequestID string `json:"request-id"`
		} `json:"innerError"`
	} `json:"error"`
	Code        codeText `json:"code"`
	Description string   `json:"description"`
	Message     string   `json:"message"`
}

// codeText is a code that is written as a number or as a text.
type codeText string

// UnmarshalJSON implements json.Unmarshaler. Of anything else than a number or a text it
// keeps the JSON, which code does not take for a code.
func (c *codeText) UnmarshalJSON(data []byte) error {
	*c = codeText(strings.Trim(string(data), `"`))
	return nil
}

// mentions reports whether a text of the refusal has these words.
func (b *refusalBody) mentions(words string) bool {
	all := strings.ToLower(b.Error.Message + "\n" + b.Description + "\n" + b.Message)
	return strings.Contains(all, words)
}

// code returns the service's own code. It returns "" if there is none, or if it contains
// a part of the token.
func (b *refusalBody) code(token string) string {
	for _, c := range []string{b.Error.Code, string(b.Code)} {
		if c = netfault.Word(c); c != "" && !netfault.Shares(c, token) {
			return c
		}
	}

	return ""
}

// refusal explains an answer that is not a success, and returns what its body says.
func (c *Client) refusal(op call, res *http.Response, body []byte, token string) (*Error, *refusalBody) {
	e := &Error{Op: op.name, Status: res.StatusCode}
	e.RetryAfter, _ = netfault.RetryAfter(res.Header, c.s.Now())

	var b refusalBody
	if json.Unmarshal(body, &b) != nil {
		b = refusalBody{} // a web page of a proxy, or a part of an answer
	}

	e.Code = b.code(token)
	e.Codes = []string{fmt.Sprintf("HTTP %d", e.Status)}

	if e.Code != "" {
		e.Codes = append(e.Codes, e.Code)
	}

	trace := cmp.Or(netfault.Word(b.Error.InnerError.RequestID), netfault.Word(res.Header.Get("request-id")),
		netfault.Word(res.Header.Get("MS-RequestId")))
	if trace != "" && !netfault.Shares(trace, token) {
		e.Codes = append(e.Codes, "trace id "+trace)
	}

	e.explain(op, res, &b)

	return e, &b
}

// explain sets what a refusal means, and its remedy.
func (e *Error) explain(op call, res *http.Response, b *refusalBody) {
	codes := e.Code + " " + res.Header.Get("WWW-Authenticate")

	switch status := e.Status; {
	case status < 400:
		e.Fate, e.Reason = advice.NeedsFix, advice.BadAnswer
		e.Problem = op.host + " answered with a redirect, which is not followed: a token is sent to the " +
			"configured host only"
		e.Remedy = "check `" + op.key + "` and the proxy"
	case status == http.StatusTooManyRequests:
		e.Reason = advice.Throttled
		e.Problem = op.host + " reports too many requests"
	case status >= 500, status == http.StatusRequestTimeout:
		e.Reason = advice.BadAnswer
		e.Problem = fmt.Sprintf("%s answered %d (server error)", op.host, status)
		e.Codes = e.Codes[1:]
	case strings.Contains(codes, noMFA), b.mentions("mfa required"):
		e.Fate, e.Reason = advice.NeedsSignIn, advice.MFARequired
		e.Problem = "the provider's own sign-in had no second factor (MFA), and the Partner Center asks for one"
		e.Remedy = "sign in again with MFA: defenderctl tokens acquire --home-tenant-id …"
	case status == http.StatusUnauthorized:
		e.Fate, e.Reason = advice.NewToken, advice.CredentialWrong
		e.Problem = op.host + " does not accept the access token, not even a new one"
		e.Remedy = "check `" + op.key + "` and the clock; sign in again if it lasts"
	case status == http.StatusForbidden:
		e.Fate, e.Reason = advice.NotAuthorised, advice.RoleMissing
		e.Problem = op.forbidden
		e.Remedy = op.forbiddenRemedy
	case status == http.StatusNotFound:
		e.Fate, e.Reason = advice.NeedsFix, advice.BadAnswer
		e.Problem = op.host + " does not know what was asked for"
		e.Remedy = cmp.Or(op.missingRemedy, "check `"+op.key+"`")
	default:
		e.Fate, e.Reason = advice.NeedsFix, advice.BadAnswer
		e.Problem = op.host + " refuses the request"
		e.Remedy = "check `" + op.key + "`, or report it if that is right"
	}
}

// badAnswer returns the error for an answer that cannot be used. Nothing of it is
// quoted.
func badAnswer(op call, problem string) *Error {
	return &Error{
		Fault: advice.Fault{
			Reason:  advice.BadAnswer,
			Problem: op.host + " " + problem,
			Remedy:  "it is tried again; if it lasts, check `" + op.key + "` and the proxy",
		},
		Op: op.name,
	}
}

// networkError explains an error of the network.
func networkError(op call, err error) *Error {
	fault := netfault.Of(err)

	e := &Error{Fault: advice.Fault{Reason: advice.Unreachable, Err: fault.Err}, Op: op.name}
	switch {
	case fault.Kind == netfault.ProxySignIn, fault.Kind == netfault.Proxy:
		e.Problem = "the proxy does not connect to " + op.host
		e.Remedy = "check `proxy` and the environment variable HTTPS_PROXY"
	case fault.Kind.TLS():
		e.Problem = "the certificate of " + op.host + " is not trusted here"
		e.Remedy = "check `ca_file`, the proxy and the clock"
	case fault.Dialing, fault.Kind == netfault.Name:
		e.Problem = op.host + " cannot be reached"
		e.Remedy = "check `" + op.key + "`, `proxy`, the name service and the firewall"
	case fault.Kind == netfault.Timeout:
		e.Reason = advice.TooSlow
		e.Problem = op.host + " did not answer in time"
		e.Remedy = "if it lasts, check the network and `proxy`, or raise `http_timeout`"
	default:
		e.Problem = "the connection to " + op.host + " broke"
		e.Remedy = "if it lasts, check the network and `proxy`"
	}

	return e
}

// longestRetry bounds how long a request waits when the service asks for time.
const longestRetry = 30 * time.Second
