package endtoend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// cluster is several nodes on one PostgreSQL, with the account of what each of them
// delivered.
type cluster struct {
	t         *testing.T
	sim       *simulator.Simulator
	customers []simulator.Tenant
	server    *pgtest.Server
	db        *pgtest.Database
	look      store.Shared // an opening that only looks
	api       string
	keys      []string // of the section, in addition
	ttl       time.Duration
	replay    time.Duration // takeover_replay
	steps     time.Duration // by how much the database's clock stepped, in all
	tenants   string        // tenants_file
	key       string        // key_file
	network   string        // where the proxies lead
	target    string
	nodes     []*node

	// mu guards what was delivered; it is looked at by a goroutine of its own.
	mu         sync.Mutex
	deliveries map[string][]delivery // by record_id
	texts      map[string][]byte
	owners     map[string]string // the tenant of a record
	known      map[string]sight  // by the bytes of a record
	upsets     []upset
}

// delivery is one record that was appended to Fluent Bit.
type delivery struct {
	node   string
	at     time.Time // when it was first seen, some tenths of a second after it came
	marked bool      // mssp.replay
	gone   bool      // the disk that it was on is gone, and no output had it
}

// sight is what the account needs of a record.
type sight struct {
	id     string
	marked bool
}

// upset is what may make alerts come twice, marked: the moment at which a node died, or
// lost the database.
type upset struct {
	node string // empty: all
	at   time.Time
}

// node is one process, with its disk and its own way to the database.
type node struct {
	c       *cluster
	id      string
	launch  func(flbhost.Config) (flbhost.Process, error)
	storage string
	data    string
	proxy   *pgtest.Proxy
	host    flbhost.Process // nil before the first start
	running bool
	frozen  bool // by SIGSTOP
	have    map[sight]int
	logs    []string
}

// clusterOptions are what tests choose of a cluster; zero values are for short tests.
type clusterOptions struct {
	nodes, tenants, alerts int
	ttl, replay            time.Duration
	poll                   time.Duration
	bouncer                bool
	seed                   uint64
	sim                    func(*simulator.Config)
	keys                   []string
	server                 *pgtest.Server
}

func newCluster(t *testing.T, o clusterOptions) *cluster {
	t.Helper()

	server := o.server
	if server == nil {
		server = pgtest.Start(t)
	}

	c := &cluster{
		t:          t,
		server:     server,
		db:         server.New(t),
		customers:  tenants(max(o.tenants, 1), o.alerts),
		api:        simulator.Graph,
		keys:       append([]string{"poll_interval", cmp.Or(o.poll, time.Second).String()}, o.keys...),
		ttl:        cmp.Or(o.ttl, 5*time.Second),
		replay:     cmp.Or(o.replay, 15*time.Minute),
		network:    "unix",
		target:     server.Socket(),
		deliveries: map[string][]delivery{},
		texts:      map[string][]byte{},
		owners:     map[string]string{},
		known:      map[string]sight{},
	}
	if o.bouncer {
		c.network, c.target = "tcp", fmt.Sprintf("127.0.0.1:%d", server.Bouncer(t))
	}

	cfg := simulator.Config{Tenants: c.customers, Seed: max(o.seed, 3)}
	// Three nodes that start at once ask more often than one that stays within the quota.
	cfg.Quotas = map[string]simulator.Quota{simulator.Graph: {}}
	if o.sim != nil {
		o.sim(&cfg)
	}

	c.sim = setup.Simulator(t, cfg)
	c.files()

	for i := range o.nodes {
		c.nodes = append(c.nodes, c.newNode(i))
	}

	c.watch()

	return c
}

