package instance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/store/sqlite"
	"fluent-bit-defender/internal/test/setup"
)

// rotating is a sign-in service that answers "rt-after-X" to X; before it answers it
// calls asked.
func rotating(t *testing.T, asked func(n int32)) string {
	t.Helper()

	var n atomic.Int32

	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() != nil {
			return
		}

		asked(n.Add(1))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w,
			`{"token_type":"Bearer","expires_in":3600,"access_token":"at","refresh_token":"rt-after-%s"}`,
			r.PostForm.Get("refresh_token"))
	}))
	t.Cleanup(s.Close)

	return s.URL
}

// wait waits for what will happen, for as long as only a hopeless wait takes.
func wait(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()

	select {
	case <-done:
	case <-time.After(setup.LongWait):
		t.Error("hopeless wait for " + what)
	}
}

func refreshTokens(t *testing.T, data string) (list []string) {
	t.Helper()

	s, err := sqlite.Open(sqlite.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	records, err := s.Tokens().List(context.Background())
	if err != nil {
		t.Fatal(err)
	}

	for _, r := range records {
		list = append(list, r.Chain.Refresh.Reveal())
	}

	return list
}

func TestARotationOnItsWayAtExitIsKept(t *testing.T) {
	sim, customers := simulated(t, 1, 1)
	keys := section(sim, customers[0], filepath.Join(t.TempDir(), "state"))
	p, h := NewProcess(), &fakeHost{keys: keys}
	p.exitTime = 50 * time.Millisecond
	p.redeemTime = time.Minute // a crowded machine
	asked := make(chan struct{})
	released := make(chan struct{})
	keys["login_url"] = rotating(t, func(int32) {
		close(asked)
		wait(t, "the end of the input", released)
	})

	handle, ok := p.Open(h, pipeline, false)
	if !ok {
		t.Fatal(h.log())
	}

	p.Collect(handle)
	wait(t, "the redemption", asked)

	go func() { // the service answers when Exit would have ended without it
		for {
			p.shared.mu.Lock()
			n := len(p.shared.live)
			p.shared.mu.Unlock()

			if n == 0 {
				<-time.After(3 * endTime)
				close(released)

				return
			}

			<-time.After(time.Millisecond)
		}
	}()

	p.Exit(pipeline.ID)

	if got := refreshTokens(t, keys["data_dir"]); len(got) != 1 || !strings.HasPrefix(got[0], "rt-after-") {
		t.Errorf("in the store: %d tokens, the rotated one is lost", len(got))
	}

	if len(p.shared.dirs) != 0 {
		t.Error("the data directory is still open")
	}
}

func TestAReloadDuringARedemptionJoinsItsStore(t *testing.T) {
	sim, customers := simulated(t, 1, 1)
	keys := section(sim, customers[0], filepath.Join(t.TempDir(), "state"))
	asked, answer, overlap := make(chan struct{}), make(chan struct{}), atomic.Int32{}
	keys["login_url"] = rotating(t, func(n int32) {
		if n == 1 {
			close(asked)
			wait(t, "the new input", answer)

			return
		}

		select {
		case <-answer:
		default:
			overlap.Add(1) // the first redemption has no answer yet
		}
	})
	p := NewProcess()
	p.exitTime, p.redeemTime = 10*time.Millisecond, 20*time.Millisecond
	old := &fakeHost{keys: keys}

	handle, ok := p.Open(old, pipeline, false)
	if !ok {
		t.Fatal(old.log())
	}

	p.Collect(handle)
	wait(t, "the redemption", asked)
	p.Exit(pipeline.ID)

	h := &fakeHost{keys: keys}

	handle, ok = p.Open(h, pipeline, false)
	if !ok {
		t.Fatal(h.log())
	}

	p.Collect(handle)

	if n := len(p.shared.dirs); n != 1 {
		t.Errorf("one directory is open %d times", n)
	}

	close(answer)
	until(
		t,
		p,
		func() bool { return !p.get(handle).set.dir.keeper.Busy() && p.shared.inputsOf(keys["data_dir"]) == 1 },
		handle,
	)
	p.Exit(pipeline.ID)

	if overlap.Load() != 0 {
		t.Error("two redemptions of one chain at the same moment")
	}

	if got := refreshTokens(t, keys["data_dir"]); len(got) != 1 || !strings.HasPrefix(got[0], "rt-after-") {
		t.Errorf("in the store: %d tokens, the rotated one is lost", len(got))
	}
}

// inputsOf returns how many inputs have not left a directory.
func (r *resources) inputsOf(dir string) int {
	r.mu.Lock()
	defer r.mu.Unlock()

	if d := r.dirAt(dir, &config.Input{}); d != nil {
		return d.inputs
	}

	return 0
}

func TestADirectoryWithTwoNamesIsOpenedOnce(t *testing.T) {
	dir := t.TempDir()

	target, link := filepath.Join(dir, "state"), filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}

	sim, customers := simulated(t, 2, 1)
	p := NewProcess()

	for i, name := range []string{target, link} {
		h := &fakeHost{keys: section(sim, customers[i], name)}
		if _, ok := p.Open(h, pipeline, false); !ok {
			t.Fatal(h.log())
		}
	}

	if n := len(p.shared.dirs); n != 1 || p.shared.inputsOf(link) != 2 {
		t.Errorf("%d directories, %d inputs in the first", n, p.shared.inputsOf(link))
	}

	p.Exit(pipeline.ID)

	if len(p.shared.dirs) != 0 {
		t.Error("the directory is still open")
	}
}

func TestASilentSignInServiceHoldsNobodyElseUp(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer silent.Close()
	defer silent.CloseClientConnections()

	sim, customers := simulated(t, 2, 10)
	dir := t.TempDir()
	file := filepath.Join(dir, "tenants.yaml")

	text := fmt.Sprintf(
		"defaults: {api: siem, api_url: %q, poll_interval: 1s, lookback: 2d, http_timeout: 1s}\ntenants:\n",
		sim.APIURL("siem"),
	)
	for i, login := range []string{silent.URL, sim.LoginURL()} {
		a := customers[i].Apps[0]
		text += fmt.Sprintf(
			"  - {tenant_id: %q, client_id: %q, client_secret: %q, grant: client_credentials, login_url: %q}\n",
			customers[i].ID,
			a.ClientID,
			a.Secret,
			login,
		)
	}

	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	p := NewProcess()
	h := &fakeHost{
		keys: config.Map{"tenants_file": file, "data_dir": filepath.Join(dir, "state"), "max_concurrency": "1"},
	}

	handle, ok := p.Open(h, pipeline, false)
	if !ok {
		t.Fatal(h.log())
	}

	until(t, p, func() bool {
		for key, s := range p.get(handle).input.Statuses() {
			if string(key.TenantID) == customers[0].ID &&
				(s.Errors == 0 || !strings.Contains(s.Message, "sent nothing for 1s")) {
				return false
			}
		}

		return h.count() > 0
	}, handle)
	p.Exit(pipeline.ID)
}
