package lint_test

import (
	"path/filepath"
	"strings"
	"testing"

	"fluent-bit-defender/internal/cli/lint"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
)

// TestOutputsAreHeldAgainstTagsOfDiscoveredTenants: the tag of a customer that is not
// known yet is that of discover.defaults.
func TestOutputsAreHeldAgainstTagsOfDiscoveredTenants(t *testing.T) {
	for match, want := range map[string]string{
		"defender.*": "",
		"other.*":    "reaches no output",
	} {
		dir := t.TempDir()
		tenants := filepath.Join(dir, "tenants.yaml")
		conf := filepath.Join(dir, "fluent-bit.conf")

		write(t, tenants, "discover:\n  from: gdap\n  defaults:\n    tag: defender.{tenant_name}\n", 0o600)
		write(t, conf, "[SERVICE]\n    storage.path "+dir+
			"\n    storage.checksum off\n[INPUT]\n    Name defender\n    Tag defender.none\n"+
			"    Threaded Off\n    storage.type filesystem\n    home_tenant_id 99999999-8888-4777-8666-555555555551\n"+
			"    client_id 11111111-2222-4333-8444-555555555555\n"+
			"    client_secret x~yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n    tenants_file "+tenants+"\n    data_dir "+dir+
			"\n[OUTPUT]\n    Name stdout\n    Match "+match+"\n    Retry_Limit no_limits\n", 0o600)

		none := func(string) (string, bool) { return "", false }

		file, err := fluentbit.Load(conf, none)
		if err != nil {
			t.Fatal(err)
		}

		var found []string

		for _, f := range lint.Config(file, config.Sources{Env: none}).Findings {
			if f.Key == "Match" || f.Key == "Tag" || f.Key == "tag" || f.Key == "" {
				found = append(found, f.String())
			}
		}

		all := strings.Join(found, "\n")
		if want == "" && all != "" || want != "" && !strings.Contains(all, want) {
			t.Errorf("Match %s: %s", match, all)
		}
	}
}
