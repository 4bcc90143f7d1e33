package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAProxyOfTheEnvironmentIsRefusedIfItIsNone: net/http would connect without it, in
// silence.
func TestAProxyOfTheEnvironmentIsRefusedIfItIsNone(t *testing.T) {
	for _, text := range []string{
		"http://[broken",
		"http//proxy.example:3128",
		"http://",
		"http://:3128",
		"proxy.example:port",
		"proxy.example:99999",
		"ftp://proxy.example",
		" http://user:Sup3r-Secret@proxy.example:3128",
		"http://user:Sup3r-Secret@proxy example:3128",
		"proxy.example:3128/path",
	} {
		for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
			_, _, err := FromPlugin(good(), env(name, text))
			if err == nil || !strings.Contains(err.Error(), name) ||
				!strings.Contains(err.Error(), "http://host:port") {
				t.Errorf("%s=%q: %v", name, text, err)
			}

			if err != nil && strings.Contains(err.Error(), "Sup3r") {
				t.Errorf("%s=%q is quoted: %v", name, text, err)
			}

			if _, _, err := FromPlugin(good("proxy", "http://proxy.example:3128"), env(name, text)); err != nil {
				t.Errorf("%s=%q, which `proxy` replaces: %v", name, text, err)
			}
		}
	}
}

// TestAProxyOfTheEnvironmentIsTakenAsNetHTTPTakesIt: with a scheme or without; of two
// the first.
func TestAProxyOfTheEnvironmentIsTakenAsNetHTTPTakesIt(t *testing.T) {
	for _, pairs := range [][]string{
		{"HTTPS_PROXY", ""},
		{"HTTPS_PROXY", "proxy.example"},
		{"HTTPS_PROXY", "proxy.example:3128"},
		{"HTTPS_PROXY", "http://user:p%40ss@proxy.example:3128/"},
		{"https_proxy", "socks5://[::1]:1080"},
		{"HTTPS_PROXY", "https://proxy.example", "https_proxy", "http://[broken"},
		{"HTTP_PROXY", "http://[broken"},
	} {
		must(t, good(), env(pairs...))
	}
}

// TestCertificatesThatAreNotReadAreToldAbout: the rest of the bundle is trusted.
func TestCertificatesThatAreNotReadAreToldAbout(t *testing.T) {
	dir := workshop(t)
	path := filepath.Join(dir, "cert.pem")

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	one := string(text)
	for bundle, unread := range map[string]int{
		one + "\xef\xbb\xbf" + one:                        0,
		"\xef\xbb\xbf" + one + "\r\n\xef\xbb\xbf" + one:   0,
		one + "  " + one:                                  1,
		one + strings.Replace(one, "-----END", "----", 1): 1,
	} {
		write(t, path, bundle)

		_, warnings, err := FromPlugin(good("ca_file", path), env())
		if err != nil {
			t.Fatal(err)
		}

		said := ""
		for _, w := range warnings {
			said += w.Problem + w.Remedy
		}

		if strings.Contains(said, "1 of 2 certificates") != (unread == 1) {
			t.Errorf("%d of two are not read: %q", unread, said)
		}

		if pem, err := ReadPEM(path); err != nil || strings.Contains(string(pem), "\ufeff") {
			t.Errorf("a byte order mark is left, %v", err)
		}
	}
}
