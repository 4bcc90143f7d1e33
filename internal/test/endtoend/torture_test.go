package endtoend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// The torture test runs random faults of the servers against random events of the host
// and holds the simulator's ledger against what reached the chunks. TORTURE_RUNS is how
// many runs (default 3), TORTURE_SEED the first one's seed; TORTURE_HOST picks one
// host.

// faultMenu is what may go wrong with the servers, each with what is put in for %.
var faultMenu = []string{
	"429:p=%;wait=1s",
	"429:p=%;wait=1s;after=date",
	"429:p=%;after=none",
	"500:p=%",
	"502:p=%",
	"503:p=%",
	"401:p=%",
	"refuse:p=%",
	"reset:p=%",
	"cut:p=%",
	"cut:p=%;kind=chunked",
	"cut:p=%;kind=clean",
	"junk:p=%;kind=html",
	"junk:p=%;kind=json",
	"junk:p=%;kind=list",
	"junk:p=%;kind=empty",
	"gzip:p=0.5",
	"shuffle",
	"dup:p=0.2",
	"drip:p=%;rate=200000",
	"stall:p=0.03;at=0.5",
	"login503:p=%",
	"die=2s:p=0.3",
	"latency:p=%;by=700ms",
	"skew=-10m",
	"skew=10m",
	"503:from=3s;to=6s",
	"aadsts=70000:p=0.05",
	"refuse:p=%;api=login",
	"move:p=0.2",
	"emptypage:p=0.2",
	"link:p=0.2;kind=skiptoken",
	"link:p=0.2;kind=otherhost",
	"lastlink:p=0.5",
	"ties",
}

func torture(t *testing.T, r *rig, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 77))

	var faults []string

	skewed := false

	for range 1 + rng.IntN(4) {
		f := strings.ReplaceAll(
			faultMenu[rng.IntN(len(faultMenu))],
			"%",
			strconv.FormatFloat(0.02+0.25*rng.Float64(), 'f', 2, 64),
		)
		if strings.HasPrefix(f, "skew") {
			if skewed {
				continue
			}

			skewed = true
		}

		faults = append(faults, f)
	}

	cfg := simulator.Config{Tenants: tenants(2, 150), Seed: seed, Faults: strings.Join(faults, ",")}
	if rng.IntN(2) == 0 {
		cfg.Rotation, cfg.TokenLife = simulator.Strict, 3*time.Second
	}

	if rng.IntN(4) == 0 {
		cfg.OrderBy = simulator.OrderIgnored
	}

	if rng.IntN(4) == 0 {
		cfg.GraphLinks = simulator.LinkSkip
	}

	r.simulate(cfg)

	apis := simulator.APIs()
	api := apis[rng.IntN(len(apis))]

	var sections []flbhost.Instance

	for _, c := range cfg.Tenants {
		keys := []string{
			"sweep_interval",
			"2s",
			"http_timeout",
			"2s",
			"buffer_limit",
			[]string{"32M", "100K"}[rng.IntN(2)],
		}
		if api != "siem" {
			keys = append(keys, "page_size", []string{"", "37", "7"}[rng.IntN(3)])
		}

		sections = append(sections, r.section(c, api, keys...))
	}

	tr := &trial{
		r:         r,
		rng:       rng,
		sections:  sections,
		customers: cfg.Tenants,
		api:       api,
	}

	for _, f := range faults {
		if strings.HasPrefix(f, "skew") {
			tr.skew = f
		}
	}

	t.Logf("seed %d: %s, faults %s, rotation %v, order %v",
		seed, api, strings.Join(faults, ","), cfg.Rotation, cfg.OrderBy)
	tr.start()

	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); {
		tr.work(time.Duration(200+rng.IntN(1500)) * time.Millisecond)
		tr.event()
	}

	tr.finish()
	tr.verdict(seed)
}

// trial is one run.
type trial struct {
	r         *rig
	rng       *rand.Rand
	sections  []flbhost.Instance
	customers []simulator.Tenant
	api       string
	skew      string // the fault of the servers' clock, if there is one
	added     int
	snaps     []snap
	ends      []snap      // what was in the chunks when a process ended
	stops     []time.Time // every end of the plugin, reloads too
	kills     int
	restored  bool
	events    []string
}

// snap is what had arrived at a moment: record_id to how often.
type snap struct {
	at    time.Time
	ids   map[string]int
	early int // requests so far that came before the time a Retry-After had named
}

