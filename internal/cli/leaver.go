package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/sqlite"
)

// leaver is a tenant that is to be forgotten: all that the store has of it.
type leaver struct {
	tenantID, name, login string
	units                 []alert.UnitKey
	statuses              map[alert.UnitKey]store.Status
	chains                []store.ChainInfo
}

// leaver finds the tenant that a name means.
func (c *cli) leaver(ctx context.Context, named string) (leaver, error) {
	v, err := c.lookFirst(ctx)
	if err != nil {
		return leaver{}, err
	}
	defer v.Close()

	if v.s == nil {
		return leaver{}, c.noDirectory(false)
	}

	chains, err := v.chains(ctx)
	if err != nil {
		return leaver{}, err
	}

	units, err := knownUnits(ctx, v, chains)
	if err != nil {
		return leaver{}, err
	}

	statuses, err := v.statuses(ctx)
	if err != nil {
		return leaver{}, err
	}

	found, known := leavers(named, units, chains)
	for i := range found {
		found[i].statuses = statuses
	}

	return oneLeaver(named, found, known)
}

// leavers returns the tenants that a name means, and the names of all that are known.
func leavers(named string, units []knownUnit, chains []store.ChainInfo) (found []leaver, known []string) {
	tenants := map[string]*leaver{}
	meant := map[string]bool{}

	of := func(login, id, name string) *leaver {
		known = append(known, label(name, id))

		key := login + " " + id
		if tenants[key] == nil {
			tenants[key] = &leaver{tenantID: id, login: login}
		}

		tenants[key].name = cmp.Or(tenants[key].name, name)
		meant[key] = meant[key] || called(named, name, id)

		return tenants[key]
	}

	for _, u := range units {
		l := of(u.key.LoginHost, string(u.key.TenantID), u.tenant)
		l.units = append(l.units, u.key)
	}

	for _, i := range chains {
		l := of(i.Key.LoginHost, i.Key.TenantID, i.Chain.TenantName)
		l.chains = append(l.chains, i)
	}

	for key, l := range tenants {
		if meant[key] {
			found = append(found, *l)
		}
	}

	return found, known
}

// oneLeaver returns the only tenant that was found.
func oneLeaver(named string, found []leaver, known []string) (leaver, error) {
	var several []string
	for _, l := range found {
		several = append(several, label(l.name, l.tenantID)+" at "+l.login)
	}

	if len(found) > 1 {
		return leaver{}, ambiguous(named, several, "its tenant id")
	}

	if len(found) == 0 {
		return leaver{}, unknownName(named, known)
	}

	l := found[0]
	if slices.ContainsFunc(l.chains, func(i store.ChainInfo) bool { return i.Chain.Home }) {
		return leaver{}, fmt.Errorf("%s is the tenant whose sign-in reaches other customers (home_tenant_id); "+
			"to give that up: defenderctl tokens remove %s", l.label(), plain.Shell(l.tenantID))
	}

	return l, nil
}

// usedBy returns what running inputs do with a tenant, and names the process or the node.
func (c *cli) usedBy(ctx context.Context, at place, who leaver) (name string, state use, err error) {
	if !at.Shared() {
		process, running := sqlite.InputsRun(at.DataDir)
		if !running {
			return "", released, nil
		}

		return process, who.use(c.Now()), nil
	}

	v, err := c.lookAt(ctx, at)
	if err != nil {
		return "", released, err
	}
	defer v.Close()

	s, ok := v.s.(store.Shared)
	if !ok {
		return "", released, nil
	}

	holders, err := s.Holders(ctx)
	if err != nil {
		return "", released, err
	}

	for _, key := range who.units {
		h, ok := holders[key]
		if !ok || !h.Live {
			continue
		}

		name = "node " + plain.Text(h.Node, 128)

		if who.statuses[key].State != health.Stopped {
			return name, polled, nil
		}

		state = leaving
	}

	return name, state, nil
}

// use is what a running input does with a tenant.
type use int

// use returns what the running input does with the tenant, by what it wrote last.
func (l leaver) use(now time.Time) use {
	newest := time.Time{}
	for _, s := range l.statuses {
		if s.UpdatedAt.After(newest) {
			newest = s.UpdatedAt
		}
	}

	if now.Sub(newest) > writtenWithin {
		return unknownUse
	}

	worst := released

	for _, key := range l.units {
		s, ok := l.statuses[key]

		switch {
		case !ok || newest.Sub(s.UpdatedAt) > writtenWithin:
		case s.State == health.Stopped:
			worst = max(worst, leaving)
		default:
			worst = polled
		}
	}

	return worst
}

func (l leaver) label() string { return label(l.name, l.tenantID) }

// revoke lists what is to be revoked at Microsoft when a customer leaves.
func (l leaver) revoke() []string {
	var (
		steps   []string
		clients []string
	)

	for _, i := range l.chains {
		account := cmp.Or(plain.Text(i.Chain.Account, 128), "the user who signed in")
		steps = append(steps, fmt.Sprintf("revoke the sessions of %s (Entra admin center, Users, Revoke sessions): a "+
			"refresh token stays valid there for up to 90 days; if the account was a guest of the customer, remove "+
			"the guest", account))
		clients = append(clients, i.Key.ClientID)
	}

	if len(l.chains) == 0 {
		steps = append(steps, "if the customer was reached with your own sign-in (home_tenant_id): end the "+
			"relationship in Partner Center (Customers, Admin relationships), or take the role away from it")
	}

	var pages []string // of the portal, on which an application is authorised

	for _, key := range l.units {
		clients = append(clients, string(l.statuses[key].ClientID))

		if page := permissionsFor(key.API).Portal; page != "" && !slices.Contains(pages, page) {
			pages = append(pages, page)
		}
	}

	slices.Sort(clients)

	for _, id := range slices.Compact(clients) {
		if id != "" {
			steps = append(steps, fmt.Sprintf("in the customer's tenant: Entra admin center, Enterprise applications, "+
				"application %s, Properties, Delete: that takes back its consent", plain.Text(id, 128)))
		}
	}

	for _, page := range pages {
		steps = append(steps, "in the customer's Defender portal: "+alert.PortalAddress(alert.TenantID(l.tenantID))+
			" > "+page+": remove the authorisation of the application")
	}

	return append(steps, "a secret or certificate that was made for this customer only: delete it from the "+
		"application's registration, and its file here")
}
