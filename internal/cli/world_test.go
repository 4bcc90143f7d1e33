package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/cli"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
)

const (
	contoso   = "99999999-8888-4777-8666-555555555551"
	fabrikam  = "99999999-8888-4777-8666-555555555552"
	client    = "11111111-2222-4333-8444-555555555555"
	public    = "11111111-2222-4333-8444-666666666666"
	appSecret = "s3cret~with+odd/chars=%"
	seedToken = "0.seed-token-that-nobody-may-see"
	redirect  = "https://mssp.example/SiemMsspConnector"
)

// world is a simulated Microsoft with a machine that has an empty data directory.
type world struct {
	*simulator.Simulator
	t   *testing.T
	dir string
	// place are the flags that say where the store is, in place of --data-dir.
	place []string
	now   func() time.Time
	env   map[string]string
	// browser is what the command's browser does; by default it signs in and follows
	// every redirect.
	browser  func(address string) error
	browsers sync.WaitGroup // that are still open
	closing  page
	// hide are texts that block replaces, each followed by what stands for it.
	hide []string
	// login is a proxy before the sign-in service.
	login string
	// slept is how long commands have slept in all: their clock goes forward instead.
	slept atomic.Int64
}

// page is what the browser showed last.
type page struct {
	sync.Mutex
	status int
	text   string
}

// newWorld has contoso, whose application is on the MSSP tab unless changed, and
// fabrikam beside it.
func newWorld(t *testing.T, change ...func(*simulator.Config)) *world {
	t.Helper()

	app := simulator.App{
		ClientID:      client,
		Secret:        appSecret,
		RefreshTokens: []string{seedToken},
		RedirectURIs:  []string{"http://localhost", redirect},
	}
	other := app
	other.RefreshTokens = []string{seedToken + "-2"}

	cfg := simulator.Config{Seed: 1, AutoConsent: true, Tenants: []simulator.Tenant{
		{
			ID:             contoso,
			Domain:         "contoso.example",
			Name:           "contoso",
			MSSPAuthorised: true,
			Generated:      12,
			Apps: []simulator.App{app,
				{ClientID: public, Public: true, RedirectURIs: []string{"http://localhost"}}},
		},
		{
			ID:             fabrikam,
			Domain:         "fabrikam.example",
			Name:           "fabrikam",
			MSSPAuthorised: true,
			Generated:      3,
			Apps:           []simulator.App{other},
		},
	}}
	for _, f := range change {
		f(&cfg)
	}

	w := &world{
		Simulator: setup.Simulator(t, cfg),
		t:         t,
		dir:       filepath.Join(t.TempDir(), "data"),
		now:       time.Now,
		env:       map[string]string{},
	}
	w.browser = func(address string) error {
		w.browsers.Go(func() { w.visit(address) })
		return nil
	}

	return w
}

// visit opens an address as a browser with AutoConsent does.
func (w *world) visit(address string) {
	res, err := http.Get(address)
	if err != nil {
		return
	}
	defer res.Body.Close()

	text, _ := io.ReadAll(res.Body)

	w.closing.Lock()
	defer w.closing.Unlock()

	w.closing.status, w.closing.text = res.StatusCode, string(text)
}

// shown waits until every browser has its last page and returns what that was: the
// command may end before the browser has read it.
func (w *world) shown() (status int, text string) {
	w.browsers.Wait()
	w.closing.Lock()
	defer w.closing.Unlock()

	return w.closing.status, w.closing.text
}

// result is what a command left behind.
type result struct {
	code     int
	out, err string
}

// lockedBuffer may be read while a command writes to it.
type lockedBuffer struct {
	sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.Lock()
	defer b.Unlock()

	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.Lock()
	defer b.Unlock()

	return b.Buffer.String()
}

// run runs the command with this world's data directory; stdin is empty.
func (w *world) run(args ...string) result { return w.with(w.t.Context(), "", args...) }

// with runs the command with an input and a context.
func (w *world) with(ctx context.Context, stdin string, args ...string) result {
	var out, errs lockedBuffer

	code := w.start(ctx, strings.NewReader(stdin), &out, &errs, args...)

	return result{code, out.String(), errs.String()}
}

func (w *world) start(ctx context.Context, in io.Reader, out, errs io.Writer, args ...string) int {
	env := cli.Env{
		In:          in,
		Out:         out,
		Err:         errs,
		Now:         func() time.Time { return w.now().Add(time.Duration(w.slept.Load())) },
		Sleep:       w.sleep,
		OpenBrowser: w.browser,
		LookupEnv:   func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
	}
	switch {
	case len(w.place) > 0:
		args = append(slices.Clip(w.place), args...)
	case !strings.Contains(strings.Join(args, " "), "--data-dir"):
		args = append([]string{"--data-dir", w.dir}, args...)
	}

	return cli.Run(ctx, env, args)
}

// sleep makes the clock of commands go forward.
func (w *world) sleep(ctx context.Context, d time.Duration) error {
	w.slept.Add(int64(d))
	return ctx.Err()
}

// acquire are the arguments for a sign-in to contoso.
func (w *world) acquire(api string, more ...string) []string {
	return append(w.signIn(client, api, "--client-secret-file", w.secretFile()), more...)
}

// signIn are the arguments for a sign-in to contoso with any application and credential.
func (w *world) signIn(application, api string, credential ...string) []string {
	return slices.Concat(
		[]string{"tokens", "acquire", "--tenant-id", contoso, "--tenant-name", "contoso", "--client-id", application},
		credential,
		[]string{"--api", api, "--login-url", w.LoginURL(), "--api-url", w.APIURL(api)},
	)
}

// file writes a file of mode 0600 and returns its path.
func (w *world) file(name, text string) string {
	w.t.Helper()

	path := filepath.Join(filepath.Dir(w.dir), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}

	return path
}

func (w *world) secretFile() string { return w.file("app.secret", appSecret+"\n") }

// expect fails the test unless the command ended with code.
func (w *world) expect(r result, code int) result {
	w.t.Helper()

	if r.code != code {
		w.t.Fatalf("exit code %d; want %d\nstdout:\n%s\nstderr:\n%s", r.code, code, r.out, r.err)
	}

	return r
}

// contains fails the test unless all texts are in s. Line breaks of wrapped messages do
// not count.
func contains(t *testing.T, s string, texts ...string) {
	t.Helper()

	flat := regexp.MustCompile(`\s+`).ReplaceAllString(s, " ")
	for _, text := range texts {
		if !strings.Contains(flat, text) {
			t.Errorf("%q is not in:\n%s", text, s)
		}
	}
}

// parse reads JSON that a command printed.
func parse[T any](t *testing.T, text string) T {
	t.Helper()

	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}

	return v
}

// noSecret fails the test if one of the things nobody may see is in the results.
func noSecret(t *testing.T, results ...result) {
	t.Helper()

	jwt := regexp.MustCompile(`eyJ[\w-]{10,}\.[\w-]+\.`)

	for _, r := range results {
		for name, text := range map[string]string{"stdout": r.out, "stderr": r.err} {
			for _, s := range []string{appSecret, seedToken, "0.A"} {
				if strings.Contains(text, s) {
					t.Errorf("%q is in %s:\n%s", s, name, text)
				}
			}

			if m := jwt.FindString(text); m != "" {
				t.Errorf("a token, %s, is in %s:\n%s", m, name, text)
			}
		}
	}
}
