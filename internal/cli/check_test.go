package cli_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/testbed/simulator"
)

// many writes a tenants file with n tenants whose sign-in service is at login.
func (w *world) many(n int, login string) string {
	text := fmt.Sprintf(
		"defaults:\n  client_id: %s\n  client_secret_file: %s\n  login_url: %s\n  api_url: %s\ntenants:\n",
		client,
		w.secretFile(),
		login,
		w.APIURL("graph"),
	)
	for i := range n {
		text += fmt.Sprintf("  - tenant_id: customer%d.example\n    tenant_name: customer%d\n", i, i)
	}

	return w.file("many.yaml", text)
}

func TestAnInterruptedCheckPrintsWhatItKnowsAndCallsNobodyRefused(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		t.Run(fmt.Sprint("json ", asJSON), func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := context.WithCancel(t.Context())

			login := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body) // else nobody looks whether the connection has ended
				cancel()
				<-r.Context().Done() // no answer comes
			}))
			defer login.Close()

			args := []string{"check", w.many(30, login.URL)}
			if asJSON {
				args = append(args, "--json")
			}

			r := w.expect(w.with(ctx, "", args...), 130)
			contains(t, r.err, "interrupted")

			if strings.Contains(r.out, "refused") || strings.Contains(r.out, "failed") {
				t.Errorf("tenants that were never asked are reported as refused:\n%s", r.out)
			}

			contains(t, r.out, "customer0", "customer29")

			if asJSON {
				got := parse[map[string]any](t, r.out)
				if list := got["tenants"].([]any); len(list) != 30 || got["exit_code"] != 130.0 {
					t.Errorf("%d tenants, exit code %v", len(list), got["exit_code"])
				}
			}
		})
	}
}

func TestACertificateThatEndsIsAFindingAboutTheFiles(t *testing.T) {
	cert, pem := certificate(t, 5*24*time.Hour)
	w := newWorld(t, func(s *simulator.Config) { s.Tenants[0].Apps[0].Certificates = []*x509.Certificate{cert} })
	path := w.file("cert.pem", pem)
	text := string(must(os.ReadFile(w.conf("graph"))))

	conf := w.file(
		"cert.conf",
		strings.Replace(
			text,
			"client_secret_file "+w.secretFile(),
			"client_certificate_file "+path+"\n    grant client_credentials",
			1,
		),
	)
	for _, args := range [][]string{{"check", conf}, {"check", "--offline", conf}} {
		r := w.expect(w.run(args...), 1)
		contains(t, r.out, "1 warning", "the client certificate ends in 5 days", "cert.conf:")

		if n := strings.Count(r.out, "ends in 5 days"); n != 1 {
			t.Errorf("said %d times:\n%s", n, r.out)
		}

		found := parse[map[string]any](t, w.expect(w.run(append(args, "--json")...), 1).out)["findings"].([]any)
		if len(found) != 1 || found[0].(map[string]any)["key"] != "client_certificate_file" {
			t.Errorf("findings: %v", found)
		}
	}
}

func TestASecretThatEndsIsAFindingAboutTheFiles(t *testing.T) {
	w := newWorld(t)
	text := string(must(os.ReadFile(w.conf("graph"))))
	secret := "client_secret_file " + w.secretFile()

	for name, c := range map[string]struct {
		in   time.Duration
		code int
		says string
	}{
		"later": {20 * 24 * time.Hour, 0, ""},
		"soon":  {5*24*time.Hour + 12*time.Hour, 1, "1 warning"},
		"ended": {-24 * time.Hour, 1, "1 error"},
	} {
		day := time.Now().UTC().Add(c.in).Format(time.DateOnly)
		conf := w.file(name+".conf", strings.Replace(text, secret, secret+"\n    client_secret_expires "+day, 1))

		r := w.run("check", "--offline", conf)
		if r.code != c.code || !strings.Contains(r.out, c.says) ||
			(c.code != 0) != strings.Contains(r.out, "the client secret end") {
			t.Errorf("%s: %d\n%s", name, r.code, r.out)
		}
	}
}

func TestAProblemAndItsRemedyAreToldOnce(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	w.RevokeRefreshTokens(contoso, 50173)
	conf := w.conf("siem")
	once := func(what, text string) {
		t.Helper()

		if n := strings.Count(text, "defenderctl tokens acquire"); n != 1 {
			t.Errorf("%s names the command %d times:\n%s", what, n, text)
		}
	}
	r := w.expect(w.run("check", conf), 3)
	once("check", r.out)
	// An input writes the error's whole text, remedy included, as its message.
	_, problem, _ := strings.Cut(r.out, "contoso siem: ")
	problem = strings.Join(strings.Fields(problem), " ")
	_, remedy, _ := strings.Cut(problem, "; ")
	remedy, _, _ = strings.Cut(remedy, " (AADSTS")
	s, keys := w.polled("siem")
	w.report(s, keys[0], store.Status{State: "failing", Trouble: health.Trouble{
		Reason:  advice.TokenDead,
		Message: problem,
		Remedy:  remedy,
	}})
	once("status", w.expect(w.run("status"), 0).out)
}

func TestAnInterruptedRedemptionSaysWhatItWaitsFor(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())

	var silent atomic.Bool

	w.login = w.proxy(t, func(r *http.Request) {
		if silent.Load() {
			io.Copy(io.Discard, r.Body) // else nobody looks whether the connection has ended
			cancel()
			<-r.Context().Done()
		}
	}, nil)
	w.expect(w.run(w.acquire("siem")...), 0)
	silent.Store(true)

	r := w.expect(w.with(ctx, "", append([]string{"tokens", "refresh", "contoso"}, w.network("siem")...)...), 130)
	contains(t, r.err, "an answer that is on its way is awaited", "interrupted")
}
