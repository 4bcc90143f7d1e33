package flbhost

import (
	"errors"
	"testing"
)

func TestKeysOfFluentBitNeverReachThePlugin(t *testing.T) {
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"SET": "value"}[name]
		return v, ok
	}
	props, level, err := visible(
		Props(
			"Name", "x",
			"Tag", "t",
			"log_level", "debug",
			"host", "h",
			"tls", "off",
			"tls.ca_file", "f",
			"rate_gate.x", "1",
			"Storage.Type", "filesystem",
			"tenant_id", "${SET}",
			"b", "${UNSET:-default}",
			"c", "x${UNSET}y",
		),
		env,
	)
	must(t, err)

	want := Props("tenant_id", "value", "b", "default", "c", "xy")
	if len(props) != len(want) || level != "4" {
		t.Fatalf("%v, level %s", props, level)
	}

	for i := range want {
		if props[i] != want[i] {
			t.Errorf("%v, want %v", props[i], want[i])
		}
	}
}

func TestSectionsThatFluentBitDoesNotStartWithAreRefused(t *testing.T) {
	for key, want := range map[string]error{
		"net.keepalive": ErrCrashes,
		"OAuth2.enable": ErrUnknownProperty,
		"tls":           ErrNoTLS,
	} {
		_, err := Start(
			t.Context(),
			Config{StorageDir: t.TempDir(), Instances: []Instance{{Props: Props(key, "on")}}},
		)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
