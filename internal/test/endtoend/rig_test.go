package endtoend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/big"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// hosts are the programs that the plugin is driven by.
func hosts(t *testing.T) map[string]func(flbhost.Config) (flbhost.Process, error) {
	t.Helper()
	so := setup.Plugin(t)
	list := map[string]func(flbhost.Config) (flbhost.Process, error){
		"host": func(cfg flbhost.Config) (flbhost.Process, error) {
			cfg.Plugin = so
			return flbhost.Start(t.Context(), cfg)
		},
	}

	if program, err := flbhost.Find(); err == nil {
		for name, classic := range map[string]bool{"fluent-bit-yaml": false, "fluent-bit-classic": true} {
			list[name] = func(cfg flbhost.Config) (flbhost.Process, error) {
				cfg.Plugin, cfg.Classic = so, classic
				return flbhost.StartReal(t.Context(), program, cfg)
			}
		}
	}

	return list
}

// eachHost runs a test in the conformance host and, if there is one, in Fluent Bit. It
// runs beside other tests, so nothing in it may depend on how long a call takes;
// TestTheCollectCallbackNeverWaitsWhileTheAPIHangs runs
// alone and measures that.
func eachHost(t *testing.T, run func(t *testing.T, r *rig)) {
	t.Parallel()

	for name, start := range hosts(t) {
		if !everyday(t, name) {
			continue
		}

		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, newRig(t, start))
		})
	}
}

// everyday reports whether the test runs in this host. Both forms of a configuration
// start the same Fluent Bit: the long runs take both for each test, the others one of
// them.
func everyday(t *testing.T, host string) bool {
	if setup.Long() || host == "host" {
		return true
	}

	sum := fnv.New32()
	sum.Write([]byte(t.Name()))

	return host == []string{"fluent-bit-yaml", "fluent-bit-classic"}[sum.Sum32()%2]
}

func newRig(t *testing.T, launch func(flbhost.Config) (flbhost.Process, error)) *rig {
	return &rig{
		t:       t,
		launch:  launch,
		storage: t.TempDir(),
		data:    filepath.Join(t.TempDir(), "state"),
		parsed:  map[string]alert{},
	}
}

// rig is a simulator and a host.
type rig struct {
	t             *testing.T
	launch        func(flbhost.Config) (flbhost.Process, error)
	sim           *simulator.Simulator
	host          flbhost.Process
	storage, data string
	logs          []flbhost.LogLine // of processes that have ended
	// parsed are the alerts that were seen, by the bytes of their record: the tests
	// look at all records again and again.
	parsed map[string]alert
}

// alert is a record; one of another kind, such as health, has no id.
type alert struct {
	tenantID, api, id string
	text              []byte
}

// alert reads a record.
func (r *rig) alert(rec flbhost.Record) alert {
	known, ok := r.parsed[string(rec.Event)]
	if ok {
		return known
	}

	known.text = rec.JSON()
	if m := gjson.GetBytes(known.text, "mssp"); m.Get("kind").String() == "alert" {
		known.tenantID, known.api, known.id = m.Get("tenant_id").String(),
			m.Get("api").String(),
			m.Get("record_id").String()
	}

	r.parsed[string(rec.Event)] = known

	return known
}

func (r *rig) simulate(cfg simulator.Config) {
	r.t.Helper()
	r.sim = setup.Simulator(r.t, cfg)
}

// section is the [INPUT] of one tenant. more adds or replaces keys; an empty value
// takes one away.
func (r *rig) section(t simulator.Tenant, api string, more ...string) flbhost.Instance {
	app := t.Apps[0]
	keys := []string{
		"tenant_id",
		t.ID,
		"tenant_name",
		t.Name,
		"client_id",
		app.ClientID,
		"client_secret",
		app.Secret,
		"refresh_token",
		app.RefreshTokens[0],
		"api",
		api,
		"login_url",
		r.sim.LoginURL(),
		"api_url",
		r.sim.APIURL(api),
		"data_dir",
		r.data,
		"poll_interval",
		"1s",
		"lookback",
		"2d",
	}

	for i := 0; i < len(more); i += 2 {
		for j := 0; ; j += 2 {
			if j == len(keys) {
				keys = append(keys, more[i], more[i+1])
				break
			}

			if keys[j] == more[i] {
				keys[j+1] = more[i+1]
				break
			}
		}
	}

	var set []string

	for i := 0; i < len(keys); i += 2 {
		if keys[i+1] != "" {
			set = append(set, keys[i], keys[i+1])
		}
	}

	return flbhost.Instance{Props: flbhost.Props(set...), Tag: "defender." + t.Name}
}

// start runs the plugin; the rig's storage and data directory live on between runs.
func (r *rig) start(instances ...flbhost.Instance) error {
	h, err := r.launch(flbhost.Config{
		Instances:     instances,
		StorageDir:    r.storage,
		LogLevel:      "trace",
		HotReload:     true,
		CallbackLimit: -1,
		ExitLimit:     setup.LongWait,
	})
	if h != nil {
		r.host = h
		r.t.Cleanup(func() { h.Kill() })
	}

	return err
}

func (r *rig) mustStart(instances ...flbhost.Instance) {
	r.t.Helper()

	if err := r.start(instances...); err != nil {
		r.t.Fatalf("start: %v\n%s", err, r.logText())
	}
}

