package endtoend

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/setup"
)

// said counts the lines of a running node that have a text.
func (n *node) said(text string) (count int) {
	for _, l := range n.host.Logs() {
		if strings.Contains(l.Text, text) {
			count++
		}
	}

	return count
}

// What an operator does beside the nodes (LOCK TABLE, VACUUM FULL, ALTER TABLE) may keep
// them waiting for longer than a lease lasts.
func TestALockedTableCostsNothingButTime(t *testing.T) {
	if !setup.Long() {
		t.Skip("TORTURE_LONG=1 runs it")
	}

	const locked = time.Minute // longer than lease_ttl

	for _, table := range []string{"nodes", "units", "seen"} {
		t.Run(table, func(t *testing.T) {
			c := spread(t, clusterOptions{})
			c.grow(1)
			c.upset("")

			before := make(map[string]int)
			for _, n := range c.nodes {
				before[n.id] = len(n.host.Logs())
			}

			var holding sync.WaitGroup
			holding.Go(func() {
				c.db.Exec(t, fmt.Sprintf(`BEGIN; LOCK TABLE defender.%s; SELECT pg_sleep(%d); COMMIT`, table,
					int(locked.Seconds())))
			})
			c.grow(1)
			holding.Wait()
			c.upset("")

			// Calls that gave up are ended on the server, too.
			if n := c.db.Count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()`); n > 60 {
				t.Errorf("%d connections", n)
			}

			c.complete()
			c.balanced(c.nodes...)

			for _, n := range c.nodes {
				if lines := len(n.host.Logs()) - before[n.id]; lines > 30 {
					t.Errorf("%s logged %d lines", n.id, lines)
				}

				if count := n.said("the lease of this node has ended"); table == "nodes" && count > 2 {
					t.Errorf("%s said %d times that its lease has ended", n.id, count)
				}
			}

			c.stopAll()
			c.verdict(true)
		})
	}
}
