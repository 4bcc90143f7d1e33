package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// tenants returns the tenants to sign in for: the one that the flags describe, or those
// of a configuration.
func (a *acquisition) tenants(ctx context.Context, args []string) ([]chosen, error) {
	if len(args) == 0 && !a.every {
		if a.file != "" {
			return nil, usagef("--config needs the NAME of a tenant in it, or --all")
		}

		t, err := a.tenant(ctx)

		return []chosen{{Tenant: t}}, err
	}

	if len(args) == 1 && a.every {
		return nil, usagef("give NAME or --all, not both")
	}

	for _, key := range []string{"tenant_id", "home_tenant_id", "tenant_name"} {
		if a.set.get(key) != "" {
			return nil, usagef("%s does not go with a tenant of a configuration, which has its own", flagName(key))
		}
	}

	file := a.file
	if file == "" {
		file = defaultConfig
	}

	inputs, err := a.c.loadConfig(file)
	if err != nil {
		return nil, err
	}

	var found []chosen
	if a.every {
		found, err = a.needing(ctx, inputs)
	} else {
		found, err = a.named(inputs, args[0])
	}

	for i := range found {
		if err == nil {
			err = a.set.override(ctx, &found[i].Tenant)
		}
	}

	return found, err
}

// signInOf returns a tenant of a configuration as a person signs in for it: with
// home_tenant_id, in the provider's own tenant.
func (c *cli) signInOf(t config.Tenant, at place) chosen {
	c.noteStore(&t, at)

	if t.HomeTenantID != "" {
		t = atHome(t)
	}

	t.Grant = grant.RefreshToken

	return chosen{t, at}
}

// named finds the sign-in of the tenant that name means. Several APIs of a tenant have
// one sign-in in common.
func (a *acquisition) named(inputs []configured, name string) ([]chosen, error) {
	var (
		found       []chosen
		known, list []string
	)

	seen := map[tokens.ChainKey]bool{}

	for _, in := range inputs {
		for _, t := range in.in.Tenants {
			known = append(known, label(t.TenantName, string(t.TenantID)))

			home := t.HomeTenantID != "" && strings.EqualFold(name, string(t.HomeTenantID))
			if !home && !called(name, t.TenantName, string(t.TenantID)) || !a.narrowed(t) {
				continue
			}

			one := a.c.signInOf(t, placeOf(in.in))
			if key := chainKeyOf(one.Tenant); !seen[key] {
				seen[key] = true

				found = append(found, one)
				name := label(one.TenantName, string(one.TenantID))
				list = append(list, fmt.Sprintf("%s client %s", name, one.ClientID))
			}
		}
	}

	switch len(found) {
	case 0:
		return nil, unknownName(name, known)
	case 1:
		return found, nil
	}

	return nil, ambiguous(name, list, "its tenant id, --api or --client-id")
}

// narrowed reports whether a tenant is one of those that --api and --client-id leave.
func (a *acquisition) narrowed(t config.Tenant) bool {
	api, client := a.set.get("api"), a.set.get("client_id")

	return (api == "" || strings.EqualFold(api, string(t.API))) &&
		(client == "" || strings.EqualFold(client, string(t.ClientID)))
}

// chainKeyOf returns the key of the chain that a tenant is read with.
func chainKeyOf(t config.Tenant) tokens.ChainKey {
	if t.HomeTenantID != "" {
		return tokens.NewChainKey(t.LoginURL, string(t.HomeTenantID), string(t.ClientID))
	}

	return tokens.NewChainKey(t.LoginURL, string(t.TenantID), string(t.ClientID))
}

// needing returns the sign-ins of a configuration that a person has to make: those of
// tenants that use refresh tokens, and have none that works, or one that ends soon. The
// provider's own is one, however many customers it reaches.
func (a *acquisition) needing(ctx context.Context, inputs []configured) ([]chosen, error) {
	var found []chosen

	seen := map[tokens.ChainKey]bool{}

	for _, in := range inputs {
		at := placeOf(in.in)

		s, err := a.c.open(ctx, at)
		if err != nil {
			return nil, err
		}

		for _, t := range in.in.Tenants {
			key := chainKeyOf(t)
			if seen[key] || !a.narrowed(t) || t.Grant == grant.ClientCredentials {
				continue
			}

			seen[key] = true

			needed, needErr := a.c.needsPerson(ctx, s, t)
			err = errors.Join(err, needErr)

			if needed {
				found = append(found, a.c.signInOf(t, at))
			}
		}

		if err := errors.Join(err, s.Close()); err != nil {
			return nil, err
		}
	}

	return found, nil
}

// needsPerson reports whether a person has to sign in for a tenant.
func (c *cli) needsPerson(ctx context.Context, s store.Store, t config.Tenant) (bool, error) {
	chain, stored, err := s.Tokens().Load(ctx, chainKeyOf(t))

	switch {
	case err != nil:
		return false, err
	case stored:
		return chain.Forecast(c.Now(), wiring.Application(&t, c.log)).Soon, nil
	}

	seeded := !t.RefreshToken.IsZero() || t.RefreshTokenFile != ""

	return t.Grant == grant.RefreshToken && !seeded, nil
}

// runAll signs in for several tenants, one after the other. One that fails does not keep
// the others from their turn; the worst exit code wins.
func (a *acquisition) runAll(ctx context.Context, wanted []chosen, listen loopback) error {
	if len(wanted) == 0 {
		a.c.tell("no tenant needs a sign-in")
	}

	a.results = []*acquired{}
	err := a.signInAll(ctx, wanted, listen)

	if a.json {
		if printErr := printJSON(a.c.Out, a.results); printErr != nil {
			return printErr
		}
	}

	return err
}

// signInAll does the work of runAll.
func (a *acquisition) signInAll(ctx context.Context, wanted []chosen, listen loopback) error {
	codes := []int{exitOK}

	for i, one := range wanted {
		name := label(one.TenantName, string(one.TenantID))
		a.c.tell("(%d of %d) %s", i+1, len(wanted), name)

		err := a.runOne(ctx, one, listen)
		codes = append(codes, exitCode(err))

		var silent *printedError
		if err != nil && !errors.As(err, &silent) {
			a.c.say("%s: %v", name, err)
		}

		if ctx.Err() != nil || slices.Contains(codes, exitInterrupted) {
			return &printedError{exitInterrupted}
		}
	}

	return endOf(codes)
}
