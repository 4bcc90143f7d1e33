package advice_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fluent-bit-defender/internal/advice"
)

// keyFault is a type that embeds a fault, as other packages do.
type keyFault struct {
	advice.Fault
	key string
}

func (k *keyFault) Error() string { return k.key + ": " + k.Fault.Error() }

func TestAFaultPrintsInOneBoundedLine(t *testing.T) {
	full := advice.Fault{
		Problem: "the secret is wrong",
		Remedy:  "paste its value",
		Codes:   []string{"AADSTS7000215", "HTTP 401"},
		Trace:   []string{"trace id 1", "correlation id 2"},
		Err:     errors.New("read\nfailed\x1b[0m"),
	}
	long := advice.Fault{
		Problem: strings.Repeat("p", 2*advice.MaxLine),
		Codes:   []string{"HTTP 500"},
	}
	repeated := advice.Fault{
		Problem: "disk full",
		Err:     errors.New("disk full"),
	}

	for _, c := range []struct{ got, want string }{
		{full.Error(), "the secret is wrong: read failed[0m; paste its value (AADSTS7000215, HTTP 401, trace id 1, " +
			"correlation id 2)"},
		{full.Message(), "the secret is wrong: read failed[0m (AADSTS7000215, HTTP 401)"},
		{full.Traces(), "trace id 1, correlation id 2"},
		{repeated.Error(), "disk full"},
	} {
		if c.got != c.want {
			t.Errorf("got  %q\nwant %q", c.got, c.want)
		}
	}

	if s := long.Error(); len(s) > advice.MaxLine || !strings.HasSuffix(s, " (HTTP 500)") {
		t.Errorf("%d bytes, ending in %q", len(s), s[len(s)-20:])
	}
}

func TestTheFaultInAnErrorIsFound(t *testing.T) {
	cause := errors.New("cause")
	k := &keyFault{
		Fault: advice.Fault{Problem: "missing", Fate: advice.NeedsFix, Err: cause},
		key:   "region",
	}

	wrapped := fmt.Errorf("tenant contoso: %w", errors.Join(errors.New("other"), k))
	if f := advice.Of(wrapped); f == nil || f.Problem != "missing" || !errors.Is(wrapped, cause) {
		t.Errorf("found %v", f)
	}

	if f := advice.Of(cause); f != nil {
		t.Errorf("found %v in a plain error", f)
	}
}

func TestTheFateDecidesTheExitCode(t *testing.T) {
	for _, c := range []struct {
		fate   advice.Fate
		word   string
		code   int
		person bool
	}{
		{advice.TryAgain, "try-again", 1, false},
		{advice.NewToken, "new-token", 1, false},
		{advice.NeedsFix, "needs-fix", 1, true},
		{advice.NeedsSignIn, "needs-sign-in", 3, true},
		{advice.NotAuthorised, "not-authorised", 4, true},
		{advice.Fate(17), "fate(17)", 1, true},
	} {
		err := fmt.Errorf("contoso: %w", &advice.Fault{Fate: c.fate})
		if advice.ExitCode(err) != c.code || c.fate.String() != c.word || c.fate.NeedsPerson() != c.person {
			t.Errorf("%v: exit code %d, needs a person: %v", c.fate, advice.ExitCode(err), c.fate.NeedsPerson())
		}
	}

	if advice.ExitCode(nil) != 0 || advice.ExitCode(errors.New("x")) != advice.ExitFailed {
		t.Error("the exit codes of no error and of a plain one are wrong")
	}
}

func TestJoinedErrorsAreTakenApart(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")

	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"none":    {nil, "[]"},
		"one":     {a, "[a]"},
		"nested":  {errors.Join(a, errors.Join(b, c)), "[a b c]"},
		"wrapped": {fmt.Errorf("file: %w", errors.Join(a, b)), "[file: a\nb]"},
	} {
		if got := fmt.Sprint(advice.Flatten(tc.err)); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestJSONHasProblemAndRemedy(t *testing.T) {
	f := advice.Fault{
		Problem: "missing",
		Remedy:  "add it",
		Fate:    advice.NeedsFix,
		Err:     errors.New("hidden"),
	}

	got, err := json.Marshal(f)
	if err != nil || string(got) != `{"problem":"missing","remedy":"add it"}` {
		t.Errorf("%s, %v", got, err)
	}
}

// The values are what users write into their rules: none may change or be missing.
func TestTheListOfReasonsIsClosed(t *testing.T) {
	const want = "[consent_missing role_missing gdap_ended guest_conflict session_control mfa_required " +
		"conditional_access tenant_gone chain_dead token_dead credential_wrong credential_expired " +
		"not_licensed throttled unreachable bad_answer too_slow too_large store blocked budget internal]"
	if got := fmt.Sprint(advice.Reasons()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	for _, r := range advice.Reasons() {
		if !r.Known() {
			t.Errorf("%s is not known", r)
		}
	}

	if advice.Reason("").Known() || advice.Reason("odd").Known() {
		t.Error("a reason is known that is not of the list")
	}
}
