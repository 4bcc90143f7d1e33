package simulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// authorise checks the access token: known, valid now, for this API, with a permission.
// The tenant in it is the one whose alerts are served. If authorise reports false, it
// has answered the request.
func (x *exchange) authorise() bool {
	s := x.sim
	text := bearer(x.r)

	s.mu.Lock()
	t := s.access[text]

	var gone, authorised bool
	if t != nil {
		gone, authorised = t.tenant.gone, t.tenant.MSSPAuthorised
	}

	status, refusal := s.providerProblem(t)
	s.mu.Unlock()

	if problem := x.tokenProblem(text, t); problem != "" {
		x.refuse(http.StatusUnauthorized, "", problem)
		return false
	}

	if x.overQuota() {
		return false
	}

	switch {
	case gone:
		x.refuse(http.StatusForbidden, "", "The tenant's state is deleted.")
	case x.api == SIEM && !authorised:
		x.refuse(s.cfg.SIEMUnauthorisedStatus, "", "The application is not authorized for the tenant.")
	case x.api != SIEM && !t.resource.suffices(t.granted, x.api):
		x.refuse(http.StatusForbidden, "Forbidden", missing(t))
	case status != 0:
		x.refuse(status, "", refusal)
	default:
		return true
	}

	return false
}

// tokenProblem returns the message for a token that this API does not accept, "" if it
// does. t is nil if the text is not an access token.
func (x *exchange) tokenProblem(text string, t *accessToken) string {
	const wrongAudience = "Access token validation failure. Invalid audience."

	switch {
	case text == "":
		return "Access token is empty."
	case t == nil:
		return "Access token validation failure. Signature is invalid."
	case !x.now.Before(t.expires):
		return "Lifetime validation failed, the token is expired."
	case !t.resource.serves(x.api):
		return wrongAudience
	case x.api == SIEM && t.v2 && !x.sim.cfg.SIEMAcceptsV2Tokens:
		return wrongAudience
	}

	return ""
}

// missing returns the message for a token without a permission (trap 27 in
// internal/defender/doc.go).
func missing(t *accessToken) string {
	if !t.appOnly {
		return "Missing application scopes. API required scopes: " +
			strings.Join(t.resource.scopes, ",") + ", application scopes: ."
	}

	return "Missing application roles. API required roles: " +
		strings.Join(t.resource.roles, ",") + ", application roles: ."
}

// documentedQuota returns the quota of the API that is asked, as it is documented.
func (x *exchange) documentedQuota() Quota {
	if a := dataAPIOf(x.api); a != nil {
		return a.quota
	}

	return Quota{}
}

// quotaState counts the calls of one application for one tenant and API in the current
// minute and hour.
type quotaState struct {
	minute, hour     time.Time
	inMinute, inHour int
}

// overQuota counts the call and answers 429 when there were too many. All calls count,
// refused ones too; the minute and the hour begin with the first call in them.
func (x *exchange) overQuota() bool {
	s := x.sim

	quota, ok := s.cfg.Quotas[x.api]
	if !ok {
		quota = x.documentedQuota()
	}

	now := s.cfg.Clock()
	s.mu.Lock()

	q := s.quotas[x.waitKey()]
	if q == nil {
		q = &quotaState{}
		s.quotas[x.waitKey()] = q
	}

	if now.Sub(q.minute) >= time.Minute {
		q.minute, q.inMinute = now, 0
	}

	if now.Sub(q.hour) >= time.Hour {
		q.hour, q.inHour = now, 0
	}

	q.inMinute++
	q.inHour++

	var wait time.Duration
	if quota.PerMinute > 0 && q.inMinute > quota.PerMinute {
		wait = q.minute.Add(time.Minute).Sub(now)
	}

	if quota.PerHour > 0 && q.inHour > quota.PerHour {
		wait = max(wait, q.hour.Add(time.Hour).Sub(now))
	}
	s.mu.Unlock()

	if wait <= 0 {
		return false
	}

	s.stats.count(func(c *Stats) { c.OverQuota[x.api]++ })
	x.retryAfter("seconds", wait)
	x.refuse(
		http.StatusTooManyRequests,
		"",
		fmt.Sprintf("quota reached, retry after %s seconds", strconv.Itoa(int(wait/time.Second)+1)),
	)

	return true
}
