package defender

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/netfault"
)

// Fate says what is to be done about an error; it is the only question that the caller has to ask.
type Fate int

// The fates of an error.
const (
	// TryAgain: the network, the quota or the service's own fault. The same request may work later, not before RetryAfter.
	TryAgain Fate = iota
	// NewToken: the access token was refused; the reader has already tried a second one.
	NewToken
	// WaitForHuman: the request will be refused until a person changes something.
	WaitForHuman
)

// Error is a read that failed. Its text is one line with the remedy; it never holds the body of an answer, an address's query, or a secret.
type Error struct {
	// Op says what was being done, e.g. "reading detections".
	Op string
	// Fate says what is to be done.
	Fate Fate
	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// Code is the API's own code, e.g. "TooManyRequests", where it gave one.
	Code string
	// Problem and Remedy are sentences for a person.
	Problem, Remedy string
	// RetryAfter is how long the service asked to wait, or until the call budget has room; HasRetryAfter says that it did. A request to
	// wait for no time at all counts as none.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// Budget says that nothing failed: the request was not sent, since the call budget is used up until RetryAfter has passed.
	Budget bool
	// TraceID is what Microsoft's support asks for, where the answer had one.
	TraceID string
	// Smaller says that a smaller window or page may be answered where this one was not.
	Smaller bool
	// Unreachable says that no connection came about: nobody throttles, and a short pause does no harm.
	Unreachable bool
	// Err is the cause, if there is one.
	Err error

	redirect string // the host that a redirect names, as it stands in Problem
}

// Error gives the problem, the remedy, then the raw codes.
func (e *Error) Error() string { return e.line(e.Remedy) }

// Reason is Error without the remedy, for where that stands beside it.
func (e *Error) Reason() string { return e.line("") }

func (e *Error) line(remedy string) string {
	var b strings.Builder
	b.WriteString(e.Problem)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %s", plain.Line(e.Err.Error(), 300))
	}
	if remedy != "" {
		b.WriteString("; " + remedy)
	}
	var codes []string
	if e.Status != 0 {
		codes = append(codes, fmt.Sprintf("HTTP %d", e.Status))
	}
	if e.Code != "" {
		codes = append(codes, e.Code)
	}
	if e.TraceID != "" {
		codes = append(codes, "trace id "+e.TraceID)
	}
	if len(codes) > 0 {
		b.WriteString(" (" + strings.Join(codes, ", ") + ")")
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// refusal explains an answer that is not a success. body is the beginning of it, for the API's own code; nothing of its free text is
// kept but what is known to be harmless (codes and ids).
func refusal(op string, res *http.Response, body []byte, now time.Time, s service) *Error {
	e := &Error{Op: op, Status: res.StatusCode}
	if gjson.ValidBytes(body) {
		e.Code = word(gjson.GetBytes(body, "error.code").String())
		e.TraceID = firstOf(word(gjson.GetBytes(body, "error.target").String()), word(gjson.GetBytes(body, `error.innerError.request-id`).String()))
	}
	e.TraceID = firstOf(e.TraceID, word(res.Header.Get("request-id")))
	e.RetryAfter, e.HasRetryAfter = netfault.RetryAfter(res.Header, now)
	switch code := res.StatusCode; {
	case code < 300: // 204, 206: whatever it is, it is not the list, and the next answer may be
		e.Problem, e.Smaller = s.host+" answered without a list of alerts", true
		e.Remedy = "if it lasts, check `api_url` and whether a proxy answers in its place"
	case code < 400:
		to := redirectHost(res)
		e.Fate, e.Problem = WaitForHuman, fmt.Sprintf("%s answered with a redirect to %s, which is not followed: a token goes to the configured host only", s.host, to)
		_, e.redirect, _ = strings.Cut(to, "://")
		e.Remedy = "set api_url to the right host, or mend the proxy"
	case code == http.StatusUnauthorized:
		e.Fate, e.Problem = NewToken, s.host+" does not accept the access token, not even a fresh one"
		e.Remedy = "check that `resource` is the one this API wants (default " + s.resource + ") and that the clock is right"
	case code == http.StatusForbidden && strings.Contains(res.Header.Get("WWW-Authenticate"), "insufficient_claims"):
		e.Fate, e.Problem = WaitForHuman, "a conditional access policy of the customer's tenant keeps the token out of "+s.host
		e.Remedy = "have an administrator there exempt application and account, then sign in again"
	case code == http.StatusForbidden:
		e.Fate, e.Problem, e.Remedy = WaitForHuman, s.forbidden, s.forbiddenRemedy
	case code == http.StatusTooManyRequests:
		e.Problem = s.host + " says that there were too many requests"
	case code == http.StatusRequestEntityTooLarge:
		e.Problem, e.Smaller = s.host+" says that the answer would be too large", true
	case code == http.StatusRequestTimeout:
		e.Problem, e.Smaller = s.host+" took too long", true
	case code >= 500:
		e.Problem, e.Smaller = s.host+" has a fault of its own", true
	case code == http.StatusNotFound:
		e.Fate, e.Problem = WaitForHuman, s.host+" does not know the address of this API"
		e.Remedy = "check `api`, `cloud`, `region` and `api_url`"
	default:
		e.Fate, e.Problem = WaitForHuman, s.host+" refuses the request"
		e.Remedy = "check `filter` if there is one, and that this version of the plugin is current"
	}
	return e
}

// scrub takes out what a server may have copied from our own token into its codes and addresses.
func (e *Error) scrub(token string) {
	for _, s := range []*string{&e.Code, &e.TraceID} {
		if netfault.Shares(*s, token) {
			*s = ""
		}
	}
	if e.redirect != "" && netfault.Shares(e.redirect, token) {
		e.Problem = strings.ReplaceAll(e.Problem, e.redirect, "elsewhere")
	}
}

// redirectHost prints where a redirect leads.
func redirectHost(res *http.Response) string {
	u, err := res.Location()
	if err != nil {
		return "nowhere"
	}
	return netfault.Host(u)
}

// word keeps a code or an id out of foreign text: letters, digits and -_. up to 64 characters; anything else is dropped whole.
func word(s string) string {
	if len(s) > 64 {
		return ""
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.", c) {
			return ""
		}
	}
	return s
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
