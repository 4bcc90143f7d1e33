package defender

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/netfault"
)

// Fate says what is to be done about an error; it is the only question that the caller
// has to ask.
type Fate int

// The fates of an error.
const (
	// TryAgain: the network, the quota or the service's own fault. The same request may
	// work later, not before RetryAfter.
	TryAgain Fate = iota
	// NewToken: the access token was refused; the reader has already tried a second one.
	NewToken
	// WaitForHuman: the request will be refused until a person changes something.
	WaitForHuman
)

// Error is a read that failed. Its text is one line with the remedy; it never holds the
// body of an answer, an address's query, or a secret.
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
	// RetryAfter is how long the service asked to wait, or until the call budget has
	// room; HasRetryAfter says that it did. A request to wait for no time at all counts
	// as none.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// Budget says that nothing failed: the request was not sent, since the call budget
	// is used up until RetryAfter has passed.
	Budget bool
	// TraceID is what Microsoft's support asks for, where the answer had one.
	TraceID string
	// Smaller says that a smaller window or page may be answered where this one was not.
	Smaller bool
	// TooLarge says that the answer, or an alert in it, holds more than the reader
	// takes at a time.
	TooLarge bool
	// NotAuthorised says that somebody in the customer's tenant has to allow something: a
	// permission, a conditional access policy, a licence.
	NotAuthorised bool
	// Unreachable says that no connection came about: nobody throttles, and a short
	// pause does no harm.
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

// refusal explains an answer that is not a success. body is the beginning of it, for
// the API's own code; nothing of its free text is kept but what is known to be harmless
// (codes and ids).
func refusal(op string, res *http.Response, body []byte, now time.Time, s service) *Error {
	e := &Error{Op: op, Status: res.StatusCode}
	if gjson.ValidBytes(body) {
		e.Code = word(gjson.GetBytes(body, "error.code").String())
		e.TraceID = firstOf(
			word(gjson.GetBytes(body, "error.target").String()),
			word(gjson.GetBytes(body, `error.innerError.request-id`).String()),
		)
	}

	e.TraceID = firstOf(e.TraceID, word(res.Header.Get("request-id")))
	e.RetryAfter, e.HasRetryAfter = netfault.RetryAfter(res.Header, now)

	switch code := res.StatusCode; {
	case code < 300: // 204, 206: whatever it is, it is not the list, and the next answer may be
		e.Smaller = true
		e.Problem = s.host + " answered without a list of alerts"
		e.Remedy = "if it lasts, check `api_url` and whether a proxy answers in its place"
	case code < 400:
		to := redirectHost(res)
		e.Fate = WaitForHuman
		e.Problem = fmt.Sprintf(
			"%s answered with a redirect to %s, which is not followed: a token goes to the configured host only",
			s.host,
			to,
		)
		e.Remedy = "set api_url to the right host, or mend the proxy"
		_, e.redirect, _ = strings.Cut(to, "://")
	case code == http.StatusTooManyRequests:
		e.Problem = s.host + " says that there were too many requests"
	case code == http.StatusRequestEntityTooLarge:
		e.Smaller = true
		e.Problem = s.host + " says that the answer would be too large"
	case code == http.StatusRequestTimeout:
		e.Smaller = true
		e.Problem = s.host + " took too long"
	case code >= 500:
		e.Smaller = true
		e.Problem = s.host + " has a fault of its own"
	default:
		e.Fate = WaitForHuman
		e.explainDenial(res, body, s)
	}

	return e
}

