package tokens_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"fluent-bit-defender/tokens"
)

func TestTheCommandOfARemedyMeansToAShellWhatWasMeant(t *testing.T) {
	for _, name := range []string{
		"contoso", "Contoso & Sons", "O'Hara; rm -rf ~", "$(id)", `a "b" \c`, "-n", "株式会社", "a*b?", "#x",
	} {
		command := tokens.AcquireCommand(tenant, client, "--tenant-name", name, "--region", "", "--api", "siem")

		out, err := exec.Command("sh", "-c", `defenderctl() { for w; do printf '%s\n' "$w"; done; }; `+command).
			Output()
		if err != nil {
			t.Fatal(err)
		}

		want := []string{
			"tokens",
			"acquire",
			"--tenant-id",
			tenant,
			"--client-id",
			client,
			"--tenant-name",
			name,
			"--api",
			"siem",
		}
		if got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); !slices.Equal(got, want) {
			t.Errorf("%s\nmeans %q", command, got)
		}
	}
}

func TestARemedyNamesTheApplicationsOwnCommand(t *testing.T) {
	a := app(tokens.V2)
	command := tokens.AcquireCommand(tenant, client, "--api", "siem", "--data-dir", "/elsewhere")
	a.Acquire = func() string { return command }

	const bare = "defenderctl tokens acquire"

	for _, code := range tokens.KnownCodes() {
		plain := tokens.Explain(code, app(tokens.V2)).Remedy

		own := tokens.Explain(code, a).Remedy
		if strings.Count(plain, bare) != strings.Count(own, command) {
			t.Errorf("AADSTS%d: %s", code, own)
		}
	}

	now := newClock().Now()

	revoked := tokens.Refusal{AADSTS: []int{50173}}
	for _, c := range []tokens.Chain{
		{Refreshed: now, Dead: revoked},
		{Refreshed: now.Add(-tokens.RefreshLife)},
	} {
		if f := c.Forecast(now, a); !strings.Contains(f.Remedy, command) {
			t.Errorf("%+v", f)
		}
	}
}
