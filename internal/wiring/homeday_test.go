package wiring_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

// simulated sends requests to a simulated sign-in service without a network, which
// answers after a while.
type simulated struct{ handler http.Handler }

func (s simulated) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(80 * time.Millisecond)

	answer := httptest.NewRecorder()
	s.handler.ServeHTTP(answer, r)
	res := answer.Result()
	res.Request = r

	return res, nil
}

// TestTheChainIsRedeemedAtHomeOnceADay lets customers poll for days, all at once, in
// simulated time, at a strict sign-in service: an old token ends when it is replaced.
func TestTheChainIsRedeemedAtHomeOnceADay(t *testing.T) {
	const every = 4 * time.Minute

	customers, days := setup.Size(50, 300), setup.Size(2, 10)

	synctest.Test(t, func(t *testing.T) {
		list := simulator.GenerateHome(customers, 0, 1)

		sim, err := simulator.New(simulator.Config{
			Tenants:       list,
			Home:          list[0].ID,
			Relationships: simulator.GenerateRelationships(list, time.Now()),
			Rotation:      simulator.Strict,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()

		keeper := tokens.NewKeeper(tokenstest.New(), logs.Discard())
		client := &http.Client{Transport: simulated{sim.Handler(simulator.Login)}}

		var polls sync.WaitGroup

		for _, c := range list[1:] {
			in, _, err := config.FromPlugin(config.Map{
				"tenant_id":      c.ID,
				"home_tenant_id": list[0].ID,
				"client_id":      list[0].Apps[0].ClientID,
				"client_secret":  list[0].Apps[0].Secret,
				"refresh_token":  list[0].Apps[0].RefreshTokens[0],
			}, config.Sources{})
			if err != nil {
				t.Fatal(err)
			}

			source, err := wiring.Parts{
				Tenant: &in.Tenants[0],
				HTTP:   client,
				Now:    time.Now,
				Log:    logs.Discard(),
			}.Source(keeper)
			if err != nil {
				t.Fatal(err)
			}

			polls.Go(func() {
				for range days * int(24*time.Hour/every) {
					if _, err := source.Token(t.Context()); err != nil {
						t.Errorf("%s, %v: %v", c.Name, time.Now(), err)
						return
					}

					time.Sleep(every)
				}
			})
		}

		polls.Wait()

		ledger, stats := sim.TokenRequests(), sim.Requests()
		if n := len(ledger.Redeemed(true)); n < days || n > days+1 { // the first one begins the chain
			t.Errorf("%d redemptions at home in %d days", n, days)
		}

		if n := ledger.MostWithin(time.Second); n > 5 {
			t.Errorf("%d requests within a second", n)
		}
		// Access tokens live for an hour and are renewed five minutes before, at a poll.
		if n := len(ledger.Redeemed(false)); n > customers*days*24*60/50 {
			t.Errorf("%d redemptions at customers", n)
		}

		if len(stats.Refused) > 0 || stats.Misplaced > 0 {
			t.Errorf("refused %v, %d tokens of a customer used elsewhere", stats.Refused, stats.Misplaced)
		}

		t.Logf("%d days, %d customers: %d redemptions at home, %d at customers, at most %d within a second",
			days, customers, len(ledger.Redeemed(true)), len(ledger.Redeemed(false)), ledger.MostWithin(time.Second))
	})
}
