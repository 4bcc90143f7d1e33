package instance

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
)

// machine is a Fluent Bit on a machine of its own, with one input.
type machine struct {
	*Process
	host    *fakeHost
	handle  Handle
	stopped bool
}

// shared are machines that poll the same tenants with one database.
type shared struct {
	t         *testing.T
	sim       *simulator.Simulator
	customers []simulator.Tenant
	dir, url  string
	machines  []*machine
}

// newShared returns the customers, each with some alerts, and no machine yet.
func newShared(t *testing.T, customers int, url string) *shared {
	t.Helper()

	s := &shared{t: t, dir: t.TempDir(), url: url}
	s.sim, s.customers = simulated(t, customers, 5)

	text := fmt.Sprintf("defaults: {api: siem, poll_interval: 1s, lookback: 2d, login_url: %q, api_url: %q}\n"+
		"tenants:\n",
		s.sim.LoginURL(), s.sim.APIURL("siem"))
	for _, c := range s.customers {
		text += fmt.Sprintf("  - {tenant_id: %q, tenant_name: %q, client_id: %q, client_secret: %q, grant: "+
			"client_credentials}\n",
			c.ID, c.Name, c.Apps[0].ClientID, c.Apps[0].Secret)
	}

	s.write("tenants.yaml", text)
	s.write("key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	t.Cleanup(func() {
		for _, m := range s.machines {
			m.Exit(pipeline.ID)
		}
	})

	return s
}

