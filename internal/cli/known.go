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
	d := in.Discovery
	if d == nil {
		return nil, nil
	}

	at, err := c.at(placeOf(in))
	if err != nil {
		return nil, err
	}

	s, err := c.lookAt(ctx, at)
	if err != nil || s.s == nil {
		return nil, err
	}
	defer s.Close()

	body, ok, err := s.s.Document(ctx, partner.DocumentName(d.Home.LoginHost(), d.Home.HomeTenantID, d.Home.ClientID))
	if err != nil || !ok {
		return nil, err
	}

	known, err := partner.DecodeKnown(body)
	if err != nil {
		return nil, fmt.Errorf("the list of customers that the input keeps: %w; "+
			"defenderctl tenants discover --config FILE shows a new one", err)
	}

	var customers []config.Customer
	for _, k := range known.Customers {
		customers = append(customers, config.Customer{TenantID: k.TenantID, Name: k.Name})
	}

	return d.Tenants(customers)
}