// files writes the tenants file and the key.
func (c *cluster) files() {
	c.t.Helper()

	var b strings.Builder
	b.WriteString("tenants:\n")

	for _, tenant := range c.customers {
		app := tenant.Apps[0]
		fmt.Fprintf(&b, "  - {tenant_id: %s, tenant_name: %s, client_id: %s, client_secret: %q, refresh_token: %q}\n",
			tenant.ID, tenant.Name, app.ClientID, app.Secret, app.RefreshTokens[0])
	}

	dir := c.t.TempDir()

	c.tenants, c.key = filepath.Join(dir, "tenants.yaml"), filepath.Join(dir, "key")
	for path, text := range map[string]string{
		c.tenants: b.String(),
		c.key:     "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// newNode returns node-1 for 0. It is run by the host that TORTURE_HOST names, which may
// be "fluent-bit" for both forms of its configuration in turn, and else by the
// conformance host.
func (c *cluster) newNode(i int) *node {
	c.t.Helper()

	host := cmp.Or(os.Getenv("TORTURE_HOST"), "host")
	if host == "fluent-bit" {
		host += []string{"-classic", "-yaml"}[i%2]
	}

	launch := hosts(c.t)[host]
	if launch == nil {
		c.t.Skipf("there is no %s", host)
	}

	return &node{
		c:       c,
		id:      fmt.Sprintf("node-%d", i+1),
		launch:  launch,
		storage: filepath.Join(c.t.TempDir(), "storage"),
		data:    filepath.Join(c.t.TempDir(), "data"),
		proxy:   pgtest.NewProxy(c.t, c.network, c.target),
		have:    map[sight]int{},
	}
}

// url is the connection string of a node, by way of its proxy.
func (n *node) url() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", n.proxy.Port(), n.c.db.Name)
}

func (n *node) section() flbhost.Instance {
	keys := append([]string{
		"tenants_file", n.c.tenants,
		"store", n.url(),
		"node_id", n.id,
		"lease_ttl", n.c.ttl.String(),
		"takeover_replay", n.c.replay.String(),
		"key_file", n.c.key,
		"data_dir", n.data,
		"api", n.c.api,
		"login_url", n.c.sim.LoginURL(),
		"api_url", n.c.sim.APIURL(n.c.api),
		"lookback", "2d",
	}, n.c.keys...)

	return flbhost.Instance{Props: flbhost.Props(keys...), Tag: "defender"}
}

// start runs the node's process on its disk, which may be that of an earlier one.
func (n *node) start() {
	n.c.t.Helper()

	if err := os.MkdirAll(n.storage, 0o700); err != nil {
		n.c.t.Fatal(err)
	}

	h, err := n.launch(flbhost.Config{
		Instances:     []flbhost.Instance{n.section()},
		StorageDir:    n.storage,
		LogLevel:      "info",
		HotReload:     true,
		CallbackLimit: -1,
		ExitLimit:     setup.LongWait,
	})
	if h != nil {
		n.c.mu.Lock()
		n.host = h
		n.c.mu.Unlock()
		n.c.t.Cleanup(func() { h.Kill() })
	}

	if err != nil {
		n.c.t.Fatalf("%s does not start: %v\n%s", n.id, err, n.c.logText())
	}

	n.running = true
}

func (c *cluster) startAll() {
	c.t.Helper()

	var all sync.WaitGroup
	for _, n := range c.nodes {
		all.Go(n.start)
	}

	all.Wait()

	if c.t.Failed() {
		c.t.FailNow()
	}
}

// ended keeps what is known of a process that has ended.
func (n *node) ended() {
	n.running, n.frozen = false, false
	for _, l := range n.host.Logs() {
		n.logs = append(n.logs, fmt.Sprintf("%s %v %s", n.id, l.Level, l.Text))
	}

	if v, ok := n.host.(interface{ Violations() []string }); ok {
		for _, text := range v.Violations() {
			n.c.t.Errorf("%s: violation: %s", n.id, text)
		}
	}

	n.c.observe()
}

// kill ends the process by SIGKILL.
func (n *node) kill() {
	n.c.upset(n.id)
	n.host.Kill()
	n.ended()
	n.c.upset(n.id)
}

// stop ends the process by SIGTERM.
func (n *node) stop() {
	n.c.t.Helper()

	ctx, cancel := context.WithTimeout(context.Background(), setup.LongWait)
	defer cancel()

	exit, err := n.host.Stop(ctx)
	if err != nil || exit.Code != 0 {
		n.c.t.Errorf("%s: stop: %+v, %v", n.id, exit, err)
	}

	n.ended()
}

// freeze stops the process by SIGSTOP; thaw lets it go on.
func (n *node) freeze() {
	n.c.t.Helper()
	n.c.upset(n.id)

	if err := n.host.Signal(syscall.SIGSTOP); err != nil {
		n.c.t.Fatal(err)
	}

	n.frozen = true
	n.c.upset(n.id)
}

func (n *node) thaw() {
	n.c.t.Helper()

	if err := n.host.Signal(syscall.SIGCONT); err != nil {
		n.c.t.Fatal(err)
	}

	n.frozen = false
}

// loseDisk deletes what a dead node had on its disk. Of the conformance host nothing that
// it delivered after since had reached an output. Of a real Fluent Bit, what its output
// delivered stays. keep says what of a tenant is not gone all the same.
func (n *node) loseDisk(since time.Time, keep func(tenantID string) bool) {
	n.c.t.Helper()
	n.c.observe()
	n.c.mu.Lock()
	defer n.c.mu.Unlock()

	chunks := n.storage
	if _, isReal := n.host.(*flbhost.Real); isReal {
		chunks = filepath.Join(n.storage, "storage")
	} else {
		for id, list := range n.c.deliveries {
			if keep != nil && keep(n.c.owners[id]) {
				continue
			}

			for i, d := range list {
				list[i].gone = d.gone || d.node == n.id && d.at.After(since)
			}
		}

		n.have = map[sight]int{}
	}

	if err := errors.Join(os.RemoveAll(chunks), os.RemoveAll(n.data)); err != nil {
		n.c.t.Fatal(err)
	}

	if err := os.MkdirAll(n.storage, 0o700); err != nil {
		n.c.t.Fatal(err)
	}
}

func (c *cluster) upset(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.upsets = append(c.upsets, upset{node, time.Now()})
}

// watch looks at what was delivered until the test ends. While the machine is so busy
// that it holds the test up, it holds the nodes up, too: their leases may end.
func (c *cluster) watch() {
	done := make(chan struct{})

	var watcher sync.WaitGroup
	watcher.Go(func() {
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-done:
				return
			case <-time.After(300 * time.Millisecond):
				c.observe()
			}

			if time.Since(last) > c.ttl/2 {
				c.upset("")
			}
		}
	})
	c.t.Cleanup(func() {
		close(done)
		watcher.Wait()

		if c.t.Failed() {
			c.t.Log(c.logText())
		}
	})
}

