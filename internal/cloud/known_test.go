package cloud

import "testing"

func TestKnownLogin(t *testing.T) {
	for address, want := range map[string]bool{
		"https://login.microsoftonline.com":               true,
		"https://LOGIN.microsoftonline.us":                true,
		"https://login.windows.net":                       true,
		"http://127.0.0.1:8080":                           true,
		"http://localhost":                                true,
		"https://login.microsoftonline.com:8443":          false,
		"https://login.microsoftonline.com.evil.example":  false,
		"https://login.rnicrosoftonline.com":              false,
		"https://login.microsoftonline.com@evil.example/": false,
		"":        false,
		"https:/": false,
	} {
		if got := KnownLogin(address); got != want {
			t.Errorf("%q is known: %v", address, got)
		}
	}
}
