package simulator_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/partner"
	text "fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/tokens"
)

// homeTokens are access tokens of the provider's own tenant.
type homeTokens struct {
	p     provider
	scope string
}

func (h homeTokens) Token(context.Context) (tokens.Access, error) {
	a := h.p.redeemFor(h.p.home.ID, h.p.app.RefreshTokens[0], h.scope)
	if a.status != 200 {
		return tokens.Access{}, errors.New(a.body)
	}

	return tokens.Access{Token: text.New(a.token())}, nil
}

func (h homeTokens) Invalidate(tokens.Access) {}

// TestTheClientOfThePartnerProgramme holds the project's own client against the
// simulator, which was written from the documents on its own.
func TestTheClientOfThePartnerProgramme(t *testing.T) {
	p := startHome(t, func(c *simulator.Config) {
		list := simulator.GenerateHome(30, 0, 1)
		list[1].Cloud = "gcc"
		c.Tenants, c.Home, c.RelationshipPage, c.Rotation = list, list[0].ID, 7, simulator.Keep
		c.Relationships = simulator.GenerateRelationships(list, c.Clock())
	})
	client := partner.New(partner.Settings{
		GraphURL:   p.APIURL(simulator.Graph),
		PartnerURL: p.APIURL(simulator.Partner),
		LoginURL:   p.LoginURL(),
		HTTP:       http.DefaultClient,
		Graph:      homeTokens{p, "https://graph.microsoft.com/.default"},
		Partner:    homeTokens{p, "https://api.partnercenter.microsoft.com/.default"},
		Now:        p.clock.Now,
		Sleep:      func(context.Context, time.Duration) error { return nil },
	})
	ctx := t.Context()

	list, err := client.Customers(ctx)
	if err != nil || len(list) != 30 || list[0].Name != "adatum005" {
		t.Fatalf("%d customers, %v", len(list), err)
	}

	p.EndRelationships(p.customers[3].ID)

	if list, err = client.Customers(ctx); err != nil || len(list) != 29 {
		t.Errorf("after an end: %d customers, %v", len(list), err)
	}

	for _, faults := range []string{"500:api=discovery", "cut:api=discovery;at=0.5", "429:api=discovery;wait=10m"} {
		if err := p.SetFaults(faults); err != nil {
			t.Fatal(err)
		}

		if list, err = client.Customers(ctx); err == nil {
			t.Errorf("%s: %d customers", faults, len(list))
		}
	}

	if err := p.SetFaults(""); err != nil {
		t.Fatal(err)
	}

	id, app := alert.TenantID(p.customers[0].ID), alert.ClientID(p.app.ClientID)
	p.RemoveApp(string(id), p.app.ClientID)

	grants := []partner.Grant{{API: simulator.AppGraph, Scopes: []string{"SecurityAlert.Read.All"}}}
	for _, want := range []partner.Outcome{partner.Consented, partner.ConsentedBefore} {
		if got, err := client.Consent(ctx, id, app, grants); err != nil || got != want {
			t.Errorf("consent: %v %v", got, err)
		}
	}

	wantCode(t, "after the consent", p.redeem(string(id), p.app.RefreshTokens[0]), 0)

	if got, err := client.Tenant(ctx, p.customers[0].Domain); err != nil || got.ID != id || got.Cloud != cloud.GCC {
		t.Errorf("tenant: %v %v", got, err)
	}
}
