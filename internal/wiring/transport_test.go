package wiring

import (
	"net/http"
	"testing"
)

// TestPlainHTTPNeverGoesThroughAProxy: it leads to this machine only, and a proxy could
// read the secret or the token.
func TestPlainHTTPNeverGoesThroughAProxy(t *testing.T) {
	tr, err := newTransport("http://proxy.example:3128", nil)
	if err != nil {
		t.Fatal(err)
	}

	for address, want := range map[string]string{
		"http://127.0.0.1:18500/token":           "",
		"http://127.9.9.9/token":                 "",
		"http://localhost/alerts":                "",
		"http://[::1]:80/alerts":                 "",
		"https://login.microsoftonline.com/x":    "http://proxy.example:3128",
		"https://graph.microsoft.com/v1.0/alert": "http://proxy.example:3128",
	} {
		req, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}

		u, err := tr.Proxy(req)

		got := ""
		if u != nil {
			got = u.String()
		}

		if err != nil || got != want {
			t.Errorf("%s goes through %q, not %q; %v", address, got, want, err)
		}
	}
}
