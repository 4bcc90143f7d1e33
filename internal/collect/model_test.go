package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/tick"
)

// listed is one version of an alert in the tenant.
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

// newAPI returns an API without alerts; the seed decides in which order it lists them.
func newAPI(seed uint64) *tenantAPI { return &tenantAPI{rng: rand.New(rand.NewPCG(seed, 1))} }

// add lists an alert from a moment on.
func (a *tenantAPI) add(id string, updated, visible time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()

	a.alerts = append(a.alerts, listed{id, tick.FromTime(updated), visible, 0, nil})
}

// Read implements defender.Reader.
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

// failing makes every request fail from now on, with nil none.
func (a *tenantAPI) failing(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()

	a.fail = func(int) error { return err }
}

// failure is what happens before a row.
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

// refuseAll makes Fluent Bit take nothing, as when its disk is full.
func (c *chunks) refuseAll() { c.refuseIf(func([]string) bool { return true }) }

// refuseAny makes Fluent Bit refuse each batch that has one of these alerts in it.
func (c *chunks) refuseAny(ids ...string) {
	bad := map[string]bool{}
	for _, id := range ids {
		bad[id] = true
	}

	c.refuseIf(func(ids []string) bool {
		return slices.ContainsFunc(ids, func(id string) bool { return bad[id] })
	})
}

// accept makes Fluent Bit take everything.
func (c *chunks) accept() { c.refuseIf(nil) }

// refuseIf makes Fluent Bit refuse batches by what is in them.
func (c *chunks) refuseIf(refuse func(ids []string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.refuse = refuse
}

// append is Fluent Bit's append.
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

// counts returns how often each alert arrived.
func (c *chunks) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()

	n := map[string]int{}
	for _, id := range c.ids {
		n[id]++
	}

	return n
}

// inOrder makes Shuffle leave everything where it is.
type inOrder struct{}

func (inOrder) Uint64() uint64 { return 1<<64 - 1 }
