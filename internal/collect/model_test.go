package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// alert is one version of an alert in the tenant.
type listed struct {
	id      string
	updated tick.Tick
	visible time.Time // from when on it is listed
	created tick.Tick // 0 but in the tests that are about it
	text    []byte    // as the API sends it, made at the first time
}

// tenantAPI is the API of one tenant: a Reader over a list of alerts that grows. It
// answers as the SIEM exporter does, unsorted and in one piece, and breaks off where
// the test says.
type tenantAPI struct {
	mu     sync.Mutex
	alerts []listed
	fail   func(row int) error // before each row, and once at the end
	reads  []defender.Window
	rng    *rand.Rand
}

func (a *tenantAPI) add(id string, updated, visible time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()

	a.alerts = append(a.alerts, listed{id, tick.FromTime(updated), visible, 0, nil})
}

func (a *tenantAPI) Read(ctx context.Context, w defender.Window, sink defender.Sink) error {
	a.mu.Lock()
	a.reads = append(a.reads, w)

	var listed [][]byte // what is sent, not the alerts: the list may grow and move while this answer is read

	for i := range a.alerts {
		x := &a.alerts[i]
		if x.updated >= w.From && (w.To == 0 || x.updated < w.To) && !x.visible.After(time.Now()) {
			listed = append(listed, x.json())
		}
	}

	a.rng.Shuffle(len(listed), func(i, j int) { listed[i], listed[j] = listed[j], listed[i] })
	a.mu.Unlock()

	for i, row := range listed {
		if err := a.failure(i); err != nil {
			return err
		}

		if err := sink.Row(row); err != nil {
			return err
		}
	}

	if err := a.failure(len(listed)); err != nil {
		return err
	}

	return ctx.Err()
}

func (a *tenantAPI) failure(row int) error {
	a.mu.Lock()
	defer a.mu.Unlock()

	if a.fail == nil {
		return nil
	}

	return a.fail(row)
}

func (x *listed) json() []byte {
	if x.text != nil {
		return x.text
	}

	b, err := json.Marshal(map[string]any{"FullId": x.id, "LastProcessedTimeUtc": x.updated.Text(), "AlertTitle": "t",
		"id": x.id, "lastUpdateDateTime": x.updated.Text(), "createdDateTime": x.created.Text()})
	if err != nil {
		panic(err)
	}

	x.text = b

	return b
}

// padded is an alert with a text of this size.
func padded(id string, updated time.Time, size int) []byte {
	return fmt.Appendf(nil, `{"FullId":%q,"LastProcessedTimeUtc":%q,"text":%q}`,
		id, tick.FromTime(updated).Text(), strings.Repeat("x", size))
}

// chunks is where Fluent Bit keeps what was delivered.
type chunks struct {
	mu      sync.Mutex
	ids     []string
	tags    []string
	refuse  func(ids []string) bool
	appends int
	replays []string // ids of what had the mark
	health  []string
	lags    []float64 // of the health records, those too that were refused
	ends    []string  // when the relationship with the customer ends, by record; empty without one
}

func (c *chunks) append(tag string, events []byte) bool {
	var ids, health, replays []string

	for rest := events; len(rest) > 0; {
		event, more, err := record.Next(rest)
		if err != nil {
			panic(err)
		}

		_, text, err := record.Decode(event)
		if err != nil {
			panic(err)
		}

		switch gjson.GetBytes(text, "mssp.kind").String() {
		case "alert":
			ids = append(ids, gjson.GetBytes(text, "FullId").String())
			if gjson.GetBytes(text, "mssp.replay").Bool() {
				replays = append(replays, gjson.GetBytes(text, "FullId").String())
			}
		case "health":
			status, message := gjson.GetBytes(text, "status"), gjson.GetBytes(text, "message")
			health = append(health, time.Now().Format("15:04:05 ")+status.String()+" "+message.String())
			c.lags = append(c.lags, gjson.GetBytes(text, "lag_seconds").Float())
			c.ends = append(c.ends, gjson.GetBytes(text, "relationship_end").String())
		}

		rest = more
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	c.appends++
	if c.refuse != nil && c.refuse(ids) {
		return false
	}

	c.health = append(c.health, health...)
	c.replays = append(c.replays, replays...)
	c.ids, c.tags = append(c.ids, ids...), append(c.tags, tag)

	return true
}

func (c *chunks) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()

	n := map[string]int{}
	for _, id := range c.ids {
		n[id]++
	}

	return n
}

// rig is one process of Fluent Bit with one input, one tenant.
type rig struct {
	t     *testing.T
	store *memory
	api   *tenantAPI
	chunk *chunks
	cfg   UnitConfig
	rules alert.Rules
	limit int
	clock time.Duration // how far that of the next process is ahead
	seen  *progress.Budget
	lease Lease
	in    *Input
	log   lines
	ends  context.CancelFunc
}

func newRig(t *testing.T, seed uint64) *rig {
	r := &rig{
		t:     t,
		store: newMemory(),
		api:   &tenantAPI{rng: rand.New(rand.NewPCG(seed, 1))},
		chunk: &chunks{},
		limit: 1 << 20,
	}
	key := alert.UnitKey{LoginHost: "login.test", TenantID: "contoso.test", API: "siem"}
	r.rules = alert.Rules{API: alert.SIEM, TenantID: key.TenantID, Updates: true}
	r.cfg = UnitConfig{
		Key:           key,
		Name:          "contoso",
		PollInterval:  time.Minute,
		Lookback:      24 * time.Hour,
		Overlap:       10 * time.Minute,
		SweepInterval: time.Hour,
		SweepLookback: 24 * time.Hour,
		Reader:        r.api,
		SignIn:        func(context.Context) error { return nil },
	}

	return r
}

// start begins a process; its collect callback comes once a second.
func (r *rig) start() *Unit {
	r.in = NewInput(Config{
		Store:          r.store,
		Now:            func() time.Time { return time.Now().Add(r.clock) },
		BufferLimit:    r.limit,
		MaxConcurrency: 2,
		Seen:           r.seen,
		Lease:          r.lease,
		Log:            slog.New(&r.log),
	})
	tenant := r.in.Add(r.tenant())
	ctx, cancel := context.WithCancel(context.Background())

	ended := make(chan struct{})
	go func() {
		defer close(ended)

		second := time.NewTicker(time.Second)
		defer second.Stop()

		for {
			select {
			case <-ctx.Done():
				return
			case <-second.C:
				r.in.Delivery.Tick(r.chunk.append, time.Second)
			}
		}
	}()

	r.ends = func() { cancel(); <-ended }
	r.in.Start()

	return tenant
}

// tenant is the tenant's configuration with an encoder of its own.
func (r *rig) tenant() UnitConfig {
	cfg := r.cfg
	cfg.Encoder, cfg.Identifier = encoderOf(r.rules), identifierOf(r.rules)

	return cfg
}

// encoderOf returns the encoder of a tenant whose rows go by the given rules.
func encoderOf(rules alert.Rules) *record.Encoder {
	e, err := record.NewEncoder(record.Options{TenantID: rules.TenantID, API: rules.API})
	if err != nil {
		panic(err)
	}

	return e
}

func identifierOf(rules alert.Rules) *alert.Identifier {
	i, err := alert.NewIdentifier(rules)
	if err != nil {
		panic(err)
	}

	return i
}

// change does something to what the model's servers and host go by, or looks at it,
// while they stand still.
func (r *rig) change(what func()) {
	r.api.mu.Lock()
	defer r.api.mu.Unlock()

	r.chunk.mu.Lock()
	defer r.chunk.mu.Unlock()

	r.store.mu.Lock()
	defer r.store.mu.Unlock()

	what()
}

// deferred returns how many windows and rejected events the store holds, parked how many
// batches.
func (r *rig) deferred() (n int) { return r.entries(false) }
func (r *rig) parked() (n int)   { return r.entries(true) }

func (r *rig) entries(parked bool) (n int) {
	r.change(func() {
		for _, a := range r.store.deferred {
			if (a.Kind == store.ParkedBatch) == parked {
				n++
			}
		}
	})

	return n
}

// reads is how many windows were asked for.
func (r *rig) reads() (n int) {
	r.change(func() { n = len(r.api.reads) })
	return n
}

// stop ends the process in good order; kill ends it without a last word.
func (r *rig) stop() {
	r.ends()

	if err := r.in.Stop(context.Background()); err != nil {
		r.t.Errorf("stop: %v", err)
	}
}

func (r *rig) kill() {
	r.ends()
	r.in.cancel()
	r.in.outbox.Close()
	r.in.wg.Wait()
}

func (r *rig) logged() []string { return r.log.all() }

// want fails the test unless exactly the alerts 0…n-1 arrived, each as often as times
// allows.
func (r *rig) want(n, most int) {
	r.t.Helper()
	counts := r.chunk.counts()
	lost, repeated := 0, 0

	for i := range n {
		switch c := counts[fmt.Sprint(i)]; {
		case c == 0:
			lost++
		case c > most:
			repeated++
		}
	}

	if lost > 0 || repeated > 0 || len(counts) != n {
		r.t.Errorf("of %d alerts %d were lost, %d repeated; %d others arrived", n, lost, repeated, len(counts)-n+lost)
	}
}