// explainDenial explains an answer that stays the same until somebody changes something.
func (e *Error) explainDenial(res *http.Response, body []byte, s service) {
	switch code := e.Status; {
	case (code == http.StatusUnauthorized || code == http.StatusForbidden) && wantsClaims(res.Header):
		e.NotAuthorised = true
		e.Problem = "a conditional access policy of the customer's tenant keeps the token out of " + s.host
		e.Remedy = "have an administrator there exempt application and account, then sign in again"
	case code == http.StatusUnauthorized:
		e.Fate = NewToken
		e.Problem = s.host + " does not accept the access token, not even a fresh one"
		e.Remedy = "check that `resource` is the one this API wants (default " + s.resource + ") and that the clock is right"
	case code == http.StatusProxyAuthRequired:
		e.Problem = "the proxy on the way to " + s.host + " asks for a user and a password"
		e.Remedy = "put them into `proxy` or HTTPS_PROXY, as http://user:password@host:port"
	case isMarkup(res, body):
		e.Problem = "a web page came in place of an answer of " + s.host + ": a proxy, firewall or gateway refuses the request"

		e.Remedy = "let requests to " + s.host + " through there, or check `proxy` and `api_url`"
		if code == http.StatusForbidden {
			e.Remedy += "; if nothing is in the way, " + s.forbiddenRemedy
		}
	case code == http.StatusPaymentRequired, notLicensed(body):
		e.NotAuthorised = true
		e.Problem = "the customer's tenant has no licence for this API, or was never onboarded to its product"
		e.Remedy = "have an administrator there check the licence and open https://security.microsoft.com once, or choose another `api`"
	case e.Code == "DisabledFeature", e.Code == "DisallowedOperation":
		e.NotAuthorised = true
		e.Problem = "the customer's tenant has switched off what this API needs"
		e.Remedy = "have an administrator there switch it on in https://security.microsoft.com, Settings, or choose another `api`"
	case code == http.StatusForbidden:
		e.NotAuthorised = true
		e.Problem, e.Remedy = s.forbidden, s.forbiddenRemedy
	case code == http.StatusNotFound:
		e.Problem = s.host + " does not know the address of this API"
		e.Remedy = "check `api`, `cloud`, `region` and `api_url`"
	default:
		e.Problem = s.host + " refuses the request"
		e.Remedy = "check `filter` if there is one, and that this version of the plugin is current"
	}
}

// claimsChallenge is how a challenge asks for claims that the token lacks, however it
// is quoted.
var claimsChallenge = regexp.MustCompile(`(?i)(^|[\s,;"'])error\s*=[\s"'\\]*insufficient_claims\b`)

// wantsClaims reports whether a refusal is conditional access: one of its challenges
// (RFC 9110 section 11.6.1, in any of several headers) has the error
// "insufficient_claims", see
// https://learn.microsoft.com/entra/identity-platform/claims-challenge.
func wantsClaims(h http.Header) bool {
	return slices.ContainsFunc(h.Values("WWW-Authenticate"), claimsChallenge.MatchString)
}

// isMarkup reports whether an answer is a web page or other markup: none of the APIs
// sends any.
func isMarkup(res *http.Response, body []byte) bool {
	kind := strings.ToLower(strings.TrimSpace(res.Header.Get("Content-Type")))
	start := bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf"))

	return strings.HasPrefix(kind, "text/html") || bytes.HasPrefix(start, []byte("<"))
}

// unlicensed finds the words with which the services refuse a tenant that has no
// licence or was never onboarded. They have no code of its own for it: Graph, for
// example, has "Forbidden".
var unlicensed = regexp.MustCompile(`(?i)\blicen[cs]|onboard|not provisioned|\bsubscription\b`)

// notLicensed reports whether the message of a refusal is about licence or onboarding.
// Nothing of it is printed.
func notLicensed(body []byte) bool {
	if !gjson.ValidBytes(body) {
		return false
	}

	for _, path := range []string{"error.message", "error.innerError.message", "error_description", "Message", "message"} {
		if unlicensed.MatchString(gjson.GetBytes(body, path).String()) {
			return true
		}
	}

	return false
}

// scrub takes out what a server may have copied from our own token into its codes and
// addresses.
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

// word keeps a code or an id out of foreign text: letters, digits and -_. up to 64
// characters; anything else is dropped whole.
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