// stop ends the process by SIGTERM.
func (r *rig) stop() {
	r.t.Helper()

	ctx, cancel := context.WithTimeout(context.Background(), setup.LongWait)
	defer cancel()

	exit, err := r.host.Stop(ctx)
	if err != nil || exit.Code != 0 {
		r.t.Errorf("stop: %+v, %v", exit, err)
	}

	r.logs = append(r.logs, r.host.Logs()...)
	if v, ok := r.host.(interface{ Violations() []string }); ok {
		for _, text := range v.Violations() {
			r.t.Errorf("violation: %s", text)
		}
	}
}

func (r *rig) logText() string {
	var b strings.Builder

	if r.host != nil {
		for _, l := range r.host.Logs() {
			fmt.Fprintf(&b, "%v %s\n", l.Level, l.Text)
		}
	}

	return b.String()
}

// until waits for a condition. A failure shows the log.
func (r *rig) until(what string, limit time.Duration, ok func() bool) {
	r.t.Helper()
	setup.Until(r.t, what, limit, ok, r.logText)
}

// alerts are the records of one tenant that reached the chunks: record_id to how often,
// and the last text.
type alerts struct {
	count map[string]int
	text  map[string][]byte
	tags  map[string]bool
}

func (r *rig) arrived(tenantID, api string) alerts {
	r.t.Helper()
	return r.allArrived(api)(tenantID)
}

// allArrived reads the records of an API once; what it returns gives those of a tenant.
// For many tenants that is much faster than arrived.
func (r *rig) allArrived(api string) (of func(tenantID string) alerts) {
	r.t.Helper()

	records, err := r.host.Records()
	if err != nil {
		r.t.Fatal(err)
	}

	all := map[string]alerts{}
	of = func(tenantID string) alerts {
		if _, ok := all[tenantID]; !ok {
			all[tenantID] = alerts{map[string]int{}, map[string][]byte{}, map[string]bool{}}
		}

		return all[tenantID]
	}

	for _, rec := range records {
		if some := r.alert(rec); some.id != "" && some.api == api {
			a := of(some.tenantID)
			a.count[some.id]++
			a.text[some.id] = some.text
			a.tags[rec.Tag] = true
		}
	}

	return of
}

// account holds what arrived against the ledger of the simulator: lost are versions
// that were served whole and did not arrive, repeated those that arrived more than
// once, bent those that arrived with other content.
func (r *rig) account(tenantID, api string) (lost, repeated, bent, arrived int) {
	r.t.Helper()
	return r.compared(r.arrived(tenantID, api), tenantID, api)
}

// compared is account for alerts that were read before.
func (r *rig) compared(got alerts, tenantID, api string) (lost, repeated, bent, arrived int) {
	r.t.Helper()
	ledger := r.sim.Ledger(tenantID, api)
	known := map[string]bool{}

	for key := range ledger.Exists {
		id := recordID(tenantID, api, key)
		known[id] = true

		n := got.count[id]
		if n == 0 && ledger.Served[key] > 0 {
			lost++
		}

		if n > 1 {
			repeated += n - 1
		}

		if n == 0 {
			continue
		}

		arrived++

		want, have := canonical(r.t, ledger.Exists[key], true), canonical(r.t, alertOf(got.text[id]), false)
		if want != have {
			if bent++; bent < 3 {
				r.t.Errorf("a record differs from what the API sent:\n%s\n%s", have, want)
			}
		}
	}

	for id := range got.count {
		if !known[id] {
			r.t.Errorf("record %s was never an alert of the tenant: %s", id, got.text[id])
		}
	}

	return lost, repeated, bent, arrived
}

// alertOf takes the key mssp, which comes first, off a record.
func alertOf(record []byte) []byte {
	m := gjson.GetBytes(record, "mssp")
	rest := bytes.TrimPrefix(record[m.Index+len(m.Raw):], []byte(","))

	return append([]byte("{"), rest...)
}

// canonical writes JSON with its keys in their order and every value in one form, so
// that equal texts are equal values. sent says that it is the API's text, in which
// docs/contract.md changes a few things: the alert's own keys mssp and cef get an
// underscore, and integers beyond 64 bits become doubles.
func canonical(t *testing.T, text []byte, sent bool) string {
	t.Helper()

	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()

	var b strings.Builder

	depth, key := 0, false // key: the next string at depth 1 is a key

	for {
		token, err := dec.Token()
		if err == io.EOF {
			return b.String()
		}

		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}

		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else {
				depth--
			}

			b.WriteString(v.String())

			key = depth == 1

			continue
		case json.Number:
			b.WriteString(number(v) + " ")
		case string:
			if sent && depth == 1 && key && (v == "mssp" || v == "cef") {
				v += "_"
			}

			fmt.Fprintf(&b, "%q ", v)
		default:
			fmt.Fprintf(&b, "<%v> ", v)
		}

		if depth == 1 {
			key = !key
		}
	}
}

// number writes integers that fit into 64 bits as they are, others as doubles.
func number(n json.Number) string {
	if i, ok := new(big.Int).SetString(n.String(), 10); ok && (i.IsInt64() || i.IsUint64()) {
		return i.String()
	}

	f, err := n.Float64()
	if err != nil {
		return n.String()
	}

	return strconv.FormatFloat(f+0, 'g', -1, 64) // +0: JSON text does not show whether -0 is an integer
}