func (s *shared) write(name, text string) {
	s.t.Helper()

	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// open starts a machine, with more keys; ok is false if the input does not start. Its
// lease outlasts every wait of a test, on a busy machine too, unless a key says
// otherwise.
func (s *shared) open(id, url string, more ...string) (m *machine, ok bool) {
	s.t.Helper()

	keys := config.Map{
		"tenants_file": filepath.Join(s.dir, "tenants.yaml"),
		"key_file":     filepath.Join(s.dir, "key"),
		"store":        url,
		"node_id":      id,
		"lease_ttl":    "10m",
	}
	for i := 0; i < len(more); i += 2 {
		keys[more[i]] = more[i+1]
	}

	m = &machine{Process: NewProcess(), host: &fakeHost{keys: keys}}

	m.handle, ok = m.Open(m.host, pipeline, false)
	if ok {
		s.machines = append(s.machines, m)
	}

	return m, ok
}

// start starts a machine.
func (s *shared) start(id string, more ...string) *machine {
	s.t.Helper()

	m, ok := s.open(id, s.url, more...)
	if !ok {
		s.t.Fatal(m.host.log())
	}

	return m
}

// until calls the collect callbacks of all machines until ok.
func (s *shared) until(what string, ok func() bool) {
	s.t.Helper()

	for end := time.Now().Add(setup.LongWait); !ok(); {
		if time.Now().After(end) {
			for _, m := range s.machines {
				s.t.Log(m.host.log())
			}

			s.t.Fatal("hopeless wait until " + what)
		}

		for _, m := range s.machines {
			if !m.stopped {
				m.Collect(m.handle)
			}
		}

		<-time.After(10 * time.Millisecond)
	}
}

// exit ends a machine in good order.
func (s *shared) exit(m *machine) {
	s.t.Helper()

	began := time.Now()

	m.stopped = true
	m.Exit(pipeline.ID)

	// On a busy machine it takes longer than exitTime and leaveTime, but it waits for no
	// call of a database that does not answer.
	call := callLimit(config.Store{LeaseTTL: 10 * time.Minute})
	if took := time.Since(began); took >= call {
		s.t.Errorf("the end took %v, as long as a call of the database (%v)", took, call)
	}
}

// units returns how many units a machine polls.
func (m *machine) units() int {
	i := m.get(m.handle)
	if i == nil {
		return 0
	}

	return len(i.input.Statuses())
}

// arrived returns how often each record has arrived, over all machines, and how many
// times too often without a mark.
func (s *shared) arrived() (records map[string]int, unmarked int) {
	records = map[string]int{}
	plain := map[string]int{}

	for _, m := range s.machines {
		m.host.mu.Lock()
		events := m.host.events
		m.host.mu.Unlock()

		for len(events) > 0 {
			event, rest, err := record.Next(events)
			if err != nil {
				s.t.Fatal(err)
			}

			_, text, err := record.Decode(event)
			if err != nil {
				s.t.Fatal(err)
			}

			id := gjson.GetBytes(text, "mssp.record_id").String()
			records[id]++

			if !gjson.GetBytes(text, "mssp.replay").Bool() {
				if plain[id]++; plain[id] > 1 {
					unmarked++
				}
			}

			events = rest
		}
	}

	return records, unmarked
}

// more adds a new alert to each customer.
func (s *shared) more() {
	for _, c := range s.customers {
		s.sim.Add(c.ID, simulator.Alert{Title: "one more", Updated: time.Now()})
	}
}

// all reports whether every alert has arrived.
func (s *shared) all() bool {
	want := 0
	for _, c := range s.customers {
		want += len(s.sim.Ledger(c.ID, "siem").Exists)
	}

	records, _ := s.arrived()

	return len(records) >= want
}

// once fails the test unless everything has arrived once.
func (s *shared) once() {
	s.t.Helper()

	records, _ := s.arrived()
	for id, n := range records {
		if n > 1 {
			s.t.Errorf("%s has arrived %d times", id, n)
		}
	}
}

func TestTwoNodesShareTheTenantsAndHandThemOver(t *testing.T) {
	t.Parallel()

	s := newShared(t, 7, pgtest.New(t).URL().Reveal())
	a, b := s.start("a"), s.start("b")

	s.until("both have their share", func() bool { return a.units()+b.units() == 7 && max(a.units(), b.units()) == 4 })
	s.until("all has arrived", s.all)
	s.exit(a)
	s.until("the other one polls all, long before a lease ends", func() bool { return b.units() == 7 })
	s.more()
	s.until("the new ones have arrived", s.all)

	a = s.start("a") // as after a reload

	s.until("it has its share again", func() bool { return a.units() == 4 && b.units() == 3 })
	s.more()
	s.until("the last ones have arrived", s.all)
	s.once()

	for _, text := range []string{"this is node a", "lease_ttl 10m0s", "node a polls 4 of 7 now (nodes: a, b)"} {
		if !strings.Contains(a.host.log(), text) {
			t.Errorf("not logged: %q\n%s", text, a.host.log())
		}
	}
}

func TestTheTenantsOfADeadNodeComeAgainMarked(t *testing.T) {
	t.Parallel()

	const ttl = "10s" // on a busy machine a shorter lease may end by itself

	db := pgtest.New(t)
	proxy := pgtest.NewProxy(t, "unix", db.Server.Socket())
	s := newShared(t, 4, db.URL().Reveal())
	b := s.start("b", "lease_ttl", ttl)

	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", proxy.Port(), db.Name)

	a, ok := s.open("a", url, "lease_ttl", ttl)
	if !ok {
		t.Fatal(a.host.log())
	}

	s.until("both have their share", func() bool { return a.units() == 2 && b.units() == 2 })
	s.until("all has arrived", s.all)
	proxy.Freeze()
	s.until("the other one polls all", func() bool { return b.units() == 4 })

	count := a.host.count()

	s.more()
	s.until("the new ones have arrived", s.all)

	if n := a.host.count(); n != count {
		t.Errorf("a node without a lease has delivered %d events", n-count)
	}

	s.until("what the dead node had delivered comes again", func() bool {
		records, _ := s.arrived()
		repeats := 0

		for _, n := range records {
			repeats += n - 1
		}

		return repeats >= 10
	})

	if _, unmarked := s.arrived(); unmarked > 0 {
		t.Errorf("%d repeats have no mark", unmarked)
	}

	proxy.Restore()
	s.until("the node is back with its share", func() bool { return a.units() == 2 && b.units() == 2 })

	for _, text := range []string{"the lease of this node has ended", "polled by another node now"} {
		if strings.Count(a.host.log(), text) != 1 {
			t.Errorf("not logged once: %q\n%s", text, a.host.log())
		}
	}
}

func TestADatabaseThatIsAwayAtTheStartIsWaitedFor(t *testing.T) {
	t.Parallel()

	server := pgtest.Start(t)
	db := server.New(t)
	s := newShared(t, 2, db.URL().Reveal())
	server.Stop(t)

	a := s.start("a")
	s.until("the input has begun", func() bool { return a.get(a.handle).set.begun })

	if err := a.get(a.handle).set.Ready(t.Context()); err == nil {
		t.Error("it is ready without a database")
	}

	server.Launch(t)
	s.until("all has arrived", s.all)
	s.once()

	if err := a.get(a.handle).set.Ready(t.Context()); err != nil {
		t.Error(err)
	}

	server.Restart(t)
	s.more()
	s.until("the new ones have arrived", s.all)
	s.once()
}

func TestAnEndWithoutTheDatabaseIsQuick(t *testing.T) {
	t.Parallel()

	db := pgtest.New(t)
	proxy := pgtest.NewProxy(t, "unix", db.Server.Socket())
	s := newShared(t, 2, fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", proxy.Port(), db.Name))
	a := s.start("a")
	s.until("all has arrived", s.all)
	s.more()
	proxy.Freeze()

	count := a.host.count()

	s.until("something is delivered that is not committed", func() bool { return a.host.count() > count })
	s.exit(a)
	proxy.Restore()
}

func TestAReloadInOneProcessJoinsAgain(t *testing.T) {
	t.Parallel()

	s := newShared(t, 3, pgtest.New(t).URL().Reveal())
	a := s.start("a")
	s.until("all has arrived", s.all)
	a.Exit(pipeline.ID)

	// If its old lease were still there, nothing would be polled before that ends.
	handle, ok := a.Open(a.host, pipeline, false)
	if !ok {
		t.Fatalf("not started\n%s", a.host.log())
	}

	a.handle = handle

	s.more()
	s.until("the new ones have arrived", s.all)
	s.once()
}

func TestAStoreThatCannotWorkIsAnInitError(t *testing.T) {
	t.Parallel()

	db := pgtest.New(t)
	s := newShared(t, 1, db.URL().Reveal())
	s.start("a", "lease_ttl", "5s") // whoever joins waits until a lease of that name would have ended

	for name, c := range map[string]struct {
		id, url string
		says    string
	}{
		"an ID that is in use": {"a", s.url, "node_id"},
		"an unknown database":  {"b", db.Server.URL("nowhere"), "nowhere"},
		"no address":           {"b", "postgres://%zz?password=s3cret", "connection string"},
	} {
		t.Run(name, func(t *testing.T) {
			m, ok := s.open(c.id, c.url, "lease_ttl", "5s")

			log := m.host.log()
			if ok || !strings.Contains(log, c.says) || strings.Contains(log, "s3cret") {
				t.Errorf("started: %t\n%s", ok, log)
			}
		})
	}
}

func TestTwoInputsOfAProcessAreOneNode(t *testing.T) {
	t.Parallel()

	s := newShared(t, 2, pgtest.New(t).URL().Reveal())
	a := s.start("a")

	second := &fakeHost{keys: config.Map{}}
	for key, value := range a.host.keys {
		second.keys[key] = value
	}

	second.keys["state_id"] = "second"

	handle, ok := a.Open(second, Thread{ID: 2, Name: "flb-pipeline"}, false)
	if !ok {
		t.Fatal(second.log())
	}

	s.until("both poll", func() bool {
		a.Collect(handle)
		return a.units() == 2 && len(a.get(handle).input.Statuses()) == 2
	})

	other := s.start("b", "state_id", "second")

	a.Exit(2)
	s.until("another node has the units of the input that ended",
		func() bool { return other.units() == 2 && a.units() == 2 })

	second.keys["lease_ttl"] = "7s"

	if _, ok := a.Open(second, Thread{ID: 2, Name: "flb-pipeline"}, false); ok ||
		!strings.Contains(second.log(), "lease_ttl") {
		t.Errorf("two inputs of one process may disagree:\n%s", second.log())
	}
}

// The last commit of one input fails, and the other one of the process goes on: what the
// first had delivered comes again from another node, and has the mark.
func TestWhatAnInputCouldNotCommitComesMarked(t *testing.T) {
	t.Parallel()

	db := pgtest.New(t)
	s := newShared(t, 2, db.URL().Reveal())

	text, err := os.ReadFile(filepath.Join(s.dir, "tenants.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	// Each input has a customer of its own.
	lines := strings.SplitAfter(string(text), "\n")
	s.write("tenants.yaml", strings.Join(lines[:3], ""))
	s.write("second.yaml", strings.Join(slices.Delete(lines, 2, 3), ""))

	a := s.start("a")
	ending := &machine{Process: a.Process, host: &fakeHost{keys: maps.Clone(a.host.keys)}}
	ending.host.keys["tenants_file"] = filepath.Join(s.dir, "second.yaml")

	var ok bool
	if ending.handle, ok = a.Open(ending.host, Thread{ID: 2, Name: "flb-pipeline"}, false); !ok {
		t.Fatal(ending.host.log())
	}

	s.machines = append(s.machines, ending)
	s.until("all has arrived", s.all)

	db.Exec(t, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = '53100'; END $$`)
	db.Exec(t, fmt.Sprintf(`CREATE TRIGGER fail BEFORE UPDATE OF state ON defender.units
		FOR EACH ROW WHEN (OLD.tenant_id = '%s') EXECUTE FUNCTION fail()`, s.customers[1].ID))
	s.more()
	s.until("the new ones have arrived", s.all)

	ending.stopped = true
	a.Exit(2)
	db.Exec(t, `DROP TRIGGER fail ON defender.units`)

	if log := ending.host.log(); !strings.Contains(log, "could not be committed") {
		t.Fatal(log)
	}

	s.start("b", "tenants_file", filepath.Join(s.dir, "second.yaml"))
	s.until("what was not committed comes again", func() bool {
		records, _ := s.arrived()
		return slices.Max(slices.Collect(maps.Values(records))) > 1
	})

	if _, unmarked := s.arrived(); unmarked > 0 {
		t.Errorf("%d repeats have no mark", unmarked)
	}
}

func TestATenantsFileThatChangesMovesUnits(t *testing.T) {
	t.Parallel()

	s := newShared(t, 4, pgtest.New(t).URL().Reveal())
	a := s.start("a")
	s.until("all are polled", func() bool { return a.units() == 4 })

	text, err := os.ReadFile(filepath.Join(s.dir, "tenants.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	lines := strings.SplitAfter(string(text), "\n")
	s.write("tenants.yaml", strings.Join(lines[:len(lines)-2], ""))
	s.until("one is gone", func() bool { return a.units() == 3 })
	s.write("tenants.yaml", strings.Replace(string(text), "poll_interval: 1s", "poll_interval: 2s", 1))
	s.until("it is back, and all have other settings", func() bool { return a.units() == 4 })
	s.more()
	s.until("the new ones have arrived", s.all)
	s.once()
}
