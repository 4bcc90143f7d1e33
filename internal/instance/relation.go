package instance

import (
	"context"
	"errors"
	"slices"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/partner"
)

// resolve returns the ids of the tenants that the file lists by a domain. So none of
// them is polled twice, as a listed tenant and as a discovered one.
func (d *discovery) resolve(
	ctx context.Context, list lister, listed []alert.TenantID,
) (map[alert.TenantID]alert.TenantID, error) {
	d.mu.Lock()
	before := d.domains
	d.mu.Unlock()

	found := make(map[alert.TenantID]alert.TenantID)

	for _, name := range listed {
		if alert.IsGUID(string(name)) {
			continue
		}

		id, known := before[name]
		if !known {
			t, err := list.Tenant(ctx, string(name))

			var refused *partner.Error
			if err != nil && (!errors.As(err, &refused) || refused.Reason != advice.TenantGone) {
				return nil, err
			}

			id = t.ID
		}

		found[name] = id
	}

	return found, nil
}

// relationOf returns what is known of a tenant's customer; ok is false if nothing is.
func (d *discovery) relationOf(t *config.Tenant) (c partner.KnownCustomer, listed time.Time, ok bool) {
	r := d.relations.Load()
	if r == nil || t.HomeTenantID == "" {
		return c, listed, false
	}

	c, ok = r.of[t.TenantID]

	return c, r.listed, ok
}

// relationship returns what a unit shows of the relationship with its customer.
func (d *discovery) relationship(t *config.Tenant) collect.Relationship {
	c, _, ok := d.relationOf(t)

	switch {
	case !ok:
		return collect.Relationship{}
	case !c.Gone():
		return collect.Relationship{Ends: c.Ends}
	}

	fault := c.GoneFault()

	return collect.Relationship{Ends: c.Ends, Trouble: health.Trouble{
		Reason:  fault.Reason,
		Message: fault.Problem,
		Remedy:  fault.Remedy,
	}}
}

// endsSoon returns the customers whose relationship ends soon and is not extended by
// itself, each with the date.
func (d *discovery) endsSoon(now time.Time) []string {
	r := d.relations.Load()
	if r == nil {
		return nil
	}

	var names []string

	for _, c := range r.of {
		if !c.Gone() && partner.EndsSoon(c.Ends, c.AutoExtends, now) {
			names = append(names, c.Name+" ("+c.Ends.Format(time.DateOnly)+")")
		}
	}

	slices.Sort(names)

	return names
}
