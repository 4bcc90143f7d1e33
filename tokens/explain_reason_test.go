package tokens

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"fluent-bit-defender/internal/advice"
)

func TestEveryExplainedCodeHasAReason(t *testing.T) {
	check := func(name string, r advice.Reason) {
		if !r.Known() {
			t.Errorf("%s has the reason %q", name, r)
		}
	}

	for _, code := range KnownCodes() {
		check(codeName(code), Explain(code, App{}).Reason)
	}

	for _, code := range []int{7999999, 50071, 50139, 53999, 530999} {
		check(codeName(code), Explain(code, App{}).Reason)
	}

	for name := range maps.Keys(oauthExplanations) {
		check(name, Refusal{OAuth: name, Status: 400}.Explain(App{}).Reason)
	}

	check("an unknown name", Refusal{OAuth: "odd", Status: 400}.Explain(App{}).Reason)

	for status := 200; status < 600; status++ {
		w := wire{host: "login.example.test", exchange: exchange{status: status, header: http.Header{}}}
		check(http.StatusText(status), w.unexpected().Reason)
	}
}

// The list is what one-sign-in and monitoring rely on; other codes may change theirs.
func TestReasonsOfTheCodesThatMonitoringAsksFor(t *testing.T) {
	for reason, codes := range map[advice.Reason][]int{
		advice.ConsentMissing:    {90099, 700016, 65001, 65004, 650051},
		advice.GDAPEnded:         {50020, 50034, 50177, 90072},
		advice.SessionControl:    {50178, 50158},
		advice.MFARequired:       {50071, 50072, 50074, 50076, 50078, 50079, 70043},
		advice.ConditionalAccess: {53000, 53001, 53003, 530003, 530036, 53999},
		advice.TenantGone:        {5000224, 90002},
		advice.TokenDead:         {700082, 70008, 50173, 50133},
		advice.CredentialWrong:   {7000215, 700027},
		advice.CredentialExpired: {7000222},
		advice.Throttled:         {50196},
	} {
		for _, code := range codes {
			r := Refusal{OAuth: "invalid_grant", AADSTS: []int{code}, Status: 400}
			if got := r.Explain(App{}).Reason; got != reason {
				t.Errorf("AADSTS%d: %s, want %s", code, got, reason)
			}
		}
	}

	for status, reason := range map[int]advice.Reason{429: advice.Throttled, 503: advice.BadAnswer} {
		r := Refusal{OAuth: "invalid_grant", AADSTS: []int{700082}, Status: status}
		if got := r.Explain(App{}).Reason; got != reason {
			t.Errorf("status %d: %s, want %s", status, got, reason)
		}
	}
}

func TestMessageAndTraceAreApart(t *testing.T) {
	r := Refusal{
		OAuth:         "invalid_grant",
		AADSTS:        []int{700082},
		Status:        400,
		TraceID:       "T-1",
		CorrelationID: "C-2",
	}

	f := r.Explain(App{}).Explained()
	if got := f.Traces(); got != "trace id T-1, correlation id C-2" {
		t.Errorf("trace %q", got)
	}

	if m := f.Message(); strings.Contains(m, "T-1") || !strings.Contains(m, "AADSTS700082") {
		t.Errorf("message %q", m)
	}

	if !slices.Contains(f.Codes, "AADSTS700082") || !strings.HasSuffix(f.Error(), "trace id T-1, correlation id C-2)") {
		t.Errorf("line %q", f)
	}
}
