package simulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// CLIOptions are the flags of `defenderctl simulate`.
type CLIOptions struct {
	// Listen is where the sign-in service listens; the APIs take the next ports.
	// 127.0.0.1:0, so any free ones, if empty.
	Listen string
	// Tenants is how many there are, 3 if 0; Alerts how many each has at the start.
	Tenants, Alerts int
	// Home makes a provider's tenant, and Customers the number of its customers, 10 if
	// 0; Tenants does not count then. States puts tenants into states of StatesHelp.
	Home      bool
	Customers int
	States    map[string]string
	// Faults is in the grammar of FaultsHelp; Seed makes everything reproducible.
	Faults string
	Seed   uint64
	// Trickle is how often, on average, each tenant gets a new or an updated alert; 0
	// is never.
	Trickle time.Duration
	// Config is how the configuration is to look.
	Config ConfigOptions
	// WriteTenants writes the tenants file of a provider, if Home is set.
	WriteTenants func(text string) error
	// Log gets a line per request, if set.
	Log func(string)
}

// ServeForCLI starts a simulator with generated tenants and returns the configuration
// for it, once it listens. New alerts are added until ctx ends, which also closes the
// simulator; Close does so too.
func ServeForCLI(ctx context.Context, o CLIOptions) (s *Simulator, config string, err error) {
	if min(o.Tenants, o.Customers, o.Alerts) < 0 || max(o.Tenants, o.Customers) > 10_000 || o.Alerts > 1_000_000 {
		return nil, "", errors.New("simulator: tenants must be at most 10,000 and alerts at most 1,000,000")
	}

	s, err = New(o.simulated())
	if err != nil {
		return nil, "", err
	}

	if err := s.Start(cmp.Or(o.Listen, "127.0.0.1:0")); err != nil {
		return nil, "", err
	}

	config, err = s.configure(o)
	if err != nil {
		return nil, "", errors.Join(err, s.Close())
	}

	context.AfterFunc(ctx, func() { _ = s.Close() })

	if o.Trickle > 0 {
		s.wg.Go(func() { s.Trickle(s.done, o.Trickle) })
	}

	return s, config, nil
}

// simulated returns the configuration of the simulator.
func (o CLIOptions) simulated() Config {
	cfg := Config{
		Seed:   o.Seed,
		Faults: o.Faults,
		Log:    o.Log,
	}

	if !o.Home {
		cfg.Tenants = Generate(cmp.Or(o.Tenants, 3), o.Alerts, o.Seed)
		return cfg
	}

	cfg.Tenants = GenerateHome(cmp.Or(o.Customers, 10), o.Alerts, o.Seed)
	cfg.Home = cfg.Tenants[0].ID
	cfg.Rotation = Strict
	cfg.Relationships = GenerateRelationships(cfg.Tenants, time.Now())

	return cfg
}

// configure puts tenants into their states and returns the configuration for Fluent Bit.
func (s *Simulator) configure(o CLIOptions) (string, error) {
	for name, state := range o.States {
		if err := s.SetState(name, state); err != nil {
			return "", err
		}
	}

	if !o.Home {
		return s.FluentBitConfig(o.Config)
	}

	config, tenants, err := s.HomeConfig(o.Config)
	if err == nil && o.WriteTenants != nil {
		err = o.WriteTenants(tenants)
	}

	return config, err
}

// ConfigOptions say how FluentBitConfig writes its text.
type ConfigOptions struct {
	// API is which API all tenants are read from; empty takes all in turn.
	API string
	// PollInterval is 10 s if 0.
	PollInterval time.Duration
	// DataDir is the plugin's data_dir, and StoragePath Fluent Bit's storage.path:
	// ./defender-data and ./defender-chunks if empty.
	DataDir, StoragePath string
	// PluginsFile is named in [SERVICE] if set.
	PluginsFile string
	// TenantsFile is the name of a provider's tenants file; DefaultTenantsFile if empty.
	// Listed lists the customers in it, which are otherwise left to discovery.
	// WithoutToken leaves the provider's refresh token out, so that somebody has to sign
	// in.
	TenantsFile  string
	Listed       bool
	WithoutToken bool
	// Output replaces the [OUTPUT] section, which otherwise prints JSON lines.
	Output string
}

