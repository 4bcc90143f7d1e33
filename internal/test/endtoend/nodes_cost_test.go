package endtoend

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
)

// cpuTime returns how long a process, and with children those that it started and that
// still run, have used a processor.
func cpuTime(t *testing.T, pid int, children bool) time.Duration {
	t.Helper()

	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}

	ticks := 0

	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name of the program, in parentheses, may have spaces.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))

		self := filepath.Base(filepath.Dir(path)) == strconv.Itoa(pid)
		if !self && (!children || fields[1] != strconv.Itoa(pid)) {
			continue
		}

		for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
			n, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}

			ticks += n
		}
	}

	return time.Duration(ticks) * 10 * time.Millisecond
}

// TestIdleUnitsOnPostgreSQLCostLittle logs what units cost in which nothing happens, on
// SQLite and on PostgreSQL. The long form has the figures of docs/performance.md.
func TestIdleUnitsOnPostgreSQLCostLittle(t *testing.T) {
	t.Parallel()
	o := clusterOptions{
		nodes:   1,
		tenants: setup.Size(20, 1000),
		poll:    time.Minute,
		ttl:     15 * time.Second,
		server:  pgtest.Start(t, "shared_preload_libraries=pg_stat_statements", "fsync=on"),
	}
	settle, measure := time.Duration(setup.Size(2, 90))*time.Second, time.Duration(setup.Size(3, 180))*time.Second

	c := newCluster(t, o)
	c.db.Exec(t, "CREATE EXTENSION pg_stat_statements")
	n := c.nodes[0]
	c.startAll()
	c.balanced(n)
	time.Sleep(settle)
	c.db.Exec(t, "SELECT pg_stat_statements_reset()")
	plugin, server := cpuTime(t, n.host.PID(), false), cpuTime(t, c.server.PID(), true)
	commits := c.commits()

	time.Sleep(measure)

	plugin, server = cpuTime(t, n.host.PID(), false)-plugin, cpuTime(t, c.server.PID(), true)-server
	seconds := measure.Seconds()
	t.Logf("PostgreSQL, %d units: plugin %.2f %% of a processor, server %.2f %%; %.1f transactions, %.1f statements "+
		"a second",
		o.tenants, 100*plugin.Seconds()/seconds, 100*server.Seconds()/seconds,
		float64(c.commits()-commits)/seconds, float64(c.db.Count(t, `SELECT sum(calls)::bigint FROM pg_stat_statements s
			JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database()`))/seconds)
	t.Logf("tables: %d KiB", c.db.Count(t, `SELECT sum(pg_total_relation_size(c.oid))::bigint / 1024 FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'defender' AND c.relkind = 'r'`))
	c.stopAll()

	h, err := n.launch(flbhost.Config{
		Instances:     []flbhost.Instance{c.sqlite(t.TempDir())},
		StorageDir:    t.TempDir(),
		CallbackLimit: -1,
		ExitLimit:     setup.LongWait,
	})
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { h.Kill() })
	time.Sleep(settle)

	plugin = cpuTime(t, h.PID(), false)

	time.Sleep(measure)
	t.Logf("SQLite, %d units: plugin %.2f %% of a processor", o.tenants,
		100*(cpuTime(t, h.PID(), false)-plugin).Seconds()/seconds)
}

// commits returns how many transactions the database has committed.
func (c *cluster) commits() int64 {
	c.t.Helper()
	return c.db.Count(c.t, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
}

// sqlite is the section of a node that keeps everything in files.
func (c *cluster) sqlite(data string) flbhost.Instance {
	section := c.nodes[0].section()
	keys := map[string]bool{
		"store":           true,
		"node_id":         true,
		"lease_ttl":       true,
		"takeover_replay": true,
		"data_dir":        true,
	}

	var props []flbhost.Property

	for _, p := range section.Props {
		if !keys[p.Key] {
			props = append(props, p)
		}
	}

	section.Props = append(props, flbhost.Props("data_dir", fmt.Sprint(filepath.Join(data, "state")))...)

	return section
}
