package cli

import (
	"context"
	"fmt"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/partner"
)

// knownTenants returns the tenants that an input polls because they were discovered: what
// the customers of the last good list become, which the input keeps in its store. Those
// that the file lists are not among them.
func (c *cli) knownTenants(ctx context.Context, in *config.Input) ([]config.Tenant, error) {
	if in.Discovery == nil {
		return nil, nil
	}

	known, err := c.knownCustomers(ctx, in)
	if err != nil {
		return nil, err
	}

	return tenantsOfKnown(in.Discovery, known)
}

// knownCustomers returns what an input with discovery keeps of its provider's customers.
func (c *cli) knownCustomers(ctx context.Context, in *config.Input) (partner.Known, error) {
	at, err := c.at(placeOf(in))
	if err != nil {
		return partner.Known{}, err
	}

	s, err := c.lookAt(ctx, at)
	if err != nil || s.s == nil {
		return partner.Known{}, err
	}
	defer s.Close()

	home := in.Discovery.Home

	body, ok, err := s.s.Document(ctx, partner.DocumentName(home.LoginHost(), home.HomeTenantID, home.ClientID))
	if err != nil || !ok {
		return partner.Known{}, err
	}

	known, err := partner.DecodeKnown(body)
	if err != nil {
		return partner.Known{}, fmt.Errorf("the list of customers that the input keeps: %w; "+
			"defenderctl tenants discover --config FILE shows a new one", err)
	}

	return known, nil
}

// tenantsOfKnown returns what known customers become.
func tenantsOfKnown(d *config.Discovery, known partner.Known) ([]config.Tenant, error) {
	var customers []config.Customer

	for _, k := range known.Customers {
		if !k.Gone() || d.OnVanish == config.KeepVanished {
			customers = append(customers, config.Customer{TenantID: k.TenantID, Name: k.Name})
		}
	}

	return d.Tenants(customers)
}
