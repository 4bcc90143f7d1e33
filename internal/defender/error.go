package defender

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/netfault"
)

// Error is a read that failed. Its text is one line with the remedy. It never holds the
// body of an answer, an address's query, or a secret.
type Error struct {
	// Fault has the problem, the remedy and what the error waits for. A RetryAfter is
	// how long the service asked to wait, or until the call budget has room.
	advice.Fault
	// Op says what was being done, e.g. "reading detections".
	Op string
	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// Code is the API's own code, e.g. "TooManyRequests", where it sent one.
	Code string
	// Budget says that nothing failed: the request was not sent, because the call budget
	// is used up until RetryAfter has passed.
	Budget bool
	// Smaller says that a smaller window or page may be answered where this one was not.
	Smaller bool
	// TooLarge says that the answer, or an alert in it, is larger than a reader accepts.
	TooLarge bool
	// Unreachable says that there was no connection. The service does not throttle, so a
	// short pause is enough.
	Unreachable bool

	redirect string // the host of a redirect, as Problem names it
}

// refusal explains an answer that is not a success. body is the beginning of its body.
// Only codes and ids are kept of that, which are harmless, and none of its free text.
func refusal(op string, res *http.Response, body []byte, now time.Time, s service) *Error {
	e := &Error{Op: op, Status: res.StatusCode}
	e.RetryAfter, _ = netfault.RetryAfter(res.Header, now)
	e.readCodes(res, body)

	switch status := res.StatusCode; {
	case status < 300: // 204, 206: this is not the list, but the next answer may be
		e.Reason = advice.BadAnswer
		e.Smaller = true
		e.Problem = s.host + " answered without a list of alerts"
		e.Remedy = notAList
	case status < 400:
		to := redirectHost(res)
		e.Reason = advice.BadAnswer
		e.Fate = advice.NeedsFix
		e.Problem = fmt.Sprintf("%s answered with a redirect to %s, which is not followed: "+
			"a token is sent to the configured host only", s.host, to)
		e.Remedy = "set `api_url` to the right host, or fix the proxy"
		_, e.redirect, _ = strings.Cut(to, "://")
	case status == http.StatusTooManyRequests:
		e.Reason = advice.Throttled
		e.Problem = s.host + " reports too many requests"
	case status == http.StatusRequestEntityTooLarge:
		e.Reason = advice.TooLarge
		e.Smaller = true
		e.Problem = s.host + " reports that the answer would be too large"
	case status == http.StatusRequestTimeout:
		e.Reason = advice.TooSlow
		e.Smaller = true
		e.Problem = s.host + " took too long"
	case status >= 500:
		e.Reason = advice.BadAnswer
		e.Smaller = true
		e.Problem = fmt.Sprintf("%s answered %d (server error)", s.host, status)
	default:
		e.Fate = advice.NeedsFix
		e.explainDenial(res, body, s)
	}

	return e
}

// readCodes collects the codes of a refusal, and its trace id.
func (e *Error) readCodes(res *http.Response, body []byte) {
	trace := ""

	if gjson.ValidBytes(body) {
		e.Code = netfault.Word(gjson.GetBytes(body, "error.code").String())
		trace = cmp.Or(
			netfault.Word(gjson.GetBytes(body, "error.target").String()),
			netfault.Word(gjson.GetBytes(body, `error.innerError.request-id`).String()),
		)
	}

	if e.Status < http.StatusInternalServerError { // the problem of a server error has it already
		e.Codes = append(e.Codes, fmt.Sprintf("HTTP %d", e.Status))
	}

	if e.Code != "" {
		e.Codes = append(e.Codes, e.Code)
	}

	trace = cmp.Or(trace, netfault.Word(res.Header.Get("request-id")))
	if trace != "" {
		e.Trace = append(e.Trace, "trace id "+trace)
	}
}

