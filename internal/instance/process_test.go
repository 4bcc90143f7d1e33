package instance

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/testbed/testcert"
	"fluent-bit-defender/tokens"
)

// fakeHost is Fluent Bit in a test: a section, a log and a chunk.
type fakeHost struct {
	mu     sync.Mutex
	keys   config.Map
	lines  []string
	events []byte
	pause  func() // called from inside an append, as core does
	noApp  bool
}

func (h *fakeHost) Get(key string) string     { return h.keys.Get(key) }
func (h *fakeHost) LogEnabled(level int) bool { return level <= 4 }
func (h *fakeHost) CanAppend() bool           { return !h.noApp }

func (h *fakeHost) Log(level int, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.lines = append(h.lines, fmt.Sprintf("%d %s", level, text))
}

func (h *fakeHost) Append(_ string, events []byte) bool {
	h.mu.Lock()
	h.events = append(h.events, events...)
	pause := h.pause
	h.mu.Unlock()

	if pause != nil {
		pause()
	}

	return true
}

func (h *fakeHost) log() string {
	h.mu.Lock()
	defer h.mu.Unlock()

	return strings.Join(h.lines, "\n")
}

func (h *fakeHost) count() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()

	for rest := h.events; len(rest) > 0; n++ {
		var err error
		if _, rest, err = record.Next(rest); err != nil {
			panic(err)
		}
	}

	return n
}

func simulated(t *testing.T, n, alerts int) (*simulator.Simulator, []simulator.Tenant) {
	t.Helper()

	customers := simulator.Generate(n, alerts, 1)

	return setup.Simulator(t, simulator.Config{Tenants: customers}), customers
}

func section(sim *simulator.Simulator, c simulator.Tenant, data string) config.Map {
	return config.Map{
		"tenant_id":     c.ID,
		"tenant_name":   c.Name,
		"client_id":     c.Apps[0].ClientID,
		"client_secret": c.Apps[0].Secret,
		"refresh_token": c.Apps[0].RefreshTokens[0],
		"api":           "siem",
		"login_url":     sim.LoginURL(),
		"api_url":       sim.APIURL("siem"),
		"data_dir":      data,
		"poll_interval": "1s",
		"lookback":      "2d",
	}
}

var pipeline = Thread{ID: 1, Name: "flb-pipeline"}

// until calls the collect callback, much faster than Fluent Bit does, until ok.
func until(t *testing.T, p *Process, ok func() bool, handles ...Handle) {
	t.Helper()

	for end := time.Now().Add(setup.LongWait); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v", setup.LongWait)
		}

		for _, h := range handles {
			p.Collect(h)
		}

		<-time.After(10 * time.Millisecond)
	}
}

func TestAPauseFromInsideAnAppendMeansThatInstanceOnly(t *testing.T) {
	sim, customers := simulated(t, 2, 30)
	data := filepath.Join(t.TempDir(), "state")
	p := NewProcess()
	a, b := &fakeHost{keys: section(sim, customers[0], data)}, &fakeHost{keys: section(sim, customers[1], data)}
	first, ok1 := p.Open(a, pipeline, false)

	second, ok2 := p.Open(b, pipeline, false)
	if !ok1 || !ok2 {
		t.Fatalf("open: %s\n%s", a.log(), b.log())
	}

	a.pause = func() { p.Pause(pipeline.ID) }

	until(
		t,
		p,
		func() bool { return a.count() > 0 && b.count() >= len(sim.Ledger(customers[1].ID, "siem").Exists) },
		first,
		second,
	)

	if !p.get(first).input.Delivery.Paused() || p.get(second).input.Delivery.Paused() {
		t.Error("the pause did not mean the instance that was appending")
	}

	a.pause = nil

	p.Resume(pipeline.ID)
	until(t, p, func() bool { return a.count() >= len(sim.Ledger(customers[0].ID, "siem").Exists) }, first, second)
	p.Exit(pipeline.ID)
	p.Exit(pipeline.ID) // core calls it once per instance

	if p.get(first) != nil || p.get(second) != nil {
		t.Error("an instance is still there after Exit")
	}

	lines := len(a.lines)

	p.Collect(first)

	if len(a.lines) != lines {
		t.Error("something was logged after Exit")
	}
}

func TestWithoutDirectAppendBatchesGoOutByReturnValue(t *testing.T) {
	sim, customers := simulated(t, 1, 30)
	p := NewProcess()
	h := &fakeHost{keys: section(sim, customers[0], filepath.Join(t.TempDir(), "state")), noApp: true}

	handle, ok := p.Open(h, pipeline, false)
	if !ok {
		t.Fatal(h.log())
	}

	for end := time.Now().Add(setup.LongWait); h.count() < len(sim.Ledger(customers[0].ID, "siem").Exists) ||
		h.count() == 0; {
		if time.Now().After(end) {
			t.Fatalf("not within %v", setup.LongWait)
		}

		if events := p.Collect(handle); len(events) > 0 {
			h.Append("", events)
			p.Cleanup(handle)
		}

		<-time.After(10 * time.Millisecond)
	}

	if p.OnThread(pipeline) != handle {
		t.Error("the only instance is not found by its thread")
	}

	p.Exit(pipeline.ID)
}

