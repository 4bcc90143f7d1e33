package endtoend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

const monitoring = "../../../deploy/monitoring/"

// debian returns where a program of a package of Debian is. Continuous integration must
// have it; elsewhere the test is skipped without.
func debian(t *testing.T, name, pkg string) string {
	t.Helper()

	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatalf("there is no %s: apt-get install %s", name, pkg)
	default:
		t.Skipf("there is no %s: apt-get install %s", name, pkg)
	}

	return ""
}

// hosted is a rig with the conformance host.
func hosted(t *testing.T) *rig {
	t.Helper()
	so := setup.Plugin(t)

	return newRig(t, func(cfg flbhost.Config) (flbhost.Process, error) {
		cfg.Plugin = so
		return flbhost.Start(t.Context(), cfg)
	})
}

func TestRulesFireWhenTheyShouldAndOnlyThen(t *testing.T) {
	t.Parallel()

	promtool := debian(t, "promtool", "prometheus")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		run := exec.Command(promtool, args...)

		run.Dir = monitoring
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}

	tests, err := os.ReadFile(monitoring + "alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}

	for name := range rules(t) {
		fires := strings.Contains(string(tests), "alertname: "+name+"\n")

		silent := strings.Contains(string(tests), "alertname: "+name+", exp_alerts: []")
		if !fires || !silent {
			t.Errorf("no test shows when %s fires and when it does not", name)
		}
	}
}

// rules are the expressions of alerts.yml, by name.
func rules(t *testing.T) map[string]string {
	t.Helper()

	text, err := os.ReadFile(monitoring + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}

	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}

	list := map[string]string{}

	for _, g := range file.Groups {
		for _, r := range g.Rules {
			list[r.Alert] = r.Expr
		}
	}

	return list
}

func TestTheMonitoringPageExplainsEveryRule(t *testing.T) {
	page, err := os.ReadFile("../../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}

	var listed []string

	rows := regexp.MustCompile("(?m)^\\| `((?:Defender|FluentBit)[A-Za-z]+)` \\|")
	for _, m := range rows.FindAllStringSubmatch(string(page), -1) {
		listed = append(listed, m[1])
	}

	slices.Sort(listed)

	if have := slices.Sorted(maps.Keys(rules(t))); !slices.Equal(listed, have) {
		t.Errorf("docs/monitoring.md explains %q, alerts.yml has %q", listed, have)
	}
}

// selectors are what an expression reads: metrics with their conditions on labels.
func selectors(expr string) []string {
	return regexp.MustCompile(`\b(?:defender|fluentbit|process|go)_[a-z_]+(?:\{[^}]*\})?`).FindAllString(expr, -1)
}

// dashboard are the queries of the dashboard, as Grafana sends them.
func dashboard(t *testing.T) []string {
	t.Helper()

	text, err := os.ReadFile(monitoring + "dashboard.json")
	if err != nil || !json.Valid(text) {
		t.Fatalf("dashboard.json: %v", err)
	}

	var list []string
	for _, q := range gjson.GetBytes(text, "panels.#.targets.#.expr|@flatten").Array() {
		list = append(list, strings.NewReplacer(
			"$job", "defender",
			"$instance", ".*",
			"$tenant", ".*",
			"$__rate_interval", "10s",
		).Replace(q.String()))
	}

	if len(list) < 30 {
		t.Fatalf("the dashboard has %d queries", len(list))
	}

	return list
}

// fluentBit returns where the metrics of a Fluent Bit are whose output fails: a real one,
// or what one has shown.
func fluentBit(t *testing.T) string {
	t.Helper()

	program, err := flbhost.Find()
	if err != nil {
		text, err := os.ReadFile("../../../testdata/metrics/fluent-bit.prom")
		if err != nil {
			t.Fatal(err)
		}

		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(text)
		}))
		t.Cleanup(server.Close)

		return strings.TrimPrefix(server.URL, "http://")
	}

	address := setup.FreeAddress(t)

	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}

	run := exec.Command(program, "-i", "dummy", "-o", "http", "-p", "host=127.0.0.1", "-p", "port=9", "-p", "match=*",
		"-f", "1", "-q", "-H", "-L", host, "-P", port)
	start(t, run)

	return address
}

// start starts a program that ends with the test.
func start(t *testing.T, run *exec.Cmd) {
	t.Helper()

	if err := run.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = run.Process.Kill()
		_ = run.Wait()
	})
}

// prometheus starts a Prometheus with our rules that scrapes these addresses, and returns
// its own.
func prometheus(t *testing.T, input, fluentBit string) string {
	t.Helper()
	program := debian(t, "prometheus", "prometheus")
	dir := t.TempDir()

	alerts, err := filepath.Abs(monitoring + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}

	config := fmt.Sprintf(`global: {scrape_interval: 500ms, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - job_name: defender
    static_configs: [{targets: [%q]}]
  - job_name: fluent-bit
    metrics_path: /api/v2/metrics/prometheus
    static_configs: [{targets: [%q]}]
`, alerts, input, fluentBit)

	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}

	address := setup.FreeAddress(t)
	start(t, exec.Command(program, "--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", address, "--log.level", "error"))

	return address
}

// query asks Prometheus, and returns how many series the answer has.
func query(t *testing.T, address, expr string) (series int, fault string) {
	t.Helper()

	res, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()

	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}

	return len(gjson.GetBytes(body, "data.result").Array()), gjson.GetBytes(body, "error").String()
}