// FluentBitConfig returns a classic Fluent Bit configuration with one [INPUT] per tenant
// that reads from this simulator, which must have been started. Tenants of the SIEM API
// sign in with a refresh token, the others with client credentials.
func (s *Simulator) FluentBitConfig(o ConfigOptions) (string, error) {
	if s.LoginURL() == "" {
		return "", errors.New("simulator: it has not been started")
	}

	var b strings.Builder

	o.writeService(&b)

	s.mu.Lock()
	tenants := append([]*tenant(nil), s.tenants...)
	s.mu.Unlock()

	for i, t := range tenants {
		api := cmp.Or(o.API, APIs()[i%len(APIs())])
		if s.APIURL(api) == "" {
			return "", fmt.Errorf("simulator: there is no API %q", api)
		}

		writeSection(&b, "INPUT", s.inputKeys(t, api, o))
	}

	o.writeOutput(&b)

	return b.String(), nil
}

// writeService writes the section [SERVICE].
func (o ConfigOptions) writeService(b *strings.Builder) {
	writeSection(b, "SERVICE", [][2]string{
		{"Flush", "1"},
		{"Grace", "5"},
		{"Plugins_File", o.PluginsFile},
		{"storage.path", cmp.Or(o.StoragePath, "./defender-chunks")},
		{"storage.sync", "normal"},
		{"storage.checksum", "off"},
		{"storage.max_chunks_up", "4096"},
		{"Hot_Reload.Ensure_Thread_Safety", "Off"},
	})
}

// writeOutput writes the section [OUTPUT].
func (o ConfigOptions) writeOutput(b *strings.Builder) {
	if o.Output != "" {
		b.WriteString(strings.TrimRight(o.Output, "\n") + "\n")
		return
	}

	writeSection(b, "OUTPUT", [][2]string{
		{"Name", "stdout"},
		{"Match", "defender.*"},
		{"Format", "json_lines"},
		{"Retry_Limit", "no_limits"},
	})
}

// writeSection writes a section of a classic configuration, without the keys that have
// no value.
func writeSection(b *strings.Builder, name string, keys [][2]string) {
	fmt.Fprintf(b, "[%s]\n", name)

	for _, k := range keys {
		if k[1] != "" {
			fmt.Fprintf(b, "    %-20s %s\n", k[0], k[1])
		}
	}

	b.WriteByte('\n')
}

// inputKeys returns the keys of an [INPUT] that reads an API of a tenant.
func (s *Simulator) inputKeys(t *tenant, api string, o ConfigOptions) [][2]string {
	s.mu.Lock()

	var app App
	if len(t.Apps) > 0 {
		app = t.Apps[0]
	}

	name := cmp.Or(t.Name, t.Domain, t.ID)
	s.mu.Unlock()

	grant, seed := "client_credentials", ""
	if (api == SIEM || app.Secret == "") && len(app.RefreshTokens) > 0 {
		grant, seed = "refresh_token", app.RefreshTokens[0]
	}

	return [][2]string{
		{"Name", "defender"},
		{"Tag", "defender." + name},
		{"Threaded", "Off"},
		{"storage.type", "filesystem"},
		{"tenant_id", t.ID},
		{"tenant_name", name},
		{"client_id", app.ClientID},
		{"client_secret", app.Secret},
		{"grant", grant},
		{"refresh_token", seed},
		{"api", api},
		{"login_url", s.LoginURL()},
		{"api_url", s.APIURL(api)},
		{"poll_interval", cmp.Or(o.PollInterval, 10*time.Second).String()},
		{"data_dir", cmp.Or(o.DataDir, "./defender-data")},
	}
}

// Trickle adds a new alert to each tenant, or updates one of the newest, about every
// interval, until ctx ends.
func (s *Simulator) Trickle(ctx context.Context, every time.Duration) {
	r := random(s.cfg.Seed, "trickle")

	var newest [16]struct{ tenant, alert string }

	for n := 0; ctx.Err() == nil; n++ {
		ids := s.TenantIDs()
		if len(ids) == 0 {
			s.cfg.Sleep(ctx, every)
			continue
		}

		tenant, now := ids[n%len(ids)], s.cfg.Clock()
		if old := newest[r.IntN(len(newest))]; old.alert != "" && r.IntN(3) == 0 {
			s.Update(old.tenant, old.alert, now, func(a *Alert) {
				a.Status = "InProgress"
				a.Comments = append(
					a.Comments,
					Comment{Text: fmt.Sprintf("note %d", n), By: "soc@mssp.example", At: now},
				)
			})
		} else {
			slot := &newest[n%len(newest)]
			slot.tenant, slot.alert = tenant, s.Add(tenant, s.sample(r, now, GenerateOptions{}))
		}

		s.cfg.Sleep(ctx, every/time.Duration(len(ids)))
	}
}
