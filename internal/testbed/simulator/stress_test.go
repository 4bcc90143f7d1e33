package simulator_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// TestEverythingAtOnce is for the race detector: requests of all kinds, changes of all
// kinds, readers of the books.
func TestEverythingAtOnce(t *testing.T) {
	f := start(t, func(c *simulator.Config) {
		c.Faults, c.Rotation = "cut:p=0.1,late:p=0.1;by=1s,move:p=0.2,gzip:p=0.2,dup:p=0.1", simulator.Strict
		c.Quotas = map[string]simulator.Quota{}
		for _, api := range simulator.APIs() {
			c.Quotas[api] = simulator.Quota{}
		}
	})
	f.Generate(contoso, 200, simulator.GenerateOptions{})
	f.Add(contoso, simulator.Alert{ID: "a", IncidentID: 5, Created: f.clock.Now()})
	f.clock.Advance(time.Second)

	var wg sync.WaitGroup

	tokens := map[string]string{}
	for _, api := range simulator.APIs() {
		tokens[api] = "Bearer " + f.access(api, contoso)
	}

	more := map[string]string{simulator.SIEM: "?ago=P1D", simulator.Graph: "?$top=50&$count=true"}

	for _, api := range simulator.APIs() {
		path := simulator.WholePath(api) + more[api]

		for range 2 {
			wg.Go(func() {
				for range 10 {
					do(t, "GET", f.APIURL(api)+path, "", "Authorization", tokens[api])
				}
			})
		}
	}

	wg.Go(func() {
		for i := range 30 {
			f.Add(contoso, simulator.Alert{ID: fmt.Sprint("n", i), IncidentID: 5, Created: f.clock.Now()})
			f.Update(contoso, "a", f.clock.Now(), nil)
			f.clock.Advance(time.Millisecond)
		}
	})
	wg.Go(func() {
		for range 10 {
			f.token(contoso+"/oauth2/token", refreshV1)
			f.token(contoso+"/oauth2/v2.0/devicecode", deviceV2)
			f.ask(contoso+"/oauth2/authorize", askV1)
			f.SetApp(contoso, client, func(a *simulator.App) { a.Disabled = false })
			f.SetMSSPAuthorised(contoso, true)
		}
	})
	wg.Go(func() {
		for i := range 20 {
			f.Ledger(contoso, simulator.APIs()[i%len(simulator.APIs())])
			f.Requests()
		}
	})
	wg.Wait()

	if err := f.SetFaults(""); err != nil {
		t.Fatal(err)
	}

	f.clock.Advance(time.Minute)

	for api, path := range listPath {
		want := len(f.Ledger(contoso, api).Latest)
		if a := f.get(api, contoso, path+"?$count=true&$top=1"); a.json(t)["@odata.count"] != float64(want) {
			t.Errorf("%s: %s listed, the ledger has %d", api, a.body[:100], want)
		}
	}
}

func TestConcurrencyIsCounted(t *testing.T) {
	meet := make(chan struct{})

	var once sync.Mutex

	waiting := 0
	f := start(t, func(c *simulator.Config) {
		c.Faults = "latency:by=1s;api=all"
		c.Sleep = func(context.Context, time.Duration) {
			once.Lock()
			if waiting++; waiting == 3 {
				close(meet)
			}
			once.Unlock()
			<-meet
		}
	})

	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { f.token(contoso+"/oauth2/token", refreshV1) })
	}

	wg.Wait()

	got := f.Requests()
	if got.Concurrent["token"] != 3 || got.ConcurrentTenant["token "+contoso] != 3 || got.ConcurrentChain != 3 {
		t.Errorf("counted %v, %v, %d of a chain", got.Concurrent, got.ConcurrentTenant, got.ConcurrentChain)
	}

	if f.token(contoso+"/oauth2/token", refreshV1); f.Requests().ConcurrentChain != 3 {
		t.Errorf("the counts do not end: %+v", f.Requests())
	}
}

func TestServedVersionsStayInTheLedger(t *testing.T) {
	f := start(t)
	f.Add(contoso, simulator.Alert{ID: "a", IncidentID: 5, Created: f.clock.Now()})

	for api, path := range listPath {
		f.get(api, contoso, path)
	}
	// At the very same moment of the virtual clock the alert is updated and the
	// incident grows.
	f.Update(
		contoso,
		"a",
		f.clock.Now(),
		func(a *simulator.Alert) { a.Updated = a.Updated.Add(100 * time.Nanosecond) },
	)
	f.Add(contoso, simulator.Alert{ID: "b", IncidentID: 5, Created: f.clock.Now()})

	for api, want := range map[string]int{simulator.Endpoint: 3, simulator.Graph: 3, simulator.Incidents: 2} {
		l := f.Ledger(contoso, api)

		served := 0
		for range l.Served {
			served++
		}

		if served != 1 || len(l.Exists) != want {
			t.Errorf("%s: %d served of %d, want 1 of %d: %v", api, served, len(l.Exists), want, l.Latest)
		}
	}
}

func TestSignInAtCommon(t *testing.T) {
	f := start(t, auto)
	_, back := f.ask(
		"common/oauth2/authorize",
		with(askV1, "client_id", public, "redirect_uri", "http://localhost"),
	)
	if back.Get("code") == "" {
		t.Errorf("a multi-tenant application got no code: %v", back)
	}

	f.SetApp(contoso, public, func(a *simulator.App) { a.SingleTenant = true })

	a, _ := f.ask("common/oauth2/authorize", with(askV1, "client_id", public, "redirect_uri", "http://localhost"))
	if a.status != 400 || !strings.Contains(a.body, "AADSTS50194") {
		t.Errorf("a single-tenant application: %d %s", a.status, a.body)
	}
}

func TestStallBeforeTheHead(t *testing.T) {
	f := start(t, func(c *simulator.Config) { c.Faults = "stall:kind=head;count=1" })
	token := "Bearer " + f.access(simulator.SIEM, contoso)

	done := make(chan answer)
	go func() { done <- do(t, "GET", f.APIURL(simulator.SIEM)+"/api/alerts", "", "Authorization", token) }()

	for f.Requests().Faults["stall"] == 0 {
		select {
		case a := <-done:
			t.Fatalf("it was answered: %d", a.status)
		default:
		}
	}

	if err := f.Close(); err != nil { // ends what stalls
		t.Error(err)
	}

	if a := <-done; a.err == nil {
		t.Errorf("it was answered: %d", a.status)
	}
}
