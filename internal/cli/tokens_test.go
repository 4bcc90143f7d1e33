package cli_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fluent-bit-defender/internal/testbed/simulator"
)

// network are the flags for commands that use a stored token.
func (w *world) network(api string) []string {
	return []string{"--api", api, "--api-url", w.APIURL(api), "--client-secret-file", w.secretFile()}
}

func TestRefreshSaysWhatTheServiceAnswers(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	r := w.expect(w.run(append([]string{"tokens", "refresh", "contoso"}, w.network("siem")...)...), 0)
	contains(t, r.out, "contoso ("+contoso+")", "https://graph.windows.net", "new refresh token is stored")
	noSecret(t, r)

	r = w.expect(w.run("tokens", "refresh", contoso, "--config", w.conf("siem"), "--json"), 0)
	if got := parse[map[string]any](t, r.out); got["rotated"] != true || got["tid"] != contoso ||
		got["expires"] == nil {
		t.Errorf("JSON: %v", got)
	}

	noSecret(t, r)
}

func TestADeadTokenNeedsASignInAgainAndIsSeenEverywhere(t *testing.T) {
	for _, code := range []int{50173, 700082, 70008, 70043, 50132, 50133, 50076} {
		w := newWorld(t)
		w.expect(w.run(w.acquire("siem")...), 0)
		w.RevokeRefreshTokens(contoso, code)
		r := w.expect(w.run("tokens", "refresh", "contoso", "--config", w.conf("siem")), 3)
		contains(t, r.err, "AADSTS", "defenderctl tokens acquire")
		r = w.expect(w.run("check", w.conf("siem")), 3)
		contains(t, r.out, "contoso", "refused")

		if code == 50076 { // lives on when the person has done what is asked
			continue
		}

		r = w.expect(w.run("tokens", "list"), 0)
		contains(t, r.out, "dead AADSTS")
		noSecret(t, r)
		w.expect(w.run(w.acquire("siem")...), 0)
		w.expect(w.run("check", w.conf("siem")), 0)
	}
}

func TestACredentialIsSeenToEndFromFourteenDaysOn(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		state string
		code  int
	}{
		"75 days": {75 * 24 * time.Hour, "ok", 0},
		"77 days": {77 * 24 * time.Hour, "ends in 13 days", 1},
		"91 days": {91 * 24 * time.Hour, "ended", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(
				t,
				func(c *simulator.Config) { c.OmitRefresh = true },
			) // the service returns no successor: the token ages
			w.expect(w.run(w.acquire("siem")...), 0)
			conf := w.conf("siem")
			w.now = func() time.Time { return time.Now().Add(c.after) }
			r := w.expect(w.run("tokens", "list"), 0)
			contains(t, r.out, c.state)

			got := parse[[]map[string]any](t, w.expect(w.run("tokens", "list", "--json"), 0).out)
			if got[0]["state"] != c.state {
				t.Errorf("state %v, want %s", got[0]["state"], c.state)
			}

			w.expect(w.run("check", conf), c.code)
		})
	}
}

func TestACertificateThatEndsSoonIsAWarning(t *testing.T) {
	for name, c := range map[string]struct {
		life time.Duration
		code int
	}{"30 days": {30 * 24 * time.Hour, 0}, "5 days": {5 * 24 * time.Hour, 1}} {
		t.Run(name, func(t *testing.T) {
			cert, pem := certificate(t, c.life)
			w := newWorld(t, func(s *simulator.Config) {
				s.Tenants[0].Apps[0].Certificates = []*x509.Certificate{cert}
			})
			conf := w.file(
				"cert.conf",
				strings.Replace(
					string(must(os.ReadFile(w.conf("graph")))),
					"client_secret_file "+w.secretFile(),
					"client_certificate_file "+w.file("cert.pem", pem)+"\n    grant client_credentials",
					1,
				),
			)

			r := w.expect(w.run("check", conf), c.code)
			if c.code != 0 {
				contains(t, r.out, "the client certificate ends in 5 days")
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}

	return v
}

func certificate(t *testing.T, life time.Duration) (*x509.Certificate, string) {
	t.Helper()

	key := must(newKey())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "mssp"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(life + time.Minute),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(
		text,
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})...)

	return must(x509.ParseCertificate(der)), string(text)
}

func TestANameMayBeTheIdAndAnAmbiguousOneGivesTheList(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)

	args := w.acquire("siem")
	for i := range args {
		if args[i] == contoso {
			args[i] = fabrikam // under the same name
		}
	}

	w.expect(w.run(args...), 0)

	for _, cmd := range [][]string{
		{"tokens", "refresh", "contoso"}, {"tokens", "remove", "CONTOSO"}, {"pull", "contoso"},
	} {
		r := w.expect(w.run(cmd...), 2)
		contains(t, r.err, "ambiguous", contoso, fabrikam)
	}

	for _, cmd := range [][]string{{"tokens", "refresh", "nobody"}, {"tokens", "remove", "nobody"}, {"pull", "nobody"},
		{"rewind", "nobody", "--since", "1h"}} {
		contains(t, w.expect(w.run(cmd...), 2).err, `no tenant "nobody"`)
	}

	w.expect(w.run("tokens", "remove", strings.ToUpper(fabrikam), "--yes"), 0)
	w.expect(w.run("tokens", "remove", "contoso", "--yes"), 0)

	if out := w.run("tokens", "list", "--json").out; strings.TrimSpace(out) != "[]" {
		t.Errorf("left: %s", out)
	}
}

