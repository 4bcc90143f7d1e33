package examples

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store/sqlite"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/receiver"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/tokens"
)

const (
	hecToken      = "7c1a2b3c-0000-4000-8000-00000000000a"
	hecNorthwind  = "7c1a2b3c-0000-4000-8000-00000000000b"
	clientID      = "11111111-2222-3333-4444-555555555555"
	clientSecret  = "S~examples"
	oneCustomer   = "99999999-8888-7777-6666-555555555555"
	manyCustomers = "10000000-0000-0000-0000-00000000000"
)

// rig is a simulated Defender, a HEC and a syslog receiver, and a Fluent Bit between
// them.
type rig struct {
	t       *testing.T
	program string
	dir     string
	sim     *simulator.Simulator
	env     map[string]string
	server  *tls.Config // of the receivers
	hec     *receiver.HEC
	syslog  *receiver.Syslog

	cmd   *exec.Cmd
	ended chan error
	mu    sync.Mutex
	log   bytes.Buffer
}

// newRig skips the test where there is no Fluent Bit.
func newRig(t *testing.T, tenants []simulator.Tenant, hec receiver.HECConfig) *rig {
	t.Helper()
	r := &rig{
		t:       t,
		program: setup.FluentBit(t),
		dir:     t.TempDir(),
		env:     environment(t),
	}
	so := setup.Plugin(t)
	r.sim = setup.Simulator(t, simulator.Config{Tenants: tenants, Seed: 11})

	var err error

	r.server, err = receiver.Certificate(r.path("ca.pem"))
	r.must(err)
	hec.TLS = r.server
	r.hec, err = receiver.StartHEC(hec)
	r.must(err)
	t.Cleanup(func() { r.hec.Close() })

	r.syslog, err = receiver.StartSyslog(receiver.SyslogConfig{Format: receiver.RFC3164, TLS: r.server})
	r.must(err)
	t.Cleanup(func() { r.syslog.Close() })

	r.write("secret", clientSecret)
	r.write("plugins.conf", "[PLUGINS]\n    Path "+so+"\n")
	r.must(os.MkdirAll(r.path("state"), 0o700))
	maps.Copy(r.env, map[string]string{
		"DEFENDER_BUFFER":             r.path("buffer"),
		"DEFENDER_DATA_DIR":           r.path("state"),
		"DEFENDER_TENANTS_FILE":       r.path("customers.yaml"),
		"DEFENDER_TENANT_ID":          oneCustomer,
		"DEFENDER_CLIENT_ID":          clientID,
		"DEFENDER_CLIENT_SECRET_FILE": r.path("secret"),
		"SPLUNK_HEC_HOST":             "localhost",
		"SPLUNK_HEC_PORT":             strconv.Itoa(r.hec.Port()),
		"SPLUNK_CA_FILE":              r.path("ca.pem"),
		"SPLUNK_HEC_TOKEN":            hecToken,
		"SPLUNK_HEC_TOKEN_NORTHWIND":  hecNorthwind,
		"ARCSIGHT_HOST":               "localhost",
		"ARCSIGHT_PORT":               strconv.Itoa(r.syslog.Port()),
		"ARCSIGHT_CA_FILE":            r.path("ca.pem"),
		"LOGIN_URL":                   r.sim.LoginURL(),
	})

	for _, api := range simulator.APIs() {
		r.env["API_URL_"+api] = r.sim.APIURL(api)
	}

	return r
}

func (r *rig) must(err error) {
	r.t.Helper()

	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, text string) {
	r.t.Helper()
	r.must(os.WriteFile(r.path(name), []byte(text), 0o600))
}

// apiLine is the one place of an example that a test adds to: below it the addresses of
// Microsoft's servers are replaced by those of the simulator, and the time between two
// polls by a second.
var apiLine = regexp.MustCompile(`(?m)^( +)api(:?) +([\w-]+)$`)

// install copies a file of the folder.
func (r *rig) install(name, as string) {
	r.t.Helper()
	text := apiLine.ReplaceAllStringFunc(content(r.t, name), func(line string) string {
		m := apiLine.FindStringSubmatch(line)

		return fmt.Sprintf("%s\n%slogin_url%s ${LOGIN_URL}\n%sapi_url%s ${API_URL_%s}\n%spoll_interval%s 1s",
			line, m[1], m[2], m[1], m[2], m[3], m[1], m[2])
	})
	r.write(as, text)
}

// signIn stores a refresh token, as `defenderctl tokens acquire` does.
func (r *rig) signIn(tenantID string) {
	r.t.Helper()

	token, err := r.sim.IssueRefreshToken(tenantID, clientID)
	r.must(err)

	s, err := sqlite.Open(sqlite.Options{Dir: r.path("state")})
	r.must(err)

	key := tokens.ChainKey{
		LoginHost: strings.TrimPrefix(r.sim.LoginURL(), "http://"),
		TenantID:  tenantID,
		ClientID:  clientID,
	}

	now := time.Now()
	err = s.Tokens().Save(context.Background(), key, tokens.Chain{
		Refresh:   secret.New(token),
		Account:   "soc@example.com",
		Obtained:  now,
		Refreshed: now,
	})
	r.must(err)

	r.must(s.Close())
}

// start runs Fluent Bit with a configuration of the rig's directory.
func (r *rig) start(name string) {
	r.t.Helper()
	r.cmd = exec.Command(r.program, "-c", r.path(name))
	r.cmd.Dir = r.dir
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also when the test runs out of time

	r.cmd.Env = os.Environ()
	for _, k := range slices.Sorted(maps.Keys(r.env)) {
		r.cmd.Env = append(r.cmd.Env, k+"="+r.env[k])
	}

	r.cmd.Stdout, r.cmd.Stderr = (*logWriter)(r), (*logWriter)(r)
	r.must(r.cmd.Start())

	r.ended = make(chan error, 1)
	go func() { r.ended <- r.cmd.Wait() }()

	r.t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it may have ended
		if r.t.Failed() {
			text := r.logText()
			r.t.Logf("the log:\n%s", text[max(0, len(text)-6000):])
		}
	})
}

type logWriter rig

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.log.Write(p)
}

func (r *rig) logText() string {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.log.String()
}

// stop ends Fluent Bit by SIGTERM.
func (r *rig) stop() {
	r.t.Helper()
	r.must(r.cmd.Process.Signal(syscall.SIGTERM))

	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("fluent-bit ended with %v", err)
		}
	case <-time.After(setup.LongWait):
		r.t.Error("fluent-bit did not end")
	}
}

// until waits for a condition while Fluent Bit runs.
func (r *rig) until(what string, limit time.Duration, ok func() bool) {
	r.t.Helper()
	setup.Until(r.t, what, limit, func() bool {
		select {
		case err := <-r.ended:
			r.t.Fatalf("fluent-bit ended (%v) before %s", err, what)
		default:
		}

		return ok()
	}, nil)
}

// customer is a tenant of the simulator that knows the application.
func customer(id, name string, alerts int) simulator.Tenant {
	return simulator.Tenant{
		ID:             id,
		Domain:         name + ".example",
		Name:           name,
		MSSPAuthorised: true,
		Generated:      alerts,
		Apps:           []simulator.App{{ClientID: clientID, Secret: clientSecret}},
	}
}