func TestWhatIsRefusedAtTheStartLeavesNothingBehind(t *testing.T) {
	sim, customers := simulated(t, 1, 1)
	data := filepath.Join(t.TempDir(), "state")
	good := section(sim, customers[0], data)
	p := NewProcess()

	for name, c := range map[string]struct {
		change map[string]string
		thread Thread
		forked bool
		says   string
	}{
		"forked":      {nil, pipeline, true, "daemon"},
		"threaded":    {nil, Thread{2, "flb-in-defender"}, false, "Threaded Off"},
		"missing key": {map[string]string{"client_id": ""}, pipeline, false, "client_id"},
		"metrics in use": {
			map[string]string{"metrics_listen": strings.TrimPrefix(sim.LoginURL(), "http://")},
			pipeline,
			false,
			"metrics_listen",
		},
		"no CA": {map[string]string{"ca_file": "/does/not/exist"}, pipeline, false, "ca_file"},
	} {
		keys := config.Map{}
		for k, v := range good {
			keys[k] = v
		}

		for k, v := range c.change {
			keys[k] = v
		}

		h := &fakeHost{keys: keys}
		if _, ok := p.Open(h, c.thread, c.forked); ok || !strings.Contains(h.log(), c.says) ||
			strings.Contains(h.log(), customers[0].Apps[0].Secret) {
			t.Errorf("%s: opened %t, log:\n%s", name, ok, h.log())
		}
	}

	h := &fakeHost{keys: good}
	if _, ok := p.Open(h, pipeline, false); !ok {
		t.Errorf("the same unit cannot be opened after refusals:\n%s", h.log())
	}

	p.Exit(pipeline.ID)

	if _, ok := NewProcess().Open(&fakeHost{keys: good}, pipeline, false); !ok {
		t.Error("the data directory is still locked after Exit")
	}
}

// put writes a file as if that had been a while ago: a fresh one might still be being
// written.
func put(t *testing.T, file, text string) {
	t.Helper()

	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	before := time.Now().Add(-time.Minute)
	if err := os.Chtimes(file, before, before); err != nil {
		t.Fatal(err)
	}
}

