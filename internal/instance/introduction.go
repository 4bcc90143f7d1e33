package instance

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/version"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// introduction returns the line that an input logs when it has been put together:
// version, tenants, store.
func (s *tenantSet) introduction(cfg *config.Input) string {
	return fmt.Sprintf("version %s; %s; %s", version.This(), describeTenants(cfg), s.describeStore())
}

// describeTenants says what an input polls, and how often.
func describeTenants(cfg *config.Input) string {
	units := make(map[alert.API]int)
	intervals := make(map[time.Duration]bool)

	for _, t := range cfg.Examples() {
		intervals[t.PollInterval] = true
	}

	for _, t := range cfg.Tenants {
		units[t.API]++
	}

	var apis []string
	for _, api := range slices.Sorted(maps.Keys(units)) {
		apis = append(apis, fmt.Sprintf("%d %s", units[api], api))
	}

	text := fmt.Sprintf("polls %d tenants (%s)", len(cfg.Tenants), strings.Join(apis, ", "))
	if cfg.TenantsFile != "" {
		text += " of " + cfg.TenantsFile
	} else if len(cfg.Tenants) == 1 {
		text = fmt.Sprintf("polls tenant %s (%s)", cfg.Tenants[0].TenantName, cfg.Tenants[0].API)
	}

	if d := cfg.Discovery; d != nil {
		customers := fmt.Sprintf("the customers of %s (listed every %s)",
			d.Home.HomeTenantID, config.FormatDuration(d.Every))
		if len(cfg.Tenants) == 0 {
			text = "polls " + customers
		} else {
			text += " and " + customers
		}
	}

	shown := slices.Sorted(maps.Keys(intervals))
	switch len(shown) {
	case 0:
		return text
	case 1:
		return fmt.Sprintf("%s every %s", text, config.FormatDuration(shown[0]))
	}

	first, last := config.FormatDuration(shown[0]), config.FormatDuration(shown[len(shown)-1])

	return fmt.Sprintf("%s every %s to %s", text, first, last)
}

// describeStore says which store is in use, and whether tokens are encrypted.
func (s *tenantSet) describeStore() string {
	if s.node != nil {
		return s.describeNode()
	}

	how := "not encrypted"
	if s.dir.keyFile != "" {
		how = "encrypted with " + s.dir.keyFile
	}

	text := fmt.Sprintf("data_dir %s is in use: progress in defender.db, tokens in %s, %s",
		s.dir.path, tokensFile, how)

	chains, err := s.dir.store.Tokens().List(context.Background())
	if err != nil {
		return text // a fault of the tokens is reported where they are used
	}

	return fmt.Sprintf("%s, %d stored", text, len(chains))
}

// describeNode says which database is in use, and as which node.
func (s *tenantSet) describeNode() string {
	settings := s.dir.settings.Store

	return fmt.Sprintf("progress and tokens are in %s, which several machines share, encrypted with %s: "+
		"this is node %s, and it polls what it gets (lease_ttl %v, takeover_replay %v)",
		config.ShownStore(settings.URL), s.dir.keyFile, settings.NodeID, settings.LeaseTTL, settings.TakeoverReplay)
}

// tokensFile is the file of the store that holds tokens.
const tokensFile = "tokens.db"

// account says who signs in to a tenant: a user, or the application itself.
func (s *tenantSet) account(ctx context.Context, t config.Tenant, source *tokens.Source) string {
	application := "application " + string(t.ClientID)

	chosen, _, err := source.Decide(ctx)
	if err != nil || chosen == grant.ClientCredentials {
		return application
	}

	app := wiring.Application(&t, logs.Discard())

	chain, ok, err := s.dir.keeper.Load(ctx, app.ChainKey())
	if err != nil || !ok {
		return application
	}

	return cmp.Or(chain.Account, application)
}