// expectData waits until Prometheus has data for a query.
func expectData(t *testing.T, server, q string) {
	t.Helper()

	for end := time.Now().Add(setup.LongWait); ; time.Sleep(200 * time.Millisecond) {
		n, fault := query(t, server, q)
		if strings.Contains(fault, "parse error") {
			t.Fatalf("%s: %s", q, fault)
		}

		if n > 0 && fault == "" {
			return
		}

		if time.Now().After(end) {
			t.Fatalf("no data for %s: %s", q, fault)
		}
	}
}

func TestEveryQueryAboutNodesHasData(t *testing.T) {
	t.Parallel()
	debian(t, "prometheus", "prometheus")
	address := setup.FreeAddress(t)
	c := newCluster(t, clusterOptions{
		nodes:   1,
		tenants: 2,
		alerts:  1,
		keys:    []string{"metrics_listen", address},
	})
	c.startAll()

	server := prometheus(t, address, address)

	var queries []string
	for _, expr := range rules(t) {
		queries = append(queries, selectors(expr)...)
	}

	queries = append(queries, dashboard(t)...)
	slices.Sort(queries)

	queries = slices.DeleteFunc(slices.Compact(queries), func(q string) bool { return !aboutNodes(q) })
	if len(queries) < 8 {
		t.Errorf("there are only %d queries about nodes", len(queries))
	}

	for _, q := range queries {
		expectData(t, server, q)
	}
}

// aboutNodes reports whether a query is about a store that several nodes share: where the
// store is in files there is no data for it.
func aboutNodes(query string) bool {
	return regexp.MustCompile(`defender_(units|nodes|lease|takeovers|fenced|store_call)_`).MatchString(query)
}

func TestEveryQueryOfRulesAndDashboardHasData(t *testing.T) {
	t.Parallel()
	debian(t, "prometheus", "prometheus")
	h := hosted(t).provide(4, 3)
	h.discovering()

	address := setup.FreeAddress(t)
	h.mustStart(h.input("metrics_listen", address, "client_secret_expires", "2031-01-31"))
	server := prometheus(t, address, fluentBit(t))

	h.complete(time.Minute, h.customers, "graph")
	h.sim.EndRelationships(h.customers[0].ID)

	var queries []string
	for _, expr := range rules(t) {
		queries = append(queries, selectors(expr)...)
	}

	queries = append(queries, dashboard(t)...)
	slices.Sort(queries)

	for _, q := range slices.DeleteFunc(slices.Compact(queries), aboutNodes) {
		expectData(t, server, q)
	}

	res, err := http.Get("http://" + server + "/api/v1/rules")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}

	found := gjson.GetBytes(body, "data.groups.#.rules|@flatten").Array()
	if len(found) != len(rules(t)) {
		t.Errorf("Prometheus has %d rules", len(found))
	}

	for _, r := range found {
		if r.Get("lastError").String() != "" || r.Get("health").String() == "err" {
			t.Errorf("rule %s: %s", r.Get("name"), r.Get("lastError"))
		}
	}

	h.stop()
}

func TestTheInputGoesOnUnderCrowdsOfHTTPClients(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(20, 5)
		r.simulate(simulator.Config{Tenants: customers})

		address := setup.FreeAddress(t)
		r.mustStart(flbhost.Instance{
			Tag: "defender",
			Props: flbhost.Props(
				"tenants_file", r.fileFor(customers, "siem"),
				"data_dir", r.data,
				"metrics_listen", address,
			),
		})

		for _, c := range customers {
			r.complete(time.Minute, []simulator.Tenant{c}, "siem")
		}

		r.until("/readyz", time.Minute, func() bool { return status(address, "/readyz", address) == 200 })

		files := gauge(t, address, "process_open_fds")
		memory := gauge(t, address, "process_resident_memory_bytes")

		// Connections that say nothing, come by a foreign name, or read nothing.
		for i := range 1100 {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()

			path := []string{"/", "/metrics", "/api/status"}[i%3]
			switch {
			case i < 1000 && i%2 == 0:
				_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: evil.example\r\n\r\n", path)
			case i >= 1000:
				_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
			}

			if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
		}

		for _, c := range customers {
			r.sim.Add(c.ID, simulator.Alert{Title: "meanwhile", Created: time.Now()})
		}

		r.complete(time.Minute, customers, "siem")

		for path, want := range map[string]int{
			"/":           200,
			"/metrics":    200,
			"/api/status": 200,
			"/healthz":    200,
			"/readyz":     200,
		} {
			if got := status(address, path, address); got != want {
				t.Errorf("%s: %d", path, got)
			}

			if got := status(address, path, "evil.example"); got != 403 {
				t.Errorf("%s by a foreign name: %d", path, got)
			}
		}

		t.Logf("%.0f files and %.1f MB more", gauge(t, address, "process_open_fds")-files,
			(gauge(t, address, "process_resident_memory_bytes")-memory)/1e6)

		if more := gauge(t, address, "process_open_fds") - files; more > 40 {
			t.Errorf("%.0f more files are open", more)
		}

		if more := gauge(t, address, "process_resident_memory_bytes") - memory; more > 32e6 {
			t.Errorf("%.0f MB more memory", more/1e6)
		}

		r.stop()
	})
}

// status asks for a path by a host name, and returns the status of the answer; 0 for
// none.
func status(address, path, host string) int {
	req, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return 0
	}

	req.Host = host

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}

	res.Body.Close()

	return res.StatusCode
}
