package tokens_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/test/golden"
	"fluent-bit-defender/tokens"
)

// met are the codes an MSSP meets, by what each waits for.
var met = map[advice.Fate][]int{
	advice.NeedsFix: {
		50011,
		500112,
		50194,
		90002,
		90038,
		900382,
		900432,
		9001023,
		70011,
		28002,
		28003,
		700022,
		1002012,
		901002,
		900144,
		90014,
		9002313,
		90004,
		90023,
		90100,
		900561,
		70003,
		54005,
		50089,
		501481,
		50147,
		501491,
		700005,
		70002,
		7000215,
		7000222,
		7000218,
		700025,
		700027,
		50012,
		700024,
		50196,
		70018,
		70019,
		70020,
		9002327,
	},
	advice.NeedsSignIn: {
		70008,
		700082,
		700084,
		70043,
		70000,
		50173,
		50131,
		50132,
		50133,
		500133,
		50013,
		50076,
		50074,
		50079,
		50072,
		50078,
		50158,
		50055,
		50144,
		50126,
		50058,
		700003,
		900421,
	},
	advice.NotAuthorised: {
		700016,
		700011,
		7000112,
		70001,
		50001,
		500011,
		650057,
		65005,
		650052,
		65001,
		65004,
		90094,
		90095,
		53003,
		530032,
		53000,
		53001,
		50005,
		50097,
		53011,
		530034,
		50053,
		50034,
		50020,
		16000,
		16003,
		50014,
		51004,
		90072,
		500212,
		500213,
		500021,
		50057,
		50105,
		90093,
		90099,
		65002,
		650051,
		5000224,
		5000225,
		50177,
		50178,
		530003,
		530036,
	},
	advice.TryAgain: {70016, 90006, 90012, 90024, 90033, 50033, 50087, 90090, 90055, 50000},
}

func TestEveryCodeHasAProblemARemedyAndAFate(t *testing.T) {
	known := tokens.KnownCodes()
	total := 0

	for fate, codes := range met {
		for _, code := range codes {
			total++

			if !slices.Contains(known, code) {
				t.Errorf("AADSTS%d has no explanation of its own", code)
				continue
			}

			got := tokens.Explain(code, app(tokens.V2))
			if len(got.Problem) < 15 || len(got.Remedy) < 10 || strings.ContainsAny(got.Problem+got.Remedy, "{}\n") {
				t.Errorf("AADSTS%d: %q; %q", code, got.Problem, got.Remedy)
			}

			if got.Fate != fate {
				t.Errorf("AADSTS%d: fate %v, want %v", code, got.Fate, fate)
			}

			bare := tokens.Explain(code, tokens.App{})
			if strings.ContainsAny(bare.Problem+bare.Remedy, "{}") || bare.Problem == "" || bare.Remedy == "" {
				t.Errorf("AADSTS%d without an application: %q; %q", code, bare.Problem, bare.Remedy)
			}
		}
	}

	if total != len(known) {
		t.Errorf("%d codes explained, %d listed in this test", len(known), total)
	}
}

func TestRemediesNameTheVeryNextStep(t *testing.T) {
	for code, want := range map[int]string{
		7000215: "paste the secret's value, not its ID, into client_secret",
		700016:  "https://login.example.test/" + tenant + "/adminconsent?client_id=" + client,
		65001:   "https://login.example.test/" + tenant + "/adminconsent?client_id=" + client,
		90002:   "check tenant_id, and cloud or login_url",
		700082:  "defenderctl tokens acquire --tenant-id " + tenant + " --client-id " + client,
		700024:  "NTP",
		500011:  resource,
		424242:  "https://login.microsoftonline.com/error?code=424242",
	} {
		if f := tokens.Explain(code, app(tokens.V2)); !strings.Contains(f.Remedy, want) {
			t.Errorf("AADSTS%d: %q does not say %q", code, f.Remedy, want)
		}
	}
}

func TestTheMoreTellingOfSeveralCodesDecides(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		code int
		fate advice.Fate
	}{
		"70002 is weak":        {refusal("invalid_grant", 70002, 70008), 70008, advice.NeedsSignIn},
		"whatever the order":   {refusal("invalid_client", 7000222, 70002), 7000222, advice.NeedsFix},
		"unknown beside known": {refusal("invalid_grant", 7999999, 53003), 53003, advice.NotAuthorised},
		"code in the description only": {
			`{"error":"invalid_client","error_description":"AADSTS7000215: x"}`,
			7000215,
			advice.NeedsFix,
		},
		"codes as strings": {`{"error":"invalid_client","error_codes":["7000215"]}`, 7000215,
			advice.NeedsFix},
		"a code without an error name":      {`{"error_codes":[700016]}`, 700016, advice.NotAuthorised},
		"unknown code: by the error name":   {refusal("unauthorized_client", 7999999), 7999999, advice.NotAuthorised},
		"unknown code and name":             {refusal("odd_new_error", 7999999), 7999999, advice.NeedsFix},
		"unknown conditional access code":   {refusal("invalid_grant", 53999), 53999, advice.NotAuthorised},
		"unknown MFA code":                  {refusal("interaction_required", 50071), 50071, advice.NeedsSignIn},
		"unknown code, service unavailable": {refusal("temporarily_unavailable", 7999999), 7999999, advice.TryAgain},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{answer: func(asked) (int, string) { return 400, tc.body }}
			_, err := tokens.Client{App: app(tokens.V2), HTTP: f.client()}.Redeem(t.Context(), secret.New("x"))

			var e *tokens.Error
			if !errors.As(err, &e) || e.Code != tc.code || e.Fate != tc.fate || e.Problem == "" || e.Remedy == "" {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestALoopThatTheServiceSawIsLeftAloneForAWhile(t *testing.T) {
	f := &fake{answer: func(asked) (int, string) { return 400, refusal("invalid_grant", 50196) }}
	_, err := tokens.Client{App: app(tokens.V2), HTTP: f.client()}.Redeem(t.Context(), secret.New("x"))

	var e *tokens.Error
	if !errors.As(err, &e) || e.RetryAfter < 5*time.Minute || e.Dead() {
		t.Errorf("%v, wait %v", err, e.RetryAfter)
	}
}

// The golden files hold answers as the service writes them and, beside each, the line
// that a person reads.
func TestGoldenErrorLines(t *testing.T) {
	files, err := filepath.Glob("../testdata/tokens/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}

	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}

		f := &fake{answer: func(asked) (int, string) { return 400, string(body) }}
		_, got := tokens.Client{App: app(tokens.V2), HTTP: f.client()}.Redeem(t.Context(), secret.New("x"))
		golden.File(t, strings.TrimSuffix(file, ".json")+".txt", got.Error()+"\n")
	}
}
