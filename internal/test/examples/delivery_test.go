package examples

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store/sqlite"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/receiver"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
)

// long leaves a measurement out of -short; without Fluent Bit newRig skips it.
func long(t *testing.T) {
	t.Helper()

	if testing.Short() {
		t.Skip("-short")
	}
}

// TestSplunkThatIsBusyEveryFourthTimeLosesNothing: alerts turn up in waves of 40, so
// that there are many requests.
func TestSplunkThatIsBusyEveryFourthTimeLosesNothing(t *testing.T) {
	long(t)
	t.Parallel()

	const each, most = 40, 200

	f := unit{oneCustomer, "contoso", "graph"}
	r := newRig(t, []simulator.Tenant{customer(f.tenantID, f.tenant, 0)}, receiver.HECConfig{BusyEvery: 4,
		Tokens: map[string]receiver.HECToken{hecToken: {Indexes: []string{"defender"}, Ack: true}}})
	r.install("splunk.conf", "splunk.conf")
	r.start("splunk.conf")

	waves := 0
	for ; waves < setup.Size(10, 50) || r.hec.Status()[503] < 2 && waves < most; waves++ {
		wave := waves
		r.sim.Generate(
			f.tenantID,
			each,
			simulator.GenerateOptions{Name: fmt.Sprint(wave), Since: time.Now().Add(-time.Second)},
		)

		if wave == 0 {
			r.until("the first wave", time.Minute, func() bool { return len(r.hec.Events()) > 0 })
		}

		time.Sleep(400 * time.Millisecond)
	}

	r.until("all alerts", 90*time.Second, func() bool { return len(recordIDs(r.hec.Events())) > waves*each })
	r.stop()
	o := accountSplunk(t, r.sim, r.hec.Events(), f)
	status := r.hec.Status()
	t.Logf("%v; requests answered: %v", o, status)

	if !o.perfect() || o.expected != waves*each {
		t.Errorf("%v", o)
	}

	if status[503] < 2 || status[503] != (status[200]+status[503])/4 {
		t.Errorf("answers %v: the collector was not busy often enough for this test to mean something", status)
	}
}

// TestSplunkAnswersThatAreLostCostRepeatsAndNoAlert: what HEC took in and could not
// confirm comes again, with the same record_id.
func TestSplunkAnswersThatAreLostCostRepeatsAndNoAlert(t *testing.T) {
	long(t)
	t.Parallel()

	f := unit{oneCustomer, "contoso", "graph"}
	r := newRig(t, []simulator.Tenant{customer(f.tenantID, f.tenant, 200)}, receiver.HECConfig{LoseAnswerEvery: 2,
		Tokens: map[string]receiver.HECToken{hecToken: {}}})
	r.install("splunk.yaml", "splunk.yaml")
	r.start("splunk.yaml")

	for wave := range 4 {
		r.until("a wave", 60*time.Second, func() bool { return len(recordIDs(r.hec.Events())) > 200+20*wave })
		r.sim.Generate(
			f.tenantID,
			20,
			simulator.GenerateOptions{Name: fmt.Sprint(wave), Since: time.Now().Add(-time.Second)},
		)
	}

	r.until("all alerts", 60*time.Second, func() bool { return len(recordIDs(r.hec.Events())) > 280 })
	r.until("a lost answer", 60*time.Second, func() bool { return r.hec.Status()[0] > 0 })
	r.stop()
	o := accountSplunk(t, r.sim, r.hec.Events(), f)
	t.Logf("%v; answers lost: %d", o, r.hec.Status()[0])

	if o.lost+o.bent+o.foreign > 0 || o.repeated == 0 {
		t.Errorf("%v", o)
	}
}

// TestWhatSplunkRefusesForGoodIsKeptAndComesAgainAfterARewind: Fluent Bit gives a chunk
// up when HEC answers 403 or 413. A copy is in storage.path/rejected, and a rewind
// brings the alerts again, with the same record_ids.
func TestWhatSplunkRefusesForGoodIsKeptAndComesAgainAfterARewind(t *testing.T) {
	long(t)
	t.Parallel()

	for name, refuse := range map[string]struct {
		status int
		token  string
		limit  int64
	}{
		"a token that was withdrawn":         {403, "7c1a2b3c-0000-4000-8000-0000000000ff", 0},
		"max_content_length of old releases": {413, hecToken, 1_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := unit{oneCustomer, "contoso", "graph"}
			tokens := map[string]receiver.HECToken{hecToken: {}}
			r := newRig(
				t,
				[]simulator.Tenant{customer(f.tenantID, f.tenant, 2000)},
				receiver.HECConfig{Tokens: tokens, MaxContentLength: refuse.limit},
			)
			r.install("splunk.conf", "splunk.conf")
			r.env["SPLUNK_HEC_TOKEN"] = refuse.token
			r.start("splunk.conf")
			r.until("the refusal", time.Minute, func() bool { return r.hec.Status()[refuse.status] > 0 })
			r.until("a copy of what was refused", time.Minute, func() bool {
				kept, err := filepath.Glob(r.path("buffer/rejected/*.flb"))
				return err == nil && len(kept) > 0
			})
			time.Sleep(4 * time.Second) // the rest of the first poll, and its checkpoint
			r.stop()

			if n := len(r.hec.Events()); n > 0 {
				t.Fatalf("%d events were accepted", n)
			}

			// The remedy: another collector, or the right token. Then what `defenderctl
			// rewind` does.
			healthy, err := receiver.StartHEC(receiver.HECConfig{Tokens: tokens, TLS: r.server})
			r.must(err)
			t.Cleanup(func() { healthy.Close() })

			r.hec = healthy
			r.env["SPLUNK_HEC_TOKEN"], r.env["SPLUNK_HEC_PORT"] = hecToken, strconv.Itoa(healthy.Port())
			s, err := sqlite.Open(sqlite.Options{Dir: r.path("state")})
			r.must(err)
			key := alert.UnitKey{
				LoginHost: strings.TrimPrefix(r.sim.LoginURL(), "http://"),
				TenantID:  alert.TenantID(f.tenantID),
				API:       alert.API(f.api),
			}
			r.must(s.Rewind(t.Context(), key, tick.FromTime(time.Now().Add(-24*time.Hour))))
			r.must(s.Close())
			r.start("splunk.conf")
			r.until("all alerts", 60*time.Second, func() bool { return len(recordIDs(r.hec.Events())) > 2000 })
			r.stop()
			o := accountSplunk(t, r.sim, r.hec.Events(), f)
			t.Logf("after the rewind, %v; the longest body had %d bytes", o, r.hec.Largest())

			if o.lost+o.bent+o.foreign > 0 {
				t.Errorf("%v", o)
			}
		})
	}
}

// TestCEFOfAllAPIsArrivesAsMapped sends alerts with hostile texts of each API through
// out_syslog in both formats over TCP and TLS at once, and compares what arrives, key
// by key, with the mapping.
func TestCEFOfAllAPIsArrivesAsMapped(t *testing.T) {
	long(t)
	t.Parallel()

	each := setup.Size(100, 500)
	tenants, units := oneOfEach()
	r := newRig(t, tenants, receiver.HECConfig{})
	server, err := receiver.Certificate(r.path("syslog-ca.pem"))
	r.must(err)
	addHostile(r.sim, units, each)

	listeners := r.syslogs(server)

	r.write("cef.conf", r.cefConfig(units, listeners))
	r.start("cef.conf")
	r.until("all alerts", 90*time.Second, func() bool {
		for _, s := range listeners {
			if len(s.Messages())+len(s.Faults()) < each*len(units) {
				return false
			}
		}

		return true
	})
	time.Sleep(3 * time.Second) // a poll more, which brings repeats
	r.stop()

	for how, s := range listeners {
		lines := parseCEF(t, s)
		all := outcome{}

		for _, f := range units {
			o := accountCEF(t, r.sim, lines, f)
			if !o.perfect() || o.expected != each {
				t.Errorf("%s over %s, %s: %v", how.format, how.mode, f.api, o)
			}

			all = all.plus(o)
		}

		t.Logf("%s over %s: %d lines, %v", how.format, how.mode, len(s.Messages()), all)
	}
}

// transport is a way in which syslog lines travel.
type transport struct {
	format receiver.SyslogFormat
	mode   string // tcp or tls
}

// syslogs starts a receiver for each transport.
func (r *rig) syslogs(server *tls.Config) map[transport]*receiver.Syslog {
	r.t.Helper()

	listeners := map[transport]*receiver.Syslog{}

	for _, format := range []receiver.SyslogFormat{receiver.RFC3164, receiver.RFC5424} {
		for _, mode := range []string{"tcp", "tls"} {
			cfg := receiver.SyslogConfig{Format: format, MaxBytes: 65_536}
			if mode == "tls" {
				cfg.TLS = server
			}

			s, err := receiver.StartSyslog(cfg)
			r.must(err)
			r.t.Cleanup(func() { s.Close() })

			listeners[transport{format, mode}] = s
		}
	}

	return listeners
}

// cefConfig has an input for each unit, and an output for each receiver.
func (r *rig) cefConfig(units []unit, listeners map[transport]*receiver.Syslog) string {
	var config strings.Builder

	config.WriteString("[SERVICE]\n    Flush 1\n    Plugins_File plugins.conf\n    storage.path " +
		r.path("buffer") + "\n    scheduler.base 1\n    scheduler.cap 3\n")

	for _, f := range units {
		fmt.Fprintf(&config,
			"[INPUT]\n    Name defender\n    Tag cef.%s\n    Threaded Off\n    storage.type filesystem\n"+
				"    tenant_id %s\n    tenant_name %s\n"+
				"    client_id %s\n    client_secret %s\n    grant client_credentials\n    api %s\n"+
				"    format cef\n    cef_max_bytes 60000\n    data_dir %s\n"+
				"    login_url %s\n    api_url %s\n    poll_interval 2s\n",
			f.api, f.tenantID, f.tenant, clientID, clientSecret, f.api,
			r.path("state"), r.sim.LoginURL(), r.sim.APIURL(f.api))
	}

	for how, s := range listeners {
		fmt.Fprintf(&config,
			"[OUTPUT]\n    Name syslog\n    Match cef.*\n    Host localhost\n    Port %d\n"+
				"    Mode %s\n    Syslog_Format %s\n    Syslog_MaxSize 65536\n"+
				"    Syslog_Message_Key cef\n    Syslog_Hostname_Preset poller\n    Retry_Limit no_limits\n",
			s.Port(), how.mode, how.format)

		if how.mode == "tls" {
			fmt.Fprintf(&config,
				"    tls On\n    tls.verify On\n    tls.verify_hostname On\n    tls.ca_file %s\n",
				r.path("syslog-ca.pem"))
		}
	}

	return config.String()
}

// TestThreeHundredTenantsEachUnderItsOwnTag runs many tenants (300 in make torture) of
// one input with a tag each; the output writes the tag into the event's source.
func TestThreeHundredTenantsEachUnderItsOwnTag(t *testing.T) {
	long(t)
	t.Parallel()

	const each = 20

	n := setup.Size(100, 300)
	tenants, units, file := customersOf(n, each)
	r := newRig(t, tenants, receiver.HECConfig{Tokens: map[string]receiver.HECToken{hecToken: {}}})
	r.write("customers.yaml", file)
	// The head of the example with many customers, and one output that shows the tag.
	r.install("tenants.conf", "tenants.conf")

	head, _, _ := strings.Cut(content(t, "tenants.conf"), "# One output per HEC token")
	r.write("tenants.conf", head+showingTheTag)

	began := time.Now()

	r.start("tenants.conf")
	r.until("all alerts", 120*time.Second, func() bool {
		return len(recordIDs(r.hec.Events())) >= n*(each+1) // each tenant has a record of its health, too
	})

	took := time.Since(began)

	r.stop()

	wrong := 0
	byHost := map[string][]receiver.HECEvent{}

	for _, e := range r.hec.Events() {
		byHost[e.Host] = append(byHost[e.Host], e)

		if e.Source != "defender."+e.Host || e.Index != e.Host {
			if wrong++; wrong < 3 {
				t.Errorf("an event of %s has the tag %s and the index %s", e.Host, e.Source, e.Index)
			}
		}
	}

	all := outcome{}

	for _, f := range units {
		o := accountSplunk(t, r.sim, byHost[f.tenant], f)
		if !o.perfect() || o.expected != each {
			t.Errorf("%s: %v", f.tenant, o)
		}

		all = all.plus(o)
	}

	t.Logf("%d tenants: %v, under a wrong tag %d, within %v", n, all, wrong, took.Round(time.Second))

	if strings.Contains(r.logText(), "cannot mmap") {
		t.Error("more chunks than storage.max_chunks_up")
	}
}

// showingTheTag is an output that shows the tag of each event as its source.
const showingTheTag = `[OUTPUT]
    Name                splunk
    Match               defender.*
    Host                ${SPLUNK_HEC_HOST}
    Port                ${SPLUNK_HEC_PORT}
    tls                 On
    tls.ca_file         ${SPLUNK_CA_FILE}
    Splunk_Token        ${SPLUNK_HEC_TOKEN}
    Event_Source        $TAG
    Event_Index_Key     $mssp['tenant']
    Event_Host          $mssp['tenant']
    Event_Field         record_id $mssp['record_id']
    Retry_Limit         no_limits
`

// customersOf returns n customers with some alerts each, and their tenants file.
func customersOf(n, each int) (tenants []simulator.Tenant, units []unit, file string) {
	file = "defaults:\n  api: graph\n  client_id: " + clientID + "\n" +
		"  client_secret_file: ${DEFENDER_CLIENT_SECRET_FILE}\n  poll_interval: 10s\n" +
		"  login_url: ${LOGIN_URL}\n  api_url: ${API_URL_graph}\ntenants:\n"

	for i := range n {
		f := unit{fmt.Sprintf("30000000-0000-0000-0000-%012d", i), fmt.Sprintf("customer%03d", i), "graph"}
		tenants = append(tenants, customer(f.tenantID, f.tenant, each))
		units = append(units, f)
		file += fmt.Sprintf("  - tenant_id: %s\n    tenant_name: %s\n    tag: defender.%s\n",
			f.tenantID, f.tenant, f.tenant)
	}

	return tenants, units, file
}
