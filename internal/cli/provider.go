package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/partner"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// provider is a provider's own side: its sign-in, and what a configuration says about its
// customers.
type provider struct {
	c *cli
	chosen
	// inputs are those of the configuration that use the sign-in; none where flags say
	// everything.
	inputs []configured
	set    *settings
	client *partner.Client
	open   *stores
}

// provider finds the provider's own tenant: in the flags, or in a configuration, which is
// that of Fluent Bit's packages where none is named. close must be called.
func (c *cli) provider(ctx context.Context, file string, set *settings) (*provider, error) {
	p := &provider{c: c, set: set, open: newStores(c)}

	if file == "" && set.get("home_tenant_id") == "" && exists(defaultConfig) {
		file = defaultConfig
	}

	var err error
	if file == "" {
		p.chosen, err = c.homeOfFlags(ctx, set)
	} else {
		p.chosen, p.inputs, err = c.homeOfConfig(file, set.get("home_tenant_id"))
		if err == nil {
			err = set.override(ctx, &p.Tenant)
		}
	}

	if err == nil {
		err = p.connect(ctx)
	}

	if err != nil {
		p.close(ctx)
		return nil, err
	}

	return p, nil
}

// connect opens the store with the sign-in, and makes the client that uses it.
func (p *provider) connect(ctx context.Context) error {
	_, keeper, err := p.open.get(ctx, p.place)
	if err != nil {
		return err
	}

	parts, err := p.c.parts(p.Tenant, logs.Discard())
	if err != nil {
		return err
	}

	p.client, _, err = parts.Partner(keeper)

	return err
}

// noCustomers says that the list of customers is empty.
const noCustomers = "no relationship in force leads to a customer"

// close writes what is left to write, and closes the stores.
func (p *provider) close(ctx context.Context) { p.open.close(ctx) }

func newStores(c *cli) *stores {
	return &stores{
		c:    c,
		open: map[string]store.Store{},
		errs: map[string]error{},
		keep: map[string]*tokens.Keeper{},
	}
}

// homeOfFlags reads the provider's own tenant from the flags; what they leave out comes
// from the stored sign-in.
func (c *cli) homeOfFlags(ctx context.Context, set *settings) (chosen, error) {
	home := set.get("home_tenant_id")
	if home == "" {
		return chosen{}, usagef("there is no %s: give --config FILE, or --home-tenant-id with the provider's own "+
			"tenant", defaultConfig)
	}

	keys := config.Map(set.given())
	keys["tenant_id"], keys["grant"] = home, "refresh_token"

	if keys["client_id"] == "" {
		s, err := c.lookFirst(ctx)
		if err != nil {
			return chosen{}, err
		}

		i, err := findChain(ctx, s, home, "", keys["login_url"])
		s.Close()

		if err != nil {
			return chosen{}, err
		}

		keys["client_id"] = i.Key.ClientID
		if keys["login_url"] == "" {
			keys["login_url"] = loginURL(i.Key.LoginHost)
		}
	}

	if err := set.credential(ctx, keys); err != nil {
		return chosen{}, err
	}

	t, err := c.tenant(keys)

	return chosen{Tenant: t}, err
}

// homeOfConfig finds the provider's own tenant in a configuration, and the inputs that
// use its sign-in. The Tenant has the settings of some customer. home narrows the choice,
// if given.
func (c *cli) homeOfConfig(file, home string) (found chosen, inputs []configured, err error) {
	all, err := c.loadConfig(file)
	if err != nil {
		return chosen{}, nil, err
	}

	homes := map[tokens.ChainKey]string{}

	for _, i := range all {
		uses := false

		for _, t := range i.in.Examples() {
			if t.HomeTenantID == "" || home != "" && !strings.EqualFold(home, string(t.HomeTenantID)) {
				continue
			}

			key := wiring.Application(&t, logs.Discard()).ChainKey()
			homes[key] = fmt.Sprintf("%s client %s at %s", key.TenantID, key.ClientID, key.LoginHost)
			uses = true

			if found.HomeTenantID == "" {
				found = chosen{t, placeOf(i.in)}
				c.noteStore(&found.Tenant, found.place)
			}
		}

		if uses {
			inputs = append(inputs, i)
		}
	}

	switch len(homes) {
	case 0:
		return chosen{}, nil, usagef("no tenant of %s has home_tenant_id, the provider's own tenant; set it there, or "+
			"give --home-tenant-id with --client-id instead of --config", file)
	case 1:
		return found, inputs, nil
	}

	var list []string
	for _, text := range homes {
		list = append(list, text)
	}

	return chosen{}, nil, ambiguous(file, list, "--home-tenant-id")
}

// units returns what is polled of a customer: as the configuration says, or with the
// settings of the provider.
func (p *provider) units(ctx context.Context, c config.Customer) ([]config.Tenant, error) {
	var found []config.Tenant

	for _, i := range p.inputs {
		for _, t := range i.in.Tenants {
			if t.TenantID == c.TenantID && t.HomeTenantID == p.HomeTenantID {
				found = append(found, t)
			}
		}

		if i.in.Discovery != nil && i.in.Discovery.Home.HomeTenantID == p.HomeTenantID {
			more, err := i.in.Discovery.Tenants([]config.Customer{c})
			if err != nil {
				return nil, err
			}

			found = append(found, more...)
		}
	}

	for i := range found {
		if err := p.set.override(ctx, &found[i]); err != nil {
			return nil, err
		}
	}

	if len(found) == 0 {
		t := p.Tenant
		t.TenantID, t.TenantName = c.TenantID, c.Name
		found = []config.Tenant{t}
	}

	return found, nil
}

// customers lists the provider's customers.
func (p *provider) customers(ctx context.Context) ([]partner.Customer, error) {
	done := p.c.progress(func() string { return "asking " + p.GraphURL + " for customers" })
	defer done()

	return p.client.Customers(ctx)
}

// domains returns the ids of tenants that are named by a domain. One that the sign-in
// service does not know is left out.
func (p *provider) domains(ctx context.Context, names []string) ([]alert.TenantID, error) {
	var ids []alert.TenantID

	for _, name := range names {
		if alert.IsGUID(name) || name == "" || slices.Contains(ids, alert.TenantID(name)) {
			continue
		}

		t, err := p.client.Tenant(ctx, name)

		var refused *partner.Error
		switch {
		case err == nil:
			ids = append(ids, t.ID)
		case !errors.As(err, &refused) || refused.Status == 0:
			return nil, err
		}
	}

	return ids, nil
}