func TestRekeyEncryptsAndChangesTheKey(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	a, b := w.key("a"), w.key("b")
	w.expect(w.run("tokens", "rekey"), 2)
	contains(t, w.expect(w.run("tokens", "rekey", "--key-file", a), 0).out, "1 encrypted", "key_file "+a)
	w.expect(w.run("tokens", "rekey", "--key-file", a, "--new-key-file", b), 0)

	refresh := append([]string{"tokens", "refresh", "contoso"}, w.network("siem")...)
	if r := w.run(append(refresh, "--key-file", a)...); r.code == 0 {
		t.Error("the old key still works")
	}

	if r := w.run(refresh...); r.code == 0 {
		t.Error("no key works")
	}

	list := w.expect(w.run("tokens", "list"), 0).out
	contains(t, list, "encrypted")

	if strings.Contains(list, "another key") {
		t.Errorf("no key was given, but it says:\n%s", list)
	}

	w.expect(w.run(append(refresh, "--key-file", b)...), 0)

	for _, name := range []string{"tokens.db", "tokens.db.bak"} {
		if data := must(os.ReadFile(filepath.Join(w.dir, name))); strings.Contains(string(data), "0.A") {
			t.Errorf("%s holds a plain token", name)
		}
	}

	w.expect(w.run("tokens", "rekey", "--key-file", b, "--decrypt"), 0)
	w.expect(w.run(refresh...), 0)
	w.expect(w.run("--data-dir", filepath.Join(w.dir, "none"), "tokens", "rekey", "--key-file", a), 1)
}

func TestTablesFitTheTerminal(t *testing.T) {
	w := newWorld(t)

	args := w.acquire("siem")
	for i := range args {
		if args[i] == "contoso" {
			args[i] = "a customer with quite a long name 株式会社コントソ"
		}
	}

	w.expect(w.run(args...), 0)
	w.expect(w.run("check", w.conf("siem", "tenant_name another customer with quite a long name")), 1)
	// The ids of the list stay whole, for they are there to be copied, and so does the
	// state.
	w.RevokeRefreshTokens(contoso, 700082)
	w.run("tokens", "refresh", contoso, "--config", w.conf("siem"))
	contains(t, w.onScreen(132, "tokens", "list").out, contoso, "dead AADSTS700082")

	path := filepath.Dir(w.dir) // paths are not cut, and this one may be of any length
	for _, cmd := range [][]string{{"check", "--explain"}, {"status"}, {"check", w.conf("siem")}} {
		for line := range strings.Lines(w.onScreen(100, cmd...).out) {
			line = strings.ReplaceAll(line, path, "")
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 && !strings.Contains(line, "://") {
				t.Errorf("%v prints %d columns: %s", cmd, n, line)
			}
		}
	}
}

func TestListingMakesNothing(t *testing.T) {
	w := newWorld(t)

	for _, cmd := range [][]string{{"tokens", "list"}, {"status"}} {
		contains(t, w.expect(w.run(cmd...), 1).err, w.dir, "--data-dir")

		r := w.expect(w.run(append(cmd, "--json")...), 1)
		if r.out != "[]\n" {
			t.Errorf("%v --json prints %q", cmd, r.out)
		}
	}

	if _, err := os.Stat(w.dir); err == nil {
		t.Error("the data directory was made")
	}
}

func newKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }
