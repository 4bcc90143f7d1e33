package collect

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
)

// crowd is one input with many units beside each other, of which one is healthy: what
// others do must not hold it up. It runs in a synctest bubble, for one process.
type crowd struct {
	in       *Input
	chunk    *chunks
	store    *memory
	healthy  *tenantAPI // what the healthy one reads
	log      lines
	began    time.Time     // when run began
	interval time.Duration // between two polls of a unit, for those that are added from now on
}

// newCrowd makes an input of this many places whose slow tenants poll before the
// healthy one.
func newCrowd(t *testing.T, places int, slow ...defender.Reader) *crowd {
	t.Helper()

	c := &crowd{
		chunk:    &chunks{},
		store:    newMemory(),
		healthy:  newAPI(3),
		interval: 10 * time.Second,
	}

	c.in = NewInput(Config{
		Store:          c.store,
		Now:            time.Now,
		BufferLimit:    1 << 20,
		MaxConcurrency: places,
		Log:            slog.New(&c.log),
	})
	for i, reader := range slow {
		c.add(fmt.Sprintf("slow%d", i), reader)
	}

	c.add("healthy", c.healthy)

	return c
}

// add adds the unit of a tenant of this name.
func (c *crowd) add(name string, reader defender.Reader) {
	c.in.Add(c.config(name, reader))
}

// config is the configuration of the unit of a tenant of this name.
func (c *crowd) config(name string, reader defender.Reader) UnitConfig {
	rules := alert.Rules{API: alert.SIEM, TenantID: alert.TenantID(name), Updates: true}

	return UnitConfig{
		Key:          alert.UnitKey{TenantID: alert.TenantID(name), API: "siem"},
		Name:         name,
		PollInterval: c.interval,
		Lookback:     time.Hour,
		Overlap:      10 * time.Minute,
		Identifier:   identifierOf(rules),
		Reader:       reader,
		Encoder:      encoderOf(rules),
		SignIn:       func(context.Context) error { return nil },
	}
}

// run lets the input work while what happens.
func (c *crowd) run(t *testing.T, what func()) {
	t.Helper()

	c.began = time.Now()
	c.in.Start()

	end := tick1s(c.in, c.chunk)

	what()
	end()

	if err := c.in.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}
