package tokens

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/secret"
)

// answer is what the sign-in service said, read leniently: numbers may be strings,
// anything may be missing.
type answer struct {
	access, refresh, idToken secret.Text
	tokenType                string
	scope                    string
	life                     time.Duration // 0: not said

	// The answer to a device authorization (RFC 8628 section 3.2).
	deviceCode   secret.Text
	userCode     string
	verification string
	message      string
	interval     time.Duration

	// refusal is what an error answer says; zero in a success.
	refusal Refusal
}

// maxLife is the longest life of a token or device code that is believed. Those that
// Entra issues live for 28 hours at most.
const maxLife = 7 * 24 * time.Hour

var errNotJSON = errors.New("the answer is not a JSON object")

// parseAnswer reads the body of an answer of the token and device endpoints. now is
// used only for an answer with an absolute expiry.
func parseAnswer(body []byte, now time.Time) (answer, error) {
	body = bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf"))

	var m map[string]json.RawMessage
	if len(body) == 0 || body[0] != '{' || json.Unmarshal(body, &m) != nil {
		return answer{}, errNotJSON
	}

	text := func(name string) string {
		var s string
		if json.Unmarshal(m[name], &s) != nil {
			return ""
		}

		return s
	}

	a := answer{
		access:     secret.New(text("access_token")),
		refresh:    secret.New(text("refresh_token")),
		idToken:    secret.New(text("id_token")),
		tokenType:  text("token_type"),
		scope:      plain.Line(text("scope"), 4096),
		deviceCode: secret.New(text("device_code")),
		userCode:   plain.Line(text("user_code"), 64),
		message:    plain.Line(text("message"), 1024),
	}
	if s, ok := seconds(m["expires_in"]); ok {
		a.life = max(s, time.Second)
	} else if s, ok := seconds(m["expires_on"]); ok {
		// Only when expires_in is missing: an absolute time depends on our clock being
		// right.
		a.life = max(time.Unix(int64(s/time.Second), 0).Sub(now), time.Second)
	}

	a.life = min(a.life, maxLife)
	if s, ok := seconds(m["interval"]); ok {
		a.interval = min(max(s, 0), 10*time.Minute)
	}
	// v1 writes verification_url (as ADAL read it), RFC 8628 verification_uri.
	a.verification = plain.Line(text("verification_uri"), 1024)
	if a.verification == "" {
		a.verification = plain.Line(text("verification_url"), 1024)
	}

	a.refusal = parseRefusal(text("error"), text("suberror"), text("error_description"), m["error_codes"])
	a.refusal.TraceID = cmp.Or(printableID(text("trace_id")), a.refusal.TraceID)
	a.refusal.CorrelationID = cmp.Or(printableID(text("correlation_id")), a.refusal.CorrelationID)

	return a, nil
}

var (
	inDescription = regexp.MustCompile(`AADSTS([0-9]{4,9})`)
	traceID       = regexp.MustCompile(`(?i)trace id:\s*([0-9a-f-]{8,64})`)
	correlationID = regexp.MustCompile(`(?i)correlation id:\s*([0-9a-f-]{8,64})`)
)

// maxCodes is how many AADSTS numbers of one answer are read.
const maxCodes = 16

// unknownError stands for an error name that nobody documents.
const unknownError = "unknown_error"

// knownOAuth reports whether a name is one of RFC 6749, RFC 8628, OpenID Connect or
// Microsoft's documents
// (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow,
// reference-error-codes).
func knownOAuth(name string) bool {
	_, explained := oauthExplanations[name]

	return explained || slices.Contains(unexplained, name)
}

// unexplained are known names without an explanation of their own.
var unexplained = []string{
	"unsupported_response_type",
	"invalid_token",
	"insufficient_scope",
	"account_selection_required",
	"invalid_request_object",
	"request_not_supported",
	"invalid_request_uri",
	unknownError,
}

// suberrors are Microsoft's refinements of an error, as the Microsoft Authentication
// Library knows them.
var suberrors = []string{
	"bad_token",
	"token_expired",
	"basic_action",
	"additional_action",
	"message_only",
	"consent_required",
	"client_mismatch",
	"user_password_expired",
	"device_authentication_failed",
	"protection_policy_required",
	"protection_policies_required",
	"cancel",
}

// scrub empties each text for people that holds a part of what we sent.
func (a *answer) scrub(holdsSecret func(string) bool) {
	for _, s := range []*string{
		&a.scope,
		&a.userCode,
		&a.verification,
		&a.message,
		&a.refusal.TraceID,
		&a.refusal.CorrelationID,
	} {
		if holdsSecret(*s) {
			*s = ""
		}
	}
}

// parseRefusal reads the fields of an error answer, of a token endpoint or of a
// redirect (RFC 6749 sections 4.1.2.1 and 5.2). It searches the description for numbers
// and ids and drops the rest, which is a text of another machine and may quote what we
// sent.
func parseRefusal(name, suberror, description string, codes json.RawMessage) Refusal {
	var r Refusal

	// An unknown name may repeat something that we sent.
	switch {
	case knownOAuth(name):
		r.OAuth = name
	case name != "":
		r.OAuth = unknownError
	}

	if slices.Contains(suberrors, suberror) {
		r.Suberror = suberror
	}

	var list []json.RawMessage
	if json.Unmarshal(codes, &list) == nil {
		for _, c := range list[:min(len(list), maxCodes)] {
			r.addCode(strings.Trim(string(c), `"`))
		}
	}

	for _, match := range inDescription.FindAllStringSubmatch(description, 8) {
		r.addCode(match[1])
	}

	if m := traceID.FindStringSubmatch(description); m != nil {
		r.TraceID = printableID(m[1])
	}

	if m := correlationID.FindStringSubmatch(description); m != nil {
		r.CorrelationID = printableID(m[1])
	}

	return r
}

// addCode adds an AADSTS number, once. Text that is no number is left out.
func (r *Refusal) addCode(text string) {
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 || n >= 1e9 || len(r.AADSTS) >= maxCodes || slices.Contains(r.AADSTS, n) {
		return
	}

	r.AADSTS = append(r.AADSTS, n)
}

// printableID returns an id of hex digits and dashes, the only form that may reach a
// log; anything else is dropped.
func printableID(s string) string {
	if len(s) < 8 || len(s) > 64 || strings.Trim(s, "0123456789abcdefABCDEF-") != "" {
		return ""
	}

	return s
}

// seconds reads a number, or a number in a string, as seconds; ok is false for anything
// else.
func seconds(raw json.RawMessage) (time.Duration, bool) {
	s := strings.TrimSpace(strings.Trim(strings.TrimSpace(string(raw)), `"`))

	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > 9e9 {
		return 0, false
	}

	return time.Duration(f * float64(time.Second)), true
}

// usableInHeader reports whether an access token can stand in an Authorization header
// (RFC 6750 section 2.1, read generously).
func usableInHeader(token string) bool {
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return false
		}
	}

	return token != ""
}
