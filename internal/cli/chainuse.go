package cli

import (
	"maps"
	"slices"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// chainUse is what the inputs say of a chain.
type chainUse struct {
	api     string          // that they read with it; empty if it is not known, or several are
	refused *health.Trouble // why the sign-in service refuses it at present; nil if it does not
}

// useOf returns what the inputs say of a chain at a time. If several units say that it is
// refused, the first of them in the order of their keys counts.
func useOf(statuses map[alert.UnitKey]store.Status, key tokens.ChainKey, now time.Time) (u chainUse) {
	several := false

	for _, unit := range slices.SortedFunc(maps.Keys(statuses), alert.UnitKey.Compare) {
		st := statuses[unit]
		if key != chainOf(unit, st) {
			continue
		}

		several = several || u.api != "" && u.api != string(unit.API)
		u.api = string(unit.API)

		reasons := refusals
		if st.HomeTenantID != "" {
			reasons = homeRefusals
		}

		running := st.State != health.Stopped && now.Sub(st.UpdatedAt) < measure.StaleAfter
		if u.refused == nil && running && slices.Contains(reasons, st.Reason) {
			u.refused = &st.Trouble
		}
	}

	if several {
		u.api = ""
	}

	return u
}

// signIn returns the remedy of a chain that has ended or will end. The remedy of a
// running input comes first: it knows the settings, such as api_url, that a new sign-in
// needs too.
func (u chainUse) signIn(remedy string) string {
	if u.refused == nil || u.refused.Remedy == "" {
		return remedy
	}

	if u.refused.Reason == advice.TokenDead || u.refused.Reason == advice.ChainDead {
		return u.refused.Remedy
	}

	return remedy
}

// refusals are the reasons of the sign-in service to refuse a chain.
var refusals = []advice.Reason{
	advice.ConsentMissing,
	advice.GDAPEnded,
	advice.GuestConflict,
	advice.SessionControl,
	advice.MFARequired,
	advice.ConditionalAccess,
	advice.TenantGone,
	advice.TokenDead,
	advice.CredentialWrong,
	advice.CredentialExpired,
}

// homeRefusals are those among the reasons of a provider's customer that are about the
// provider's own sign-in, and not about this customer.
var homeRefusals = []advice.Reason{advice.ChainDead, advice.CredentialWrong, advice.CredentialExpired}
