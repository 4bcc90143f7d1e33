package netfault_test

import (
	"net/url"
	"testing"

	"fluent-bit-defender/internal/netfault"
)

func TestTheSchemesOwnPortIsTheSameServer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"https://api.example", "https://API.example:443", true}, {"http://localhost:80", "http://localhost", true},
		{"https://[::1]", "https://[::1]:443", true},
		{"https://api.example:8443", "https://api.example:8443", true},
		{"https://api.example:444", "https://api.example", false},
		{"https://api.example:80", "https://api.example", false},
		{"https://evil.example", "https://api.example", false}, {"http://localhost:443", "http://localhost", false},
	} {
		a, errA := url.Parse(c.a)

		b, errB := url.Parse(c.b)
		if errA != nil || errB != nil || netfault.SameServer(a, b) != c.same || netfault.SameServer(b, a) != c.same {
			t.Errorf("%s and %s: not %v", c.a, c.b, c.same)
		}
	}
}