func TestTheTenantsFileIsFollowedWhileRunning(t *testing.T) {
	sim, customers := simulated(t, 3, 10)
	dir := t.TempDir()
	file := filepath.Join(dir, "tenants.yaml")
	write := func(list ...simulator.Tenant) {
		var b strings.Builder
		fmt.Fprintf(&b,
			"defaults: {api: siem, login_url: %q, api_url: %q, poll_interval: 1s, lookback: 2d}\ntenants:\n",
			sim.LoginURL(), sim.APIURL("siem"))

		for _, c := range list {
			fmt.Fprintf(
				&b,
				"  - {tenant_id: %q, tenant_name: %q, client_id: %q, client_secret: %q, refresh_token: %q, tag: %q}\n",
				c.ID,
				c.Name,
				c.Apps[0].ClientID,
				c.Apps[0].Secret,
				c.Apps[0].RefreshTokens[0],
				"defender."+c.Name,
			)
		}

		put(t, file+".new", b.String())

		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(customers[0], customers[1])

	p := NewProcess()
	h := &fakeHost{keys: config.Map{"tenants_file": file, "data_dir": filepath.Join(dir, "state")}}

	handle, ok := p.Open(h, pipeline, false)
	if !ok {
		t.Fatal(h.log())
	}

	polled := func(c simulator.Tenant) bool { return len(sim.Ledger(c.ID, "siem").Served) > 0 }

	until(t, p, func() bool { return polled(customers[0]) && polled(customers[1]) }, handle)
	write(customers[0], customers[2])
	until(t, p, func() bool { return polled(customers[2]) }, handle)

	polls := func(c simulator.Tenant) uint64 {
		for key, s := range p.get(handle).input.Statuses() {
			if string(key.TenantID) == c.ID && s.State == "ok" {
				return s.Polls
			}
		}

		return 0
	}

	write(customers[0], customers[1], customers[2]) // the second one comes back
	until(t, p, func() bool { return polls(customers[1]) > 1 && polls(customers[2]) > 1 }, handle)
	write(customers[0], customers[2])
	until(t, p, func() bool { return polls(customers[1]) == 0 }, handle)
	put(t, file, "tenants: [{tenant_idd: x}]")
	until(t, p, func() bool { return strings.Contains(h.log(), "refused as a whole") }, handle)

	if !strings.Contains(h.log(), "tenant_idd") {
		t.Errorf("the broken version's fault is not named:\n%s", h.log())
	}

	if n := len(p.get(handle).input.Statuses()); n != 2 {
		t.Errorf("%d tenants run; want 2", n)
	}

	p.Exit(pipeline.ID)
}

func TestACredentialThatEndsSoonIsWarnedOfOnceADay(t *testing.T) {
	sim, customers := simulated(t, 1, 1)
	dir := t.TempDir()
	text, _ := testcert.New(t, 5*24*time.Hour)

	cert := filepath.Join(dir, "app.pem")
	if err := os.WriteFile(cert, text, 0o600); err != nil {
		t.Fatal(err)
	}

	keys := section(sim, customers[0], filepath.Join(dir, "state"))
	delete(keys, "client_secret")
	keys["client_certificate_file"] = cert
	h := &fakeHost{keys: keys}

	cfg, _, err := config.FromPlugin(h, config.Sources{})
	if err != nil {
		t.Fatal(err)
	}

	s := newResources()
	lines := newLogQueue(h)
	log := lines.logger()

	state, err := s.enter(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.leave(state, log)

	c := newTenantSet(s, log)

	c.dir = state
	if err := c.claim(cfg.Tenants...); err != nil {
		t.Fatal(err)
	}

	now := time.Now()
	app := tokens.App{
		LoginURL: cfg.Tenants[0].LoginURL,
		TenantID: string(cfg.Tenants[0].TenantID),
		ClientID: string(cfg.Tenants[0].ClientID),
	}

	chain := tokens.Chain{Refresh: secret.New("rt"), Obtained: now, Refreshed: now.Add(-80 * 24 * time.Hour)}
	if err := state.keeper.Save(context.Background(), app.ChainKey(), chain); err != nil {
		t.Fatal(err)
	}

	for hour := range 30 {
		c.warnOfEnds(context.Background(), now.Add(time.Duration(hour)*time.Hour))
	}

	lines.flush()

	if n := strings.Count(h.log(), "certificate ends in"); n != 2 {
		t.Errorf("%d warnings of the certificate in 30 hours; want 2:\n%s", n, h.log())
	}

	if n := strings.Count(h.log(), "refresh token"); n != 2 {
		t.Errorf("%d warnings of the refresh token in 30 hours; want 2:\n%s", n, h.log())
	}
}

func TestUsersOfADeprecatedAPIAreToldOnceAWeek(t *testing.T) {
	h := &fakeHost{}
	lines := newLogQueue(h)

	s := newTenantSet(newResources(), lines.logger())
	for _, name := range []string{"fabrikam", "contoso"} {
		s.entries[alert.UnitKey{API: alert.SIEM, TenantID: alert.TenantID(name)}] = &entry{
			tenant: &config.Tenant{TenantName: name, API: alert.SIEM},
		}
	}

	s.entries[alert.UnitKey{TenantID: "northwind"}] = &entry{
		tenant: &config.Tenant{TenantName: "northwind", API: alert.Graph},
	}
	for day := range 10 {
		s.warnOfDeprecated(time.Now().AddDate(0, 0, day))
	}

	lines.flush()

	said := h.log()
	if n := strings.Count(said, "API siem is deprecated since 31 December 2023"); n != 2 {
		t.Errorf("%d lines in 10 days, want 2:\n%s", n, said)
	}

	if !strings.Contains(said, "contoso, fabrikam; move to api graph") || strings.Contains(said, "northwind") {
		t.Error(said)
	}
}

func TestACertificateStandsInForTheSecret(t *testing.T) {
	dir := t.TempDir()
	text, certificate := testcert.New(t, 365*24*time.Hour)

	file := filepath.Join(dir, "app.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, api := range simulator.APIs() {
		t.Run(api, func(t *testing.T) {
			customers := simulator.Generate(1, 20, 1)
			customers[0].Apps[0].Secret, customers[0].Apps[0].Certificates = "", []*x509.Certificate{certificate}
			sim := setup.Simulator(t, simulator.Config{Tenants: customers})
			keys := section(sim, customers[0], filepath.Join(t.TempDir(), "state"))
			delete(keys, "client_secret")
			delete(keys, "refresh_token")
			keys["api"], keys["api_url"], keys["client_certificate_file"] = api, sim.APIURL(api), file
			p, h := NewProcess(), &fakeHost{keys: keys}

			handle, ok := p.Open(h, pipeline, false)
			if !ok {
				t.Fatal(h.log())
			}

			until(
				t,
				p,
				func() bool { n := len(sim.Ledger(customers[0].ID, api).Exists); return n > 0 && h.count() >= n },
				handle,
			)
			p.Exit(pipeline.ID)
		})
	}
}
