package config

import (
	"regexp"
	"strings"

	"fluent-bit-defender/internal/alert"
)

// domain matches a DNS name of at least two labels, the last of which is not a number
// (it would be an IP address).
var domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

// personalAccounts is the tenant behind `consumers`: every Microsoft account lives in
// it, and no organisation
// (https://learn.microsoft.com/entra/identity-platform/id-tokens, claim iss).
const personalAccounts = "9188040d-6c67-4c5b-b112-36a304b66dad"

// tenantID returns the tenant's id in lower case.
func (r *reader) tenantID() alert.TenantID {
	s, v := r.text("tenant_id", 256)
	if s == "" {
		if v.text == "" && !v.bad {
			r.missing("tenant_id", v, "missing", "set it to the customer's tenant: its GUID or a verified domain")
		}

		return ""
	}

	o, id := option("tenant_id"), strings.ToLower(s)

	const remedy = "use the customer's own tenant: its GUID or a verified domain"

	switch {
	case id == "common" || id == "organizations" || id == "consumers" || id == personalAccounts:
		r.refuse(o, v, "names no single tenant", remedy)
	case strings.Contains(id, "://") || strings.ContainsAny(id, "/@"):
		r.refuse(o, v, "is an address, not a tenant", remedy)
	case strings.ContainsFunc(id, func(c rune) bool { return c > 0x7f }):
		r.refuse(
			o,
			v,
			"has characters beyond ASCII",
			"write an international domain in its xn-- form, or use the tenant's GUID",
		)
	case !alert.IsGUID(id) && (!domain.MatchString(id) || len(id) > 253):
		r.refuse(o, v, "is neither a GUID nor a domain", remedy)
	}

	return alert.TenantID(id)
}

func (r *reader) clientID() alert.ClientID {
	s, v := r.text("client_id", 256)
	switch {
	case v.text == "" && !v.bad:
		r.missing("client_id", v, "missing", "set it to the application (client) id of the app registration")
	case strings.ContainsAny(s, " \t/?#&="):
		r.refuse(
			option("client_id"),
			v,
			"is not an application id",
			"copy the application (client) id of the app registration, a GUID",
		)
	case s != "" && !alert.IsGUID(s):
		r.warning(
			"client_id",
			v,
			"is not a GUID, as the ids of applications are",
			"compare it with the app registration",
		)
	}

	return alert.ClientID(s)
}

// label returns a text that appears in logs, records and keys.
func (r *reader) label(key string, most int) string {
	s, _ := r.text(key, most)
	return s
}

// tag reads the tag of a tenant's records. Fluent Bit routes by patterns of tags, and
// other plugins make file names of them, so a tag may only have characters without a
// meaning there.
func (r *reader) tag() string {
	s, v := r.text("tag", 256)

	if strings.ContainsFunc(s, func(c rune) bool { return !inTag(c) }) {
		r.refuse(
			option("tag"),
			v,
			"has other characters than letters, digits, dots, underscores and hyphens",
			"write it like defender.contoso",
		)

		return ""
	}

	return s
}

// inTag reports whether a tag may have a character.
func inTag(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c)
}