// observe enters what was delivered since it was called last.
func (c *cluster) observe() {
	c.mu.Lock()
	defer c.mu.Unlock()

	now := time.Now()

	for _, n := range c.nodes {
		if n.host == nil {
			continue
		}

		records, err := n.host.Records()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.t.Errorf("%s: %v", n.id, err)
			return
		}

		count := map[sight]int{}

		for _, rec := range records {
			if s := c.sight(rec); s.id != "" {
				count[s]++
			}
		}

		for s, many := range count {
			for range many - n.have[s] {
				c.deliveries[s.id] = append(c.deliveries[s.id], delivery{node: n.id, at: now, marked: s.marked})
			}
		}

		n.have = count
	}
}

// sight reads a record; one that is no alert has no id.
func (c *cluster) sight(rec flbhost.Record) sight {
	s, ok := c.known[string(rec.Event)]
	if ok {
		return s
	}

	text := rec.JSON()
	if m := gjson.GetBytes(text, "mssp"); m.Get("kind").String() == "alert" {
		s = sight{m.Get("record_id").String(), m.Get("replay").Bool()}
		c.texts[s.id], c.owners[s.id] = text, m.Get("tenant_id").String()
	}

	c.known[string(rec.Event)] = s

	return s
}

// arrived returns how often each record is with the receiver, or will be.
func (c *cluster) arrived() map[string]int {
	c.observe()
	c.mu.Lock()
	defer c.mu.Unlock()

	count := map[string]int{}

	for id, list := range c.deliveries {
		for _, d := range list {
			if !d.gone {
				count[id]++
			}
		}
	}

	return count
}

