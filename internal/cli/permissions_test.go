package cli

import "testing"

func TestPermissionsOfAnUnreadableTokenAreUnknown(t *testing.T) {
	for _, c := range []struct {
		audience      string
		scopes, roles []string
		want          string
	}{
		{"", nil, nil, "unknown"},
		{"https://graph.microsoft.com", nil, nil, "none"},
		{"https://graph.microsoft.com", []string{"A"}, []string{"B"}, "A, B"},
	} {
		if got := granted(c.audience, c.scopes, c.roles); got != c.want {
			t.Errorf("%q %v %v: %q, want %q", c.audience, c.scopes, c.roles, got, c.want)
		}
	}
}
