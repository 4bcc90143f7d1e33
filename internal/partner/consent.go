package partner

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
)

// Grant is what an application may do at one API, in the name of a user.
type Grant struct {
	// API is the application id of the API; Scopes are its delegated permissions.
	API    string
	Scopes []string
}

// Outcome is the result of a consent that did not fail.
type Outcome int

// The outcomes.
const (
	// Consented: the application is allowed now.
	Consented Outcome = iota + 1
	// ConsentedBefore: it was allowed already.
	ConsentedBefore
)

// consentHelp is the remedy if the provider is not allowed to consent.
const consentHelp = "sign in as a member of AdminAgents, with a relationship that has the role Cloud Application " +
	"Administrator or Application Administrator, by the very application that is consented to; or send the customer " +
	"the admin consent link"

// consentBody is the request of Consent.
type consentBody struct {
	ApplicationID     string         `json:"applicationId"`
	ApplicationGrants []consentGrant `json:"applicationGrants"`
}

// consentGrant is one grant in a consentBody.
type consentGrant struct {
	EnterpriseApplicationID string `json:"enterpriseApplicationId"`
	Scope                   string `json:"scope"`
}

// Consent allows an application in a customer's tenant, in the name of the provider's
// users. The token of the Partner Center must have been issued to that application.
func (c *Client) Consent(
	ctx context.Context, customer alert.TenantID, client alert.ClientID, grants []Grant,
) (Outcome, error) {
	op := call{
		name:            "consenting for the application",
		host:            hostOf(c.s.PartnerURL),
		key:             "partner_url",
		source:          c.s.Partner,
		forbidden:       "the Partner Center does not let this sign-in consent in the customer's tenant",
		forbiddenRemedy: consentHelp,
		missingRemedy: "check that this tenant is a customer of the provider's, and send it the admin consent link " +
			"if not",
	}

	body := consentBody{ApplicationID: string(client)}
	for _, g := range grants {
		body.ApplicationGrants = append(body.ApplicationGrants, consentGrant{g.API, strings.Join(g.Scopes, ",")})
	}

	text, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}

	got, err := c.do(ctx, request{
		call:    op,
		method:  http.MethodPost,
		address: c.s.PartnerURL + "/v1/customers/" + url.PathEscape(string(customer)) + "/applicationconsents",
		body:    text,
	})

	switch {
	case err == nil:
		return Consented, nil
	case got.details != nil && got.details.mentions("permission entry already exists"):
		return ConsentedBefore, nil
	}

	return 0, consentError(err, got)
}

// consentError returns err. If the text of the refusal says that the customer does not
// have the API, err is changed to explain that.
func consentError(err error, got answer) error {
	var e *Error
	if !errors.As(err, &e) || got.details == nil || e.Fate != advice.NeedsFix {
		return err
	}

	if got.details.mentions("service principal") || got.details.mentions("does not exist") {
		e.Fate, e.Reason = advice.NotAuthorised, advice.NotLicensed
		e.Problem = "the customer's tenant does not have the API for which the consent is"
		e.Remedy = "ask an administrator there to open https://security.microsoft.com once, which sets Defender up, " +
			"then try again"
	}

	return e
}

// ConsentLink returns the address at which an administrator of a customer consents.
func ConsentLink(loginURL string, customer alert.TenantID, client alert.ClientID) string {
	return loginURL + "/" + url.PathEscape(string(customer)) + "/adminconsent?client_id=" +
		url.QueryEscape(string(client))
}