// logText is what the plugin said in every node.
func (c *cluster) logText() string {
	var b strings.Builder

	for _, n := range c.nodes {
		for _, line := range n.logs {
			b.WriteString(line + "\n")
		}

		c.mu.Lock()
		host := n.host
		c.mu.Unlock()

		if host == nil || len(n.logs) > 0 && !n.running {
			continue
		}

		for _, l := range host.Logs() {
			if !l.Core {
				fmt.Fprintf(&b, "%s %v %s\n", n.id, l.Level, l.Text)
			}
		}
	}

	return b.String()
}

func (c *cluster) until(what string, limit time.Duration, ok func() bool) time.Duration {
	c.t.Helper()

	began := time.Now()

	setup.Until(c.t, what, limit, ok, func() string {
		return fmt.Sprintf("%v\n%s", c.shares(), c.logText())
	})

	return time.Since(began)
}

// holders returns who polls each tenant, by an opening of the test's own, which only
// looks. While the database is away it returns nothing.
func (c *cluster) holders() map[string]store.Holder {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	if c.look == nil {
		opened, err := postgres.Open(postgres.Options{URL: c.db.URL(), ReadOnly: true})
		if err != nil {
			return nil
		}

		c.look = opened
		c.t.Cleanup(func() { _ = opened.Close() })
	}

	list, err := c.look.Holders(ctx)
	if err != nil {
		return nil
	}

	found := map[string]store.Holder{}
	for key, h := range list {
		found[string(key.TenantID)] = h
	}

	return found
}

// shares returns how many units each live node holds.
func (c *cluster) shares() map[string]int {
	count := map[string]int{}

	for _, h := range c.holders() {
		if h.Live {
			count[h.Node]++
		}
	}

	return count
}

// balanced waits until the nodes, those that run, hold all units, each as many as any
// other or one more.
func (c *cluster) balanced(nodes ...*node) time.Duration {
	c.t.Helper()

	var names []string
	for _, n := range nodes {
		names = append(names, n.id)
	}

	slices.Sort(names)

	return c.until(fmt.Sprintf("%v share %d units", names, len(c.customers)), time.Minute, func() bool {
		shares, total := c.shares(), 0
		for _, n := range shares {
			total += n
		}

		if total != len(c.customers) || !slices.Equal(slices.Sorted(maps.Keys(shares)), names) {
			return false
		}

		counts := slices.Collect(maps.Values(shares))

		return slices.Max(counts)-slices.Min(counts) <= 1
	})
}

// grow adds n new alerts to every customer.
func (c *cluster) grow(n int) {
	now := time.Now()

	for _, tenant := range c.customers {
		for i := range n {
			c.sim.Add(tenant.ID, simulator.Alert{
				Title:   fmt.Sprintf("new %d", i),
				Created: now.Add(-time.Duration(i) * time.Millisecond),
			})
		}
	}
}

// complete waits until every alert has arrived in its latest version.
func (c *cluster) complete() time.Duration {
	c.t.Helper()

	missing := func() (list []string) {
		got := c.arrived()
		for _, tenant := range c.customers {
			for _, key := range c.sim.Ledger(tenant.ID, c.api).Latest {
				if got[recordID(tenant.ID, c.api, key)] == 0 {
					list = append(list, tenant.Name)
					break
				}
			}
		}

		return list
	}
	began := time.Now()

	setup.Until(c.t, "everything listed has arrived", time.Minute, func() bool { return len(missing()) == 0 },
		func() string {
			return fmt.Sprintf("missing of %v, %v\n%s", missing(), c.shares(), c.logText())
		})

	return time.Since(began)
}

// stopAll ends the nodes that run in good order, one after the other.
func (c *cluster) stopAll() {
	c.t.Helper()

	for _, n := range c.nodes {
		if n.running {
			n.stop()
		}
	}
}
