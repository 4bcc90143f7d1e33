package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The applications of Microsoft that permissions belong to, by their ids.
const (
	AppGraph    = "00000003-0000-0000-c000-000000000000"
	AppEndpoint = "fc780465-2017-40d4-a0c5-307022471b92"
	AppDefender = "8ee8fdad-f234-4243-8f3b-15c294843740"
	AppSIEM     = "00000002-0000-0000-c000-000000000000"
)

// consentRequest is the body of a request to consent (Partner Center, "Register an
// application consent").
type consentRequest struct {
	ApplicationID     string `json:"applicationId"`
	DisplayName       string `json:"displayName"`
	ApplicationGrants []struct {
		EnterpriseApplicationID string `json:"enterpriseApplicationId"`
		Scope                   string `json:"scope"`
	} `json:"applicationGrants"`
}

// partner answers Partner Center: /v1/customers/{customer}/applicationconsents, and
// below it the id of an application, whose consent is taken back by DELETE.
func (s *Simulator) partner(x *exchange) {
	rest := x.r.URL.Path
	if !hasPrefixFold(rest, "/v1/customers/") {
		x.refuse(http.StatusNotFound, "", "")
		return
	}

	customer, rest, _ := strings.Cut(rest[len("/v1/customers/"):], "/")
	collection, application, _ := strings.Cut(rest, "/")

	if !strings.EqualFold(collection, "applicationconsents") {
		x.refuse(http.StatusNotFound, "", "")
		return
	}

	body, err := readAll(x.r.Body, 1<<20)
	if err != nil {
		x.refuse(http.StatusBadRequest, "", "The request body cannot be read.")
		return
	}

	s.mu.Lock()
	answer := x.partnerToken()

	if answer == nil {
		switch {
		case x.r.Method == http.MethodPost && application == "":
			answer = x.postConsent(customer, body)
		case x.r.Method == http.MethodDelete && application != "":
			answer = x.deleteConsent(customer, application)
		default:
			answer = &partnerAnswer{status: http.StatusMethodNotAllowed}
		}
	}
	s.mu.Unlock()

	x.answerPartner(answer)
}

// partnerAnswer is an answer of Partner Center: a refusal, or the body of a success.
type partnerAnswer struct {
	status  int
	code    string
	message string
	body    []byte
}

// answerPartner writes an answer.
func (x *exchange) answerPartner(a *partnerAnswer) {
	if a.status < 300 {
		x.json(a.status, a.body)
		return
	}

	if a.status == http.StatusTooManyRequests {
		x.retryAfter("seconds", time.Second)
	}

	x.refuse(a.status, a.code, a.message)
}

// partnerToken returns the refusal of an access token, nil if it is good: for Partner
// Center, of the provider's tenant, and of a sign-in with multi-factor authentication,
// which has been required since 1 April 2026. The caller holds the simulator's lock.
func (x *exchange) partnerToken() *partnerAnswer {
	text := bearer(x.r)
	t := x.sim.access[text]

	if problem := x.tokenProblem(text, t); problem != "" {
		return &partnerAnswer{status: http.StatusUnauthorized, message: problem}
	}

	switch {
	case t.tenant != x.sim.home || t.appOnly || len(t.granted) == 0:
		return &partnerAnswer{status: http.StatusForbidden, message: "The caller is no partner user."}
	case !t.mfa:
		return &partnerAnswer{
			status:  http.StatusUnauthorized,
			code:    "900421",
			message: "MFA is required to access this resource: the token lacks its claim.",
		}
	}

	if x.overQuotaPartner() {
		return &partnerAnswer{status: http.StatusTooManyRequests}
	}

	return nil
}

// overQuotaPartner counts a call and reports whether there were more than 50 in the
// current second. The caller holds the simulator's lock.
func (x *exchange) overQuotaPartner() bool {
	second := x.sim.cfg.Clock().Unix()

	q := x.sim.quotas[Partner]
	if q == nil {
		q = &quotaState{}
		x.sim.quotas[Partner] = q
	}

	if q.minute.Unix() != second {
		q.minute, q.inMinute = x.sim.cfg.Clock(), 0
	}

	q.inMinute++

	return q.inMinute > 50
}

// partnerCustomer returns the customer whose consents a call may change, or the refusal.
// The caller holds the simulator's lock.
func (x *exchange) partnerCustomer(name, application string) (*tenant, *partnerAnswer) {
	s := x.sim
	t := s.byName[strings.ToLower(name)]

	switch {
	case t == nil || !s.customer(t):
		return nil, &partnerAnswer{status: http.StatusNotFound, message: "The customer was not found."}
	case !strings.EqualFold(application, s.access[bearer(x.r)].client):
		return nil, &partnerAnswer{
			status:  http.StatusForbidden,
			message: "The access token was not issued to the application that consent is asked for.",
		}
	case !hasRole(s.related(t), consentingRoles):
		return nil, &partnerAnswer{
			status:  http.StatusForbidden,
			message: "The user is not authorized to manage applications of the customer.",
		}
	}

	return t, nil
}

// postConsent consents in a customer. The caller holds the simulator's lock.
func (x *exchange) postConsent(customer string, body []byte) *partnerAnswer {
	var request consentRequest
	if err := json.Unmarshal(body, &request); err != nil || len(request.ApplicationGrants) == 0 {
		return &partnerAnswer{status: http.StatusBadRequest, message: "The request body is not valid."}
	}

	t, bad := x.partnerCustomer(customer, request.ApplicationID)
	if bad != nil {
		return bad
	}

	var scopes []string

	for _, grant := range request.ApplicationGrants {
		list, bad := grantedScopes(t, grant.EnterpriseApplicationID, grant.Scope)
		if bad != nil {
			return bad
		}

		scopes = append(scopes, list...)
	}

	if a := t.app(request.ApplicationID); a != nil && t.AADSTS == 0 &&
		!slices.ContainsFunc(scopes, func(scope string) bool { return !slices.Contains(a.Scopes, scope) }) {
		return &partnerAnswer{status: http.StatusConflict, message: "Permission entry already exists."}
	}

	x.sim.grantConsent(t, x.sim.home.app(request.ApplicationID), scopes)
	x.sim.stats.count(func(c *Stats) { c.Consents++ })

	return &partnerAnswer{status: http.StatusCreated, body: body}
}

// grantedScopes returns the permissions of one grant, or why the customer cannot have
// it.
func grantedScopes(t *tenant, enterprise, scope string) ([]string, *partnerAnswer) {
	enterprise = strings.ToLower(enterprise)

	r := resourceByApp(enterprise)
	if r == nil || slices.Contains(t.MissingPrincipals, enterprise) {
		return nil, &partnerAnswer{
			status:  http.StatusBadRequest,
			message: fmt.Sprintf("The service principal of application %s was not found in the tenant.", enterprise),
		}
	}

	var list []string

	for name := range strings.SplitSeq(scope, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(r.scopes, name) && !slices.Contains(r.others, name) {
			return nil, &partnerAnswer{
				status:  http.StatusBadRequest,
				message: fmt.Sprintf("The scope %q does not exist in the application %s.", name, enterprise),
			}
		}

		list = append(list, name)
	}

	return list, nil
}

// deleteConsent takes back all consents of an application in a customer. The caller
// holds the simulator's lock.
func (x *exchange) deleteConsent(customer, application string) *partnerAnswer {
	t, bad := x.partnerCustomer(customer, application)
	if bad != nil {
		return bad
	}

	if t.app(application) == nil {
		return &partnerAnswer{status: http.StatusNotFound, message: "There is no such consent."}
	}

	t.Apps = slices.DeleteFunc(t.Apps, func(a App) bool { return strings.EqualFold(a.ClientID, application) })

	return &partnerAnswer{status: http.StatusNoContent}
}
