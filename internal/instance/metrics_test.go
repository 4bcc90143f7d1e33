package instance

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluent-bit-defender/internal/test/setup"
)

func TestMetricsAskForTheTokenOfTheirFile(t *testing.T) {
	sim, customers := simulated(t, 1, 1)

	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("first\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	keys := section(sim, customers[0], filepath.Join(t.TempDir(), "state"))
	keys["metrics_listen"] = setup.FreeAddress(t)
	keys["metrics_token_file"] = token

	p := NewProcess()

	h := &fakeHost{keys: keys}
	if _, ok := p.Open(h, pipeline, false); !ok {
		t.Fatal(h.log())
	}
	defer p.Exit(pipeline.ID)

	status := func(token string) int {
		t.Helper()

		req, err := http.NewRequestWithContext(
			t.Context(),
			http.MethodGet,
			"http://"+keys["metrics_listen"]+"/metrics",
			nil,
		)
		if err != nil {
			t.Fatal(err)
		}

		req.Header.Set("Authorization", "Bearer "+token)

		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}

		res.Body.Close()

		return res.StatusCode
	}
	if got := []int{status(""), status("second"), status("first")}; got[0] != 401 || got[1] != 401 || got[2] != 200 {
		t.Errorf("no, wrong and right token: %v", got)
	}

	if err := os.WriteFile(token, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	if got := []int{status("first"), status("second")}; got[0] != 401 || got[1] != 200 {
		t.Errorf("old and new token: %v", got)
	}
}

func TestAnEnvironmentThatPrintsTokensIsSaidOnce(t *testing.T) {
	t.Setenv("GODEBUG", "http2debug=1")
	sim, customers := simulated(t, 1, 1)
	keys := section(sim, customers[0], filepath.Join(t.TempDir(), "state"))
	keys["metrics_listen"] = strings.TrimPrefix(sim.LoginURL(), "http://") // in use: nothing starts

	p := NewProcess()

	h := &fakeHost{keys: keys}
	for range 2 {
		if _, ok := p.Open(h, pipeline, false); ok {
			t.Fatal("it started")
		}
	}

	if n := strings.Count(h.log(), "GODEBUG: has"); n != 1 {
		t.Errorf("said %d times:\n%s", n, h.log())
	}
}
