package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/testbed/simulator"
)

func doc(t *testing.T, name string) string {
	t.Helper()

	b, err := os.ReadFile(filepath.Join("../../../docs", name))
	if err != nil {
		t.Fatal(err)
	}

	return string(b)
}

// replacements are the rows of the tables that say what replaces an old setting: what
// is in the last column, marked as code.
func replacements(text string) (old map[string]string) {
	old = map[string]string{}
	in := false

	for _, row := range strings.Split(text, "\n") {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		switch {
		case !strings.HasPrefix(row, "|"):
			in = false
		case strings.TrimSpace(cells[len(cells)-1]) == "here":
			in = true
		case in && !strings.HasPrefix(row, "| ---"):
			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[0], -1) {
				old[m[1]] = cells[len(cells)-1]
			}
		}
	}

	return old
}

// TestEveryKeyOfTheOldFilesIsReplaced: the keys that the public pages on the old
// connectors name (and that `tokens import` reads) are in the tables, and what stands
// at the other side is a key of this input.
func TestEveryKeyOfTheOldFilesIsReplaced(t *testing.T) {
	notOurs := map[string]bool{
		"Event_Sourcetype":     true,
		"Event_Index":          true,
		"tokens import":        true,
		"dedup mssp.record_id": true,
	}

	for page, keys := range map[string]string{
		"arcsight.md": "client_ID client_secret auth_url token_url redirect_uri scope reauthenticate",
		"splunk.md": "endpoint oauth2_client_id oauth2_client_secret oauth2_refresh_token oauth2_access_token " +
			"oauth2_refresh_url oauth2_refresh_props auth_type oauth2_token_type http_method response_type " +
			"response_handler url_args polling_interval request_timeout backoff_time http_proxy https_proxy " +
			"sourcetype",
	} {
		old := replacements(doc(t, page))
		for _, key := range strings.Fields(keys) {
			here, ok := old[key]
			if !ok {
				t.Errorf("%s: %s is not in the table", page, key)
			}

			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(here, -1) {
				name, _, _ := strings.Cut(m[1], " ")
				if _, known := config.Lookup(name); !known && !notOurs[m[1]] && name != "defenderctl" &&
					!regexp.MustCompile(`^(eu|uk|us|wdatp-.*)$`).MatchString(m[1]) {
					t.Errorf("%s: %s is replaced by %s, which is not a key of the input", page, key, m[1])
				}
			}
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)`)

// TestLinksOfThePagesLeadSomewhere looks at links to files.
func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	for _, page := range []string{
		"../../../docs/splunk.md",
		"../../../docs/arcsight.md",
		"../../../docs/cef.md",
		"../../../examples/README.md",
	} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}

		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}

			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// TestCEFSentencesOnThePagesAreTrue checks numbers that are in prose.
func TestCEFSentencesOnThePagesAreTrue(t *testing.T) {
	page := strings.Join(strings.Fields(doc(t, "arcsight.md")), " ")

	o, ok := config.Lookup("cef_max_bytes")
	if !ok || o.Default != "8192" || !strings.Contains(page, "`cef_max_bytes` (8,192)") {
		t.Error("arcsight.md: cef_max_bytes")
	}

	for _, api := range simulator.APIs() {
		if product := productOf(api); !strings.Contains(page, "`"+product+"`") {
			t.Errorf("arcsight.md does not name the product %s of %s", product, api)
		}
	}
}
