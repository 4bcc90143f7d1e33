package grant_test

import (
	"testing"

	"fluent-bit-defender/internal/grant"
)

func TestEveryNameIsReadAndNothingElse(t *testing.T) {
	for _, name := range grant.Names() {
		if g, err := grant.Parse(name); string(g) != name || err != nil {
			t.Errorf("%s: %q, %v", name, g, err)
		}
	}

	if g, err := grant.Parse(""); g != grant.Auto || err != nil {
		t.Errorf("no name: %q, %v", g, err)
	}

	for _, name := range []string{"AUTO", "password", " auto"} {
		if g, err := grant.Parse(name); err == nil {
			t.Errorf("%q is read as %q", name, g)
		}
	}
}