func (tr *trial) start() {
	tr.r.t.Helper()

	for try := 0; ; try++ {
		err := tr.r.start(tr.sections...)
		if err == nil {
			return
		}

		if try == 3 {
			tr.r.t.Fatalf("start: %v\n%s", err, tr.r.logText())
		}

		time.Sleep(200 * time.Millisecond) // the lock of a killed process goes with its last thread
	}
}

// work lets time pass while alerts turn up and change.
func (tr *trial) work(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(150 * time.Millisecond) {
		c := tr.customers[tr.rng.IntN(len(tr.customers))]
		now := time.Now()

		switch tr.rng.IntN(4) {
		case 0: // new ones, now
			tr.add(c, 1+tr.rng.IntN(20), now.Add(-time.Second), now)
		case 1: // listed hours late
			tr.add(c, 1+tr.rng.IntN(5), now.Add(-6*time.Hour), now)
		case 2: // an update
			ledger := tr.r.sim.Ledger(c.ID, "graph")
			for identity := range ledger.Latest {
				tr.r.sim.Update(c.ID, identity, now, func(a *simulator.Alert) { a.Status = "InProgress" })
				break
			}
		}

		tr.snapshot()
	}
}

func (tr *trial) add(c simulator.Tenant, n int, since, until time.Time) {
	tr.added++
	tr.r.sim.Generate(c.ID, n, simulator.GenerateOptions{Name: strconv.Itoa(tr.added), Since: since, Until: until})
}

// ids returns how often each version was delivered to Fluent Bit: what reached an output,
// and what waits in Fluent Bit's chunks on disk.
func (tr *trial) ids() map[string]int {
	records, err := tr.r.host.Records()
	if err != nil {
		tr.r.t.Fatal(err)
	}

	ids := map[string]int{}

	for _, rec := range records {
		if some := tr.r.alert(rec); some.id != "" {
			ids[some.id]++
		}
	}

	if _, isReal := tr.r.host.(*flbhost.Real); isReal {
		tr.waiting(ids)
	}

	return ids
}

// chunkID finds the ids of records in a chunk: in msgpack two bytes, d9 20, precede a
// text of 32 bytes. The first is no UTF-8, which a dot matches.
var chunkID = regexp.MustCompile(`record_id. ([0-9a-f]{32})`)

// waiting adds the records that Fluent Bit has on disk and has not delivered. A chunk
// that was delivered this moment may still be there, and counts twice.
func (tr *trial) waiting(ids map[string]int) {
	chunks, err := filepath.Glob(filepath.Join(tr.r.storage, "storage", "*", "*.flb"))
	if err != nil {
		tr.r.t.Fatal(err)
	}

	for _, chunk := range chunks {
		text, err := os.ReadFile(chunk)
		if errors.Is(err, fs.ErrNotExist) {
			continue // delivered since
		}

		if err != nil {
			tr.r.t.Fatal(err)
		}

		for _, found := range chunkID.FindAllSubmatch(text, -1) {
			ids[string(found[1])]++
		}
	}
}

func (tr *trial) snapshot() {
	if n := len(tr.snaps); n > 0 && time.Since(tr.snaps[n-1].at) < time.Second {
		return
	}

	tr.snaps = append(tr.snaps, snap{time.Now(), tr.ids(), tr.early()})
}

// event lets something happen to the process, or nothing.
func (tr *trial) event() {
	host, _ := tr.r.host.(*flbhost.Host)

	ctx, cancel := context.WithTimeout(context.Background(), setup.LongWait)
	defer cancel()

	pick := tr.rng.IntN(8)
	if pick <= 2 || pick == 5 {
		defer func() { tr.stops = append(tr.stops, time.Now()) }()
	}

	switch {
	case pick == 0:
		tr.note("kill")
		tr.r.host.Kill()
		tr.kills++
		tr.ends = append(tr.ends, snap{at: time.Now(), ids: tr.ids()})
		tr.start()
	case pick == 1:
		tr.note("term")
		tr.r.stop()
		tr.ends = append(tr.ends, snap{at: time.Now(), ids: tr.ids()})
		tr.start()
	case pick == 2:
		tr.note("hup")

		if err := tr.r.host.Reload(ctx, tr.sections); err != nil {
			tr.r.t.Fatalf("reload: %v\n%s", err, tr.r.logText())
		}
	case pick == 3 && host != nil:
		tr.note("pause")
		i := tr.rng.IntN(len(tr.sections))
		host.Limit(i)
		tr.work(time.Duration(tr.rng.IntN(2000)) * time.Millisecond)
		host.Resume(i)
	case pick == 4 && host != nil:
		tr.note("full")
		host.DiskFull(true)
		tr.work(time.Duration(tr.rng.IntN(2000)) * time.Millisecond)
		host.DiskFull(false)
	case pick == 5 && tr.rng.IntN(4) == 0:
		tr.note("restore")
		tr.r.stop()
		tr.stops = append(tr.stops, time.Now())

		copied := filepath.Join(tr.r.t.TempDir(), "old")
		if err := os.CopyFS(copied, os.DirFS(tr.r.data)); err != nil {
			tr.r.t.Fatal(err)
		}

		tr.start()
		tr.work(2 * time.Second)
		tr.r.stop()
		tr.stops = append(tr.stops, time.Now())
		// The tokens stay: an old copy of them would be refused by a service that
		// rotates strictly, and rightly so.
		for _, name := range []string{"defender.db", "defender.db-wal", "defender.db-shm"} {
			os.Remove(filepath.Join(tr.r.data, name))

			if text, err := os.ReadFile(filepath.Join(copied, name)); err == nil {
				if err := os.WriteFile(filepath.Join(tr.r.data, name), text, 0o600); err != nil {
					tr.r.t.Fatal(err)
				}
			}
		}

		tr.restored = true
		tr.start()
	}
}