// explainDenial explains an answer that stays the same until a person changes something.
func (e *Error) explainDenial(res *http.Response, body []byte, s service) {
	switch status := e.Status; {
	case (status == http.StatusUnauthorized || status == http.StatusForbidden) && wantsClaims(res.Header):
		e.Reason = advice.ConditionalAccess
		e.Fate = advice.NotAuthorised
		e.Problem = "a conditional access policy of the customer's tenant blocks the token at " + s.host
		e.Remedy = "ask an administrator there to exempt the application and the account, then sign in again"
	case status == http.StatusUnauthorized:
		e.Reason = advice.CredentialWrong
		e.Fate = advice.NewToken
		e.Problem = s.host + " does not accept the access token, not even a new one"
		e.Remedy = "check that `resource` is the one that this API wants (default " + s.resource +
			") and that the clock is right"
	case status == http.StatusProxyAuthRequired:
		e.Reason = advice.Unreachable
		e.Problem, e.Remedy = proxySignIn(s.host)
	case isMarkup(res, body):
		e.Reason = advice.Unreachable
		e.Problem = "a web page came instead of an answer of " + s.host +
			": a proxy, firewall or gateway refuses the request"
		e.Remedy = "allow requests to " + s.host + " there, or check `proxy` and `api_url`"

		if status == http.StatusForbidden {
			_, remedy := s.denied()
			e.Remedy += "; if there is none, " + remedy
		}
	case status == http.StatusPaymentRequired, notLicensed(body):
		e.Reason = advice.NotLicensed
		e.Fate = advice.NotAuthorised
		e.Problem = "the customer's tenant has no licence for this API, or was never onboarded to its product"
		e.Remedy = "ask an administrator there to check the licence and to open https://security.microsoft.com once, " +
			"or choose another `api`"
	case e.Code == "DisabledFeature", e.Code == "DisallowedOperation":
		e.Reason = advice.NotLicensed
		e.Fate = advice.NotAuthorised
		e.Problem = "a feature that this API needs is switched off in the customer's tenant"
		e.Remedy = "ask an administrator there to switch it on in https://security.microsoft.com, Settings, " +
			"or choose another `api`"
	case status == http.StatusForbidden:
		e.Reason = advice.RoleMissing
		e.Fate = advice.NotAuthorised
		e.Problem, e.Remedy = s.denied()
	case status == http.StatusNotFound:
		e.Reason = advice.BadAnswer
		e.Problem = s.host + " has nothing at the address of this API"
		e.Remedy = "check `api`, `cloud`, `region` and `api_url`"
	default:
		e.Reason = advice.BadAnswer
		e.Problem = s.host + " refuses the request"
		e.Remedy = "check `filter` if there is one, and whether there is a newer version of the plugin"
	}
}

// proxySignIn returns problem and remedy for a proxy that asks for a password.
func proxySignIn(host string) (problem, remedy string) {
	return "the proxy between here and " + host + " asks for a user and a password",
		"put them into `proxy` or HTTPS_PROXY, as http://user:password@host:port"
}

// claimsChallenge matches a challenge that asks for claims that the token lacks, in any
// quotes.
var claimsChallenge = regexp.MustCompile(`(?i)(^|[\s,;"'])error\s*=[\s"'\\]*insufficient_claims\b`)

// wantsClaims reports whether the reason for a refusal is conditional access: one of its
// challenges (RFC 9110 section 11.6.1, in any of several headers) has the error
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

// unlicensed matches the words with which the services refuse a tenant that has no
// licence or was never onboarded. No code says so: Graph, for example, answers
// "Forbidden".
var unlicensed = regexp.MustCompile(`(?i)\blicen[cs]|onboard|not provisioned|\bsubscription\b`)

// notLicensed reports whether the message of a refusal is about licence or onboarding.
// The message is not printed.
func notLicensed(body []byte) bool {
	if !gjson.ValidBytes(body) {
		return false
	}

	for _, path := range []string{
		"error.message", "error.innerError.message", "error_description", "Message", "message",
	} {
		if unlicensed.MatchString(gjson.GetBytes(body, path).String()) {
			return true
		}
	}

	return false
}

// scrub removes codes and addresses that contain a part of our token: the server may have
// copied it.
func (e *Error) scrub(token string) {
	if netfault.Shares(e.Code, token) {
		e.Code = ""
	}

	e.Codes = slices.DeleteFunc(e.Codes, func(code string) bool { return netfault.Shares(code, token) })
	e.Trace = slices.DeleteFunc(e.Trace, func(id string) bool {
		return netfault.Shares(strings.TrimPrefix(id, "trace id "), token)
	})

	if e.redirect != "" && netfault.Shares(e.redirect, token) {
		e.Problem = strings.ReplaceAll(e.Problem, e.redirect, "elsewhere")
	}
}

// redirectHost returns the host to which a redirect leads, for a message.
func redirectHost(res *http.Response) string {
	u, err := res.Location()
	if err != nil {
		return "nowhere"
	}

	return netfault.Host(u)
}

// isStatus reports whether err is the API's refusal with one of these codes.
func isStatus(err error, codes ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}

	return slices.Contains(codes, e.Status)
}
