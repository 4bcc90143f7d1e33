package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// stanzas reads a configuration of Splunk: keys and values by the stanza.
func stanzas(t *testing.T, name string) map[string]map[string]string {
	t.Helper()

	all, stanza := map[string]map[string]string{}, ""

	for _, line := range strings.Split(content(t, filepath.Join("splunk-cim", "default", name)), "\n") {
		key, value, pair := strings.Cut(line, " = ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			stanza = strings.Trim(line, "[]")
			all[stanza] = map[string]string{}
		case pair && stanza != "" && all[stanza][key] == "":
			all[stanza][key] = value
		default:
			t.Errorf("%s: %q", name, line)
		}
	}

	return all
}

// TestTheFieldsForSplunkAreThoseOfTheAPI: each field that the app gives another name is
// one that the API sends, and the fields of the data model are there.
func TestTheFieldsForSplunkAreThoseOfTheAPI(t *testing.T) {
	for sourcetype, api := range map[string]string{
		"ms365:defender:incident:alerts": "graph",
		"ms:defender:atp:alerts":         "endpoint",
	} {
		row, err := os.ReadFile(filepath.Join("../../../testdata/simulator", api+".json"))
		if err != nil {
			t.Fatal(err)
		}

		made := map[string]bool{}

		for key, value := range stanzas(t, "props.conf")[sourcetype] {
			field, name := value, strings.TrimPrefix(key, "EVAL-")
			if source, alias, found := strings.Cut(value, " ASNEW "); found {
				field, name = source, alias
			}

			made[name] = true

			if m := regexp.MustCompile(`^lower\((\w+)\)$`).FindStringSubmatch(field); m != nil {
				field = m[1]
			}

			path := strings.TrimSuffix(strings.ReplaceAll(field, "{}", ".#"), ".#")
			switch {
			case strings.HasPrefix(field, `"`), field == "mssp.tenant", !strings.Contains(key, "-"):
			case !gjson.GetBytes(row, path).Exists() || gjson.GetBytes(row, path).Raw == "[]":
				t.Errorf("%s: %s does not send %s", key, api, field)
			}
		}

		for _, name := range strings.Fields("app dest signature signature_id severity src type user " +
			"mitre_technique_id") {
			if !made[name] {
				t.Errorf("%s: the data model Alerts has %s", sourcetype, name)
			}
		}
	}

	if stanzas(t, "tags.conf")["eventtype=defender_alert"]["alert"] != "enabled" ||
		stanzas(t, "eventtypes.conf")["defender_alert"]["search"] == "" {
		t.Error("nothing has the tag alert")
	}
}