func (tr *trial) note(event string) { tr.events = append(tr.events, event) }

// finish ends the faults and waits until everything that is listed has arrived.
func (tr *trial) finish() {
	// A clock that jumps back would hide what was stored in its future.
	if err := tr.r.sim.SetFaults(tr.skew); err != nil {
		tr.r.t.Fatal(err)
	}
	// A service that keeps no order is read in small windows, which uses the call budget
	// up: reading pauses for most of a minute then, several times.
	tr.r.until("everything listed has arrived", 12*time.Minute, func() bool {
		for _, c := range tr.customers {
			got := tr.r.arrived(c.ID, tr.api)
			for _, key := range tr.r.sim.Ledger(c.ID, tr.api).Latest {
				if got.count[recordID(c.ID, tr.api, key)] == 0 {
					return false
				}
			}
		}

		return true
	})
	time.Sleep(4 * time.Second)
	tr.r.stop()
}

// verdict compares the ledger with what arrived. Only what was delivered in the five
// seconds before a process ended may come twice.
func (tr *trial) verdict(seed uint64) {
	t := tr.r.t
	noSecrets(t, tr.r)
	tr.waited(seed)

	for _, c := range tr.customers {
		lost, repeated, bent, arrived := tr.r.account(c.ID, tr.api)
		lost -= tr.overtaken(c.ID)
		t.Logf("seed %d, %s %s: arrived %d, lost %d, repeated %d, bent %d; kills %d, events %s",
			seed, c.Name, tr.api, arrived, lost, repeated, bent, tr.kills, strings.Join(tr.events, " "))

		if lost > 0 || bent > 0 {
			t.Errorf("seed %d: %d lost, %d bent", seed, lost, bent)
			tr.explain(c.ID)
		}

		if tr.restored {
			continue
		}

		var wrong []string

		for id, n := range tr.r.arrived(c.ID, tr.api).count {
			if n > 1+tr.allowed(id) {
				wrong = append(wrong, fmt.Sprintf("%s ×%d", id, n))
			}
		}

		sort.Strings(wrong)

		if len(wrong) > 0 {
			t.Errorf("seed %d: repeated without a reason: %s", seed, strings.Join(wrong[:min(len(wrong), 5)], ", "))
			tr.explainRepeats(c.ID, wrong[:min(len(wrong), 5)])
		}
	}
}

func (tr *trial) early() (n int) {
	for _, count := range tr.r.sim.Requests().Early {
		n += count
	}

	return n
}

// waited checks that no process asked again before the time that a Retry-After had
// named to it. The waits die with the process; those of the faults are two seconds at
// most. A quota's last up to a minute, and new processes know nothing of the calls of
// old ones: where one was used up nothing can be said.
func (tr *trial) waited(seed uint64) {
	for _, n := range tr.r.sim.Requests().OverQuota {
		if n > 0 {
			return
		}
	}

	for i := 1; i < len(tr.snaps); i++ {
		since, until := tr.snaps[i-1], tr.snaps[i]
		if until.early > since.early && !slices.ContainsFunc(tr.stops, func(end time.Time) bool {
			return end.After(since.at.Add(-3*time.Second)) && end.Before(until.at)
		}) {
			tr.r.t.Errorf(
				"seed %d: %d requests before a Retry-After had passed (%v in all), between %s and %s; ends at %v",
				seed,
				until.early-since.early,
				tr.r.sim.Requests().Early,
				since.at.Format("05.000"),
				until.at.Format("05.000"),
				times(tr.stops),
			)
		}
	}
}

