package config

import (
	"slices"
	"strings"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/grant"
)

// NoHome is the value of home_tenant_id with which a tenant opts out of a default.
const NoHome = "none"

// home reads the provider's own tenant. With one the grant is refresh_token.
func (r *reader) home(t *Tenant, grantAt value) {
	s, v := r.text("home_tenant_id", 256)
	if s == "" || strings.EqualFold(s, NoHome) {
		return
	}

	id := strings.ToLower(s)
	if !alert.IsGUID(id) {
		r.refuse(option("home_tenant_id"), v, "is not a GUID",
			"use the tenant id of your own organisation, a GUID (Entra admin center, Overview), or none")

		return
	}

	t.HomeTenantID = alert.TenantID(id)

	if t.Grant == grant.ClientCredentials {
		r.fault("grant", grantAt, "client_credentials does not fit with home_tenant_id, "+
			"which reaches the customer with a person's sign-in",
			"use grant auto or refresh_token, or set home_tenant_id to none for this tenant")
	}

	t.Grant = grant.RefreshToken
}

// seedFits reports whether a configured refresh token is for the chain that the tenant
// uses. A tenant's own token does not go with home_tenant_id. An inherited token is
// left out if it belongs to another chain: if it was configured beside another
// home_tenant_id, or the tenant opted out of home_tenant_id.
func (r *reader) seedFits(t Tenant, values []value) bool {
	i := slices.IndexFunc(values, func(v value) bool { return v.text != "" })
	if i < 0 {
		return true
	}

	at := r.layerOf("refresh_token", "refresh_token_file")
	own := at == 0 && len(r.layers) > 1

	switch {
	case own && t.HomeTenantID != "":
		r.fault([]string{"refresh_token", "refresh_token_file"}[i], values[i],
			"does not fit with home_tenant_id, whose sign-in all customers share",
			"remove it, or set home_tenant_id to none for this tenant")

		return false
	case own:
		return true
	case t.HomeTenantID == "":
		return !slices.ContainsFunc(r.layers[min(1, len(r.layers)-1):], hasHome)
	}

	beside := r.builder.reader(r.layers[at:]...).raw("home_tenant_id").text

	return beside == "" || strings.EqualFold(beside, NoHome) || strings.EqualFold(beside, string(t.HomeTenantID))
}

// layerOf returns the index of the first layer that has one of the keys, or of the last
// layer if none has.
func (r *reader) layerOf(keys ...string) int {
	for i, l := range r.layers {
		if slices.ContainsFunc(keys, func(key string) bool { return l.value(key).set }) {
			return i
		}
	}

	return len(r.layers) - 1
}

// hasHome reports whether a layer names a provider's own tenant.
func hasHome(l layer) bool {
	text := l.value("home_tenant_id").text

	return text != "" && !strings.EqualFold(text, NoHome)
}
