package instance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluent-bit-defender/internal/config"
)

func TestTheInputWarnsOfWhatFluentBitLoses(t *testing.T) {
	const (
		service = "[SERVICE]\n    storage.path x\n"
		section = "[INPUT]\n    Name defender\n    Tag defender.one\n    Threaded Off\n    tenant_id one.example\n"
		stored  = "    storage.type filesystem\n"
		output  = "[OUTPUT]\n    Name stdout\n    Match *\n"
	)

	for name, c := range map[string]struct {
		text string
		// says is in the only warning; none where it is empty.
		says string
	}{
		"nothing":         {service + section + stored + output, ""},
		"no storage.type": {service + section + output, "storage.type: is memory"},
		"memrb":           {service + section + "    storage.type memrb\n" + output, "drops the oldest records"},
		"inherited": {service + "    storage.type filesystem\n    storage.inherit on\n" + section + output,
			""},
		"not inherited": {service + "    storage.type filesystem\n" + section + output, "storage.type: is memory"},
		"routable off": {service + section + stored + "    Routable Off\n" + output,
			"throws every record of this input away"},
		"routable twice": {service + section + stored + "    Routable Off\n    Routable On\n" + output, ""},
		"no output":      {service + section + stored, "no output takes the tag \"defender.one\""},
		"other output": {service + section + stored + "[OUTPUT]\n    Name stdout\n    Match other\n",
			"no output takes the tag"},
		"match twice": {service + section + stored + output + "    Match other\n", "no output takes the tag"},
		"throttle": {service + section + stored + "[FILTER]\n    Name throttle\n    Match *\n" + output,
			"throttle drops"},
		"another's throttle": {service + section + stored + "[FILTER]\n    Name throttle\n    Match other\n" + output,
			""},
		"another input": {service + strings.Replace(section, "one.example", "two.example", 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "fluent-bit.conf")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}

			keys := config.Map{"tenant_id": "one.example"}

			cfg := &config.Input{Tenants: []config.Tenant{{TenantID: "one.example"}}}
			for _, args := range [][]string{
				{"fluent-bit", "-c", path}, {"x", "-v", "--config", path}, {"x", "--config=" + path}, {"x",
					"-c" + path},
			} {
				got := hostWarnings(keys, cfg, args)
				if c.says == "" && len(got) != 0 ||
					c.says != "" && (len(got) != 1 || !strings.Contains(got[0], c.says)) {
					t.Errorf("%v: %q", args, got)
				}
			}
		})
	}
}

func TestAProcessorThatLosesIsWarnedOfAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fluent-bit.yaml")

	text := "pipeline:\n  inputs:\n    - name: defender\n      tag: t\n      storage.type: filesystem\n" +
		"      tenant_id: one.example\n      processors:\n        logs:\n          - name: content_modifier\n" +
		"            action: extract\n            key: x\n            pattern: y\n  outputs:\n    - name: stdout\n" +
		"      match: '*'\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	got := hostWarnings(
		config.Map{"tenant_id": "one.example"},
		&config.Input{Tenants: []config.Tenant{{}}},
		[]string{"x", "-c", path},
	)
	if len(got) != 1 ||
		!strings.Contains(got[0], "fluent-bit.yaml:9: processors: content_modifier with the action extract") {
		t.Errorf("%q", got)
	}
}

func TestAnUnreadableHostFileIsNoFault(t *testing.T) {
	for _, args := range [][]string{nil, {"x"}, {"x", "-c"}, {"x", "-c", "/nowhere"}} {
		if got := hostWarnings(config.Map{}, &config.Input{}, args); got != nil {
			t.Errorf("%v: %q", args, got)
		}
	}

	if args := commandLine(); len(args) == 0 || args[0] != os.Args[0] {
		t.Errorf("%q", args)
	}
}
