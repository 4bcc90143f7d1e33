package cli

import (
	"strings"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/partner"
)

// discovered is one customer, as --json prints it.
type discovered struct {
	TenantID        alert.TenantID `json:"tenant_id"`
	TenantName      string         `json:"tenant_name"`
	RelationshipEnd *string        `json:"relationship_end"`
	AutoExtend      bool           `json:"auto_extend"`
	// Roles are the names of those that matter.
	Roles []string `json:"roles"`
	// Consent is "ok", "missing", or empty where it is not known. API is the result of
	// a request: "ok", "refused" or "failed", each after the name of its API if there
	// are several; empty where none was sent.
	Consent string        `json:"consent"`
	API     string        `json:"api"`
	Reason  advice.Reason `json:"reason"`
	Remedy  string        `json:"remedy"`

	ends    time.Time
	problem string
	code    int
}

// consentByLink is the next step with a customer in whose directory the provider has no
// role to consent.
const consentByLink = "consent by the admin consent link: the relationship has no role for tenants consent"

// describe returns what the relationships say of a customer.
func describe(c *partner.Customer, now time.Time) *discovered {
	lasting := c.Lasting()
	row := &discovered{
		TenantID:        c.TenantID,
		TenantName:      c.Name,
		RelationshipEnd: measure.Moment(lasting.Ends),
		AutoExtend:      lasting.AutoExtends,
		Roles:           partner.RoleNames(c.Roles()),
		ends:            lasting.Ends,
	}

	switch f := relationshipFault(c, now); {
	case f != nil:
		row.Reason, row.Remedy, row.problem = f.Reason, f.Remedy, f.Problem
	case !c.CanConsent():
		row.Remedy = consentByLink
	}

	return row
}

// relationshipFault returns what is wrong with the relationships to a customer; nil for
// nothing. Its Reason is empty for what is about to be wrong.
func relationshipFault(c *partner.Customer, now time.Time) *advice.Fault {
	lasting := c.Lasting()

	switch {
	case !c.ReadsAlerts():
		return &advice.Fault{
			Reason:  advice.RoleMissing,
			Problem: "the relationship lacks the role Security Reader (or Security Operator, Security Administrator)",
			Remedy: "ask the customer for a new relationship with the role Security Reader: roles of a relationship " +
				"cannot be changed",
			Fate: advice.NotAuthorised,
		}
	case partner.EndsSoon(lasting.Ends, lasting.AutoExtends, now):
		return &advice.Fault{
			Reason: "",
			Problem: "the relationship ends on " + lasting.Ends.Format(time.DateOnly) +
				" and is not extended by itself",
			Remedy: "ask the customer for a new relationship, with auto-extend, before it ends",
			Fate:   advice.NeedsFix,
		}
	}

	return nil
}

// tried adds the result of a visit; several says that the customer has other APIs too.
func (r *discovered) tried(v *visit, several bool) {
	answer := v.Answer
	if answer == "" {
		answer = v.SignIn
	}

	if several {
		answer = v.API + " " + answer
	}

	r.API = strings.Join(append(nonEmpty(r.API), answer), ", ")

	switch {
	case v.SignIn == "ok" && r.Consent == "":
		r.Consent = "ok"
	case v.reason == advice.ConsentMissing:
		r.Consent = "missing"
	}

	if r.Consent == "ok" && r.Remedy == consentByLink {
		r.Remedy = "" // there is nothing left to consent to
	}

	if v.Problem != "" && worst(v.Code, r.code) == v.Code && v.Code != r.code {
		r.Reason, r.Remedy, r.problem = v.reason, v.remedy, v.Problem
	}

	r.code = worst(r.code, v.Code)
}

// nonEmpty returns a list of a text, without it if it is empty.
func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}

	return []string{s}
}
