package main

import (
	"bufio"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
)

// service is the user that Fluent Bit runs as in these tests; the machine need not know
// it.
const service = 4242

// rootWorld is a customer's tenant, a directory of root's that nobody else may enter,
// and one of the service's.
type rootWorld struct {
	sim      *simulator.Simulator
	customer simulator.Tenant
	private  string
	home     string
}

func newRootWorld(t *testing.T) *rootWorld {
	t.Helper()

	if os.Geteuid() != 0 {
		t.Skip("only root can work as another user")
	}

	customers := simulator.Generate(1, 1, 1)
	sim := setup.Simulator(t, simulator.Config{Tenants: customers, AutoConsent: true})

	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Dir(dir)} { // others may pass through
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}

	w := &rootWorld{
		sim:      sim,
		customer: customers[0],
		private:  filepath.Join(dir, "private"),
		home:     filepath.Join(dir, "service"),
	}
	for _, path := range []string{w.private, w.home} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}

	if err := os.Chown(w.home, service, service); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(filepath.Join(w.private, "secret"), []byte(w.customer.Apps[0].Secret), 0o600); err != nil {
		t.Fatal(err)
	}

	return w
}

// acquire signs in, with a secret that only root may read, and a result that only root
// may write.
func (w *rootWorld) acquire(t *testing.T, dataDir string) (exit int, said string) {
	t.Helper()
	cmd := command(t, nil, "tokens", "acquire", "--data-dir", dataDir, "--tenant-id", w.customer.ID,
		"--client-id", w.customer.Apps[0].ClientID, "--client-secret-file", filepath.Join(w.private, "secret"),
		"--out", filepath.Join(w.private, "token"), "--api", "graph", "--no-browser",
		"--login-url", w.sim.LoginURL(), "--api-url", w.sim.APIURL("graph"))

	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	var lines strings.Builder
	for s := bufio.NewScanner(stderr); s.Scan(); {
		lines.WriteString(s.Text() + "\n")

		if address := strings.TrimSpace(s.Text()); strings.Contains(address, "/authorize?") {
			res, err := http.Get(address)
			if err != nil {
				t.Fatal(err)
			}

			res.Body.Close()
		}
	}

	return code(cmd.Wait()), lines.String()
}

// owners returns who owns the files of a directory.
func owners(t *testing.T, dir string) map[string]uint32 {
	t.Helper()

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}

	all := map[string]uint32{}

	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}

		all[e.Name()] = info.Sys().(*syscall.Stat_t).Uid
	}

	return all
}

func TestRootWorksInAServicesDirectoryAsTheService(t *testing.T) {
	w := newRootWorld(t)
	data := filepath.Join(w.home, "data") // not there yet

	exit, said := w.acquire(t, data)
	if exit != 0 {
		t.Fatalf("exit code %d: %s", exit, said)
	}

	files := owners(t, data)
	if len(files) < 3 {
		t.Errorf("files: %v", files)
	}

	for name, owner := range files {
		if owner != service {
			t.Errorf("%s belongs to user %d", name, owner)
		}
	}

	if got := owners(t, w.private); got["token"] != 0 || len(got) != 2 {
		t.Errorf("root's own files: %v", got)
	}

	for _, args := range [][]string{{"tokens", "list"}, {"status"}} {
		if out, err := command(t, nil, append(args, "--data-dir", data)...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestRootFollowsNoLinkThatTheServiceMay(t *testing.T) {
	w := newRootWorld(t)

	store := filepath.Join(w.private, "store") // of root's own inputs
	if exit, said := w.acquire(t, store); exit != 0 {
		t.Fatalf("exit code %d: %s", exit, said)
	}

	before, err := os.ReadFile(filepath.Join(store, "tokens.db"))
	if err != nil {
		t.Fatal(err)
	}

	data := filepath.Join(w.home, "data")
	if err := os.Symlink(store, data); err != nil {
		t.Fatal(err)
	}

	if exit, said := w.acquire(t, data); exit == 0 || !strings.Contains(said, "permission denied") {
		t.Errorf("exit code %d: %s", exit, said)
	}

	for _, args := range [][]string{{"tokens", "list"}, {"status"}} {
		out, err := command(t, nil, append(args, "--data-dir", data)...).CombinedOutput()
		if err == nil || strings.Contains(string(out), w.customer.ID) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}

	if after, err := os.ReadFile(filepath.Join(store, "tokens.db")); err != nil || string(after) != string(before) {
		t.Errorf("root's store was written to: %v", err)
	}
}

func TestRootRefusesADirectoryOfTwoUsers(t *testing.T) {
	w := newRootWorld(t)

	data := filepath.Join(w.home, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}

	if err := os.Chown(data, service+1, service+1); err != nil {
		t.Fatal(err)
	}

	exit, said := w.acquire(t, data)
	if exit != 1 || !strings.Contains(said, "users 4242 4243") || !strings.Contains(said, "sudo -u") {
		t.Errorf("exit code %d: %s", exit, said)
	}
}
