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
	"fluent-bit-defender/internal/cloud"
)

// Tenant is what is publicly known of a tenant.
type Tenant struct {
	// ID is the tenant's GUID in lower case.
	ID alert.TenantID
	// Cloud is the cloud that the tenant is in; empty if this program does not know it.
	Cloud cloud.Cloud
}

// Tenant asks the sign-in service for a tenant, which is named by its id or by a verified
// domain. It needs no sign-in.
func (c *Client) Tenant(ctx context.Context, name string) (Tenant, error) {
	op := call{name: "asking for the tenant's cloud", host: hostOf(c.s.LoginURL), key: "login_url"}

	got, err := c.do(ctx, request{
		call:    op,
		method:  http.MethodGet,
		address: c.s.LoginURL + "/" + url.PathEscape(name) + "/v2.0/.well-known/openid-configuration",
	})

	var e *Error

	switch {
	case errors.As(err, &e) && (e.Status == http.StatusBadRequest || e.Status == http.StatusNotFound):
		e.Fate, e.Reason = advice.NeedsFix, advice.TenantGone
		e.Problem = op.host + " does not know the tenant"
		e.Remedy = "check tenant_id and `cloud`; if the tenant is gone, remove it"

		return Tenant{}, e
	case err != nil:
		return Tenant{}, err
	}

	t, err := parseTenant(got.body)
	if err != nil {
		return Tenant{}, badAnswer(op, "sends a description of the tenant that cannot be read")
	}

	return t, nil
}

// parseTenant reads the OpenID configuration of a tenant.
func parseTenant(body []byte) (Tenant, error) {
	var doc struct {
		Issuer        string `json:"issuer"`
		SubScope      string `json:"tenant_region_sub_scope"`
		CloudInstance string `json:"cloud_instance_name"`
		Graph         string `json:"msgraph_host"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return Tenant{}, err
	}

	u, err := url.Parse(doc.Issuer)
	if err != nil {
		return Tenant{}, errors.New("the issuer is not an address")
	}

	id, _, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(u.Path, "/")), "/")
	if !alert.IsGUID(id) {
		return Tenant{}, errors.New("the issuer names no tenant")
	}

	return Tenant{ID: alert.TenantID(id), Cloud: cloudOf(doc.SubScope, doc.CloudInstance, doc.Graph)}, nil
}

// cloudOf returns the cloud of a tenant by the fields of its OpenID configuration. The
// sub-scope of GCC High is DODCON.
func cloudOf(subScope, instance, graph string) cloud.Cloud {
	switch strings.ToUpper(subScope) {
	case "GCC":
		return cloud.GCC
	case "DODCON":
		return cloud.GCCHigh
	case "DOD":
		return cloud.DoD
	}

	switch strings.ToLower(instance) {
	case "microsoftonline.us":
		if strings.HasPrefix(strings.ToLower(graph), "dod-") {
			return cloud.DoD
		}

		return cloud.GCCHigh
	case "microsoftonline.com", "":
		return cloud.Commercial
	}

	return ""
}
