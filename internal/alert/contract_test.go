package alert

import (
	"os"
	"strings"
	"testing"
)

// TestTheContractNamesEveryAPI with its identity and the times of its version.
func TestTheContractNamesEveryAPI(t *testing.T) {
	text, err := os.ReadFile("../../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}

	lines := map[string]string{} // by what the first column names

	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			lines[strings.Trim(cells[1], " `")] += line // several tables may have it
		}
	}

	for _, api := range APIs() {
		facts, err := api.Descriptor()
		if err != nil {
			t.Fatal(err)
		}

		if !strings.Contains(lines["api"], "`"+string(api)+"`") {
			t.Errorf("docs/contract.md: the key api of mssp is never %s", api)
		}

		names := []string{facts.Row.Identity}
		if facts.Version != VersionInIdentity {
			names = append(names, facts.Row.Updated)
		}

		if facts.Row.Alerts != "" {
			names = append(names, facts.Row.Alerts+"[]."+facts.Row.AlertUpdated)
		}

		if tenant := facts.Row.Tenant; tenant != "" && !strings.Contains(string(text), "`"+tenant+"`") {
			t.Errorf("docs/contract.md: %s, the tenant that a row of %s names, is missing", tenant, api)
		}

		for _, name := range names {
			if !strings.Contains(lines[string(api)], "`"+name+"`") {
				t.Errorf("docs/contract.md: %s is missing in the identity or version of %s", name, api)
			}
		}
	}
}