// overtaken counts the versions that were answered just before the plugin ended and
// replaced by a later one before it polled again: they died with the process, and
// nothing can bring them back. The latest version is never among them.
func (tr *trial) overtaken(tenantID string) (n int) {
	ledger := tr.r.sim.Ledger(tenantID, tr.api)
	got := tr.r.arrived(tenantID, tr.api)

	for key, first := range ledger.First {
		identity, _, _ := strings.Cut(key, "\n")
		if got.count[recordID(tenantID, tr.api, key)] > 0 || ledger.Latest[identity] == key {
			continue
		}

		for _, end := range tr.stops {
			if end.After(first) && end.Sub(first) < 10*time.Second {
				n++
				break
			}
		}
	}

	return n
}

// allowed returns how often id may come again: once for each end of a process that was
// less than five seconds after a delivery of id. What was there before those seconds is
// the lesser count of the last two snapshots: in one of them a chunk that was just
// delivered may count twice.
func (tr *trial) allowed(id string) (n int) {
	for _, end := range tr.ends {
		before, last := 0, 0

		for _, s := range tr.snaps {
			if end.at.Sub(s.at) > 5*time.Second {
				before, last = min(last, s.ids[id]), s.ids[id]
			}
		}

		if end.ids[id] > before {
			n++
		}
	}

	return n
}

func TestTortureLosesNothing(t *testing.T) {
	t.Parallel()

	runs, seed := 3, uint64(1)
	if setup.Long() {
		seed = uint64(time.Now().UnixNano() % 1_000_000)
	}

	if n, err := strconv.Atoi(os.Getenv("TORTURE_RUNS")); err == nil {
		runs = n
	}

	if n, err := strconv.ParseUint(os.Getenv("TORTURE_SEED"), 10, 64); err == nil {
		seed = n
	}

	for i := range runs {
		for name, start := range hosts(t) {
			if only := os.Getenv("TORTURE_HOST"); only != "" && only != name || only == "" && !everyday(t, name) {
				continue
			}

			t.Run(fmt.Sprintf("%s/%d", name, seed+uint64(i)), func(t *testing.T) {
				t.Parallel()
				torture(t, newRig(t, start), seed+uint64(i))
			})
		}
	}
}

// explain prints what is known of lost versions.
func (tr *trial) explain(tenantID string) {
	ledger := tr.r.sim.Ledger(tenantID, tr.api)
	got := tr.r.arrived(tenantID, tr.api)

	for key, first := range ledger.First {
		identity, _, _ := strings.Cut(key, "\n")
		if got.count[recordID(tenantID, tr.api, key)] == 0 {
			tr.r.t.Logf("lost: %q, latest %t, served %d times, first at %s; ends at %v",
				key, ledger.Latest[identity] == key, ledger.Served[key], first.Format("05.000"),
				times(tr.stops))
		}
	}

	for _, l := range tr.r.logs {
		if !l.Core && l.Level <= flbhost.LevelInfo {
			tr.r.t.Logf("log: %v %s", l.Level, l.Text)
		}
	}
}

// explainRepeats prints when a repeated version was served, and when each of its
// records came.
func (tr *trial) explainRepeats(tenantID string, wrong []string) {
	ledger := tr.r.sim.Ledger(tenantID, tr.api)

	for _, text := range wrong {
		id, _, _ := strings.Cut(text, " ")
		for key, first := range ledger.First {
			if recordID(tenantID, tr.api, key) == id {
				tr.r.t.Logf("repeated: %q, served %d times, first at %s; seen %v; ends at %v, events %v", key,
					ledger.Served[key], first.Format("05.000"), tr.seen(id), times(tr.stops), tr.events)
			}
		}
	}
}

// seen lists the moments at which a snapshot had more records of the id than the one
// before.
func (tr *trial) seen(id string) (list []string) {
	n := 0
	for _, s := range tr.snaps {
		if s.ids[id] > n {
			n = s.ids[id]
			list = append(list, fmt.Sprintf("%d at %s", n, s.at.Format("05.000")))
		}
	}

	return append(list, fmt.Sprintf("%d in the end", tr.ids()[id]))
}

func times(list []time.Time) (out []string) {
	for _, at := range list {
		out = append(out, at.Format("05.000"))
	}

	return out
}
