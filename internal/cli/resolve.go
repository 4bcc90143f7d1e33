package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// called reports whether a person who says name means this tenant.
func called(name, tenantName, tenantID string) bool {
	return strings.EqualFold(name, tenantID) || tenantName != "" && strings.EqualFold(name, tenantName)
}

// configured is an input's section that was read without a fault.
type configured struct {
	in  *config.Input
	tag string
}

// loadConfig reads the inputs of a configuration: conf, YAML, or a tenants file alone.
// The faults of all are one error.
func (c *cli) loadConfig(path string) ([]configured, error) {
	sources := config.Sources{Env: c.LookupEnv}

	file, err := fluentbit.Load(path, c.LookupEnv)
	if errors.Is(err, fluentbit.ErrTenantsFile) {
		in, _, err := config.FromPlugin(config.Map{"tenants_file": path}, sources)
		if err != nil {
			return nil, err
		}

		in.DataDir = "" // the file does not say

		return []configured{{in: in}}, nil
	}

	if err != nil {
		return nil, err
	}

	var (
		all    []configured
		faults []error
	)

	for _, s := range file.Of("input") {
		if !strings.EqualFold(s.Get("name"), "defender") {
			continue
		}

		in, _, err := config.FromPlugin(s, sources)
		if err != nil {
			faults = append(faults, err)
			continue
		}

		all = append(all, configured{in, s.Get("tag")})
	}

	if len(all) == 0 && len(faults) == 0 {
		return nil, fmt.Errorf("%s has no input with `Name defender`", path)
	}

	return all, errors.Join(faults...)
}

// chosen is a tenant with where its tokens are kept.
type chosen struct {
	config.Tenant
	place place
}

// fromConfig finds the one tenant that name means in a configuration, listed or
// discovered; api and clientID narrow it, if given.
func (c *cli) fromConfig(ctx context.Context, path, name, api, clientID string) (chosen, error) {
	inputs, err := c.loadConfig(path)
	if err != nil && len(inputs) == 0 {
		return chosen{}, err
	}

	m := meant{
		c:        c,
		name:     name,
		api:      api,
		clientID: clientID,
	}

	for _, i := range inputs {
		m.among(i.in, i.in.Tenants)
	}

	if len(m.found)+len(m.others) == 0 { // those that are listed win, and need no store
		err = errors.Join(err, m.amongDiscovered(ctx, inputs))
	}

	switch {
	case len(m.found) == 1:
		return m.found[0], nil
	case len(m.found) > 1:
		return chosen{}, ambiguous(name, m.list(), "its tenant id, --api or --client-id")
	case err != nil:
		return chosen{}, err
	case len(m.others) > 0:
		return chosen{}, otherUnits(name, m.others)
	}

	return chosen{}, unknownName(name, m.known)
}

// meant are the tenants of a configuration that a name may mean.
type meant struct {
	c                   *cli
	name, api, clientID string

	found []chosen
	// others are units that have the name and another API; known are all tenants.
	others, known []string
}

// among looks for the name among tenants of an input.
func (m *meant) among(in *config.Input, tenants []config.Tenant) {
	for _, t := range tenants {
		m.known = append(m.known, label(t.TenantName, string(t.TenantID))+" api "+string(t.API))

		switch {
		case !called(m.name, t.TenantName, string(t.TenantID)):
		case m.api != "" && !strings.EqualFold(string(t.API), m.api):
			m.others = append(m.others, unitName(string(t.API), t.StateID))
		case m.clientID == "" || strings.EqualFold(m.clientID, string(t.ClientID)):
			at := placeOf(in)
			m.c.noteStore(&t, at)
			m.found = append(m.found, chosen{t, at})
		}
	}
}

// amongDiscovered looks for the name among the tenants that inputs have discovered.
func (m *meant) amongDiscovered(ctx context.Context, inputs []configured) error {
	var faults []error

	for _, i := range inputs {
		discovered, err := m.c.knownTenants(ctx, i.in)
		faults = append(faults, err)

		m.among(i.in, discovered)
	}

	return errors.Join(faults...)
}

// list names what was found, for a choice.
func (m *meant) list() (list []string) {
	for _, f := range m.found {
		list = append(list, fmt.Sprintf("%s api %s client %s state_id %q",
			label(f.TenantName, string(f.TenantID)), f.API, f.ClientID, f.StateID))
	}

	return list
}

func label(name, id string) string {
	if name == "" || name == id {
		return plain.Text(id, 128)
	}

	return plain.Text(name, 128) + " (" + plain.Text(id, 128) + ")"
}

func unknownName(name string, known []string) error {
	slices.Sort(known)

	known = slices.Compact(known)
	if len(known) == 0 {
		return usagef("there is no tenant %s: nothing is stored here", plain.Quoted(name))
	}

	return usagef("there is no tenant %s; known are:\n  %s", plain.Quoted(name), strings.Join(known, "\n  "))
}

func ambiguous(name string, list []string, narrow string) error {
	slices.Sort(list)

	return usagef(
		"%q is ambiguous; give %s. It may mean:\n  %s",
		name,
		narrow,
		strings.Join(slices.Compact(list), "\n  "),
	)
}

// findChain finds the one stored chain that name means; clientID and loginURL narrow
// it, if given.
func findChain(ctx context.Context, s *view, name, clientID, loginURL string) (store.ChainInfo, error) {
	list, err := s.chains(ctx)
	if err != nil {
		return store.ChainInfo{}, err
	}

	var (
		found          []store.ChainInfo
		known, several []string
	)
	for _, i := range list {
		known = append(known, label(i.Chain.TenantName, i.Key.TenantID))
		if called(name, i.Chain.TenantName, i.Key.TenantID) &&
			(clientID == "" || strings.EqualFold(clientID, i.Key.ClientID)) &&
			(loginURL == "" || tokens.LoginHost(loginURL) == i.Key.LoginHost) {
			found = append(found, i)
			several = append(
				several,
				fmt.Sprintf(
					"%s client %s at %s",
					label(i.Chain.TenantName, i.Key.TenantID),
					i.Key.ClientID,
					i.Key.LoginHost,
				),
			)
		}
	}

	switch len(found) {
	case 0:
		return store.ChainInfo{}, unknownName(name, known)
	case 1:
		return found[0], nil
	}

	return store.ChainInfo{}, ambiguous(name, several, "its tenant id, --client-id or --login-url")
}

// loginURL returns the address of a sign-in service. The store keeps only its host. Plain
// HTTP is used on this machine only.
func loginURL(host string) string {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}

	if ip := net.ParseIP(name); name == "localhost" || ip != nil && ip.IsLoopback() {
		return "http://" + host
	}

	return "https://" + host
}

// cloudOf returns the cloud whose sign-in service is at a host.
func cloudOf(host string) cloud.Cloud {
	for _, c := range cloud.Clouds() {
		if t, err := cloud.Lookup(c, alert.Graph, ""); err == nil && tokens.LoginHost(t.LoginURL) == host {
			return c
		}
	}

	return cloud.Commercial
}

// application is that of a stored chain, as far as the store knows it: enough for a
// remedy to name the command that renews the chain. api is the one that an input reads
// with it, empty where that is not known.
func (c *cli) application(i store.ChainInfo, api string) tokens.App {
	app := tokens.App{LoginURL: loginURL(i.Key.LoginHost), TenantID: i.Key.TenantID, ClientID: i.Key.ClientID}

	at, login := cloudOf(i.Key.LoginHost), ""

	usual, err := cloud.Lookup(at, alert.Graph, "")
	if err == nil && tokens.LoginHost(usual.LoginURL) != i.Key.LoginHost {
		login = app.LoginURL
	}

	cloudName := string(at)
	if at == cloud.Commercial {
		cloudName = ""
	}

	where, _ := c.at(place{}) // the command itself says what is wrong
	reach := append([]string{"--cloud", cloudName, "--login-url", login}, where.Flags()...)

	if i.Chain.Home {
		app.Home = i.Key.TenantID
		app.Acquire = func() string {
			return tokens.AcquireHomeCommand(i.Key.TenantID, i.Key.ClientID, reach...)
		}

		return app
	}

	if api == string(alert.DefaultAPI()) {
		api = ""
	}

	what := []string{"--tenant-name", i.Chain.TenantName, "--api", api}
	app.Acquire = func() string {
		return tokens.AcquireCommand(i.Key.TenantID, i.Key.ClientID, slices.Concat(what, reach)...)
	}

	return app
}

// fromStore makes a tenant of a stored chain and the flags. api is the one that an
// input reads with the chain, if that is known: it counts where no flag says otherwise.
func (c *cli) fromStore(ctx context.Context, i store.ChainInfo, api string, set *settings) (chosen, error) {
	keys := config.Map(set.given())

	at := cloud.Cloud(cmp.Or(keys["cloud"], string(cloudOf(i.Key.LoginHost))))
	if _, err := cloud.Lookup(at, alert.API(api), keys["region"]); err == nil &&
		keys["api"]+keys["api_url"]+keys["resource"] == "" {
		keys["api"] = api
	}

	keys["tenant_id"], keys["client_id"], keys["grant"] = i.Key.TenantID, i.Key.ClientID, "refresh_token"

	keys["tenant_name"] = cmp.Or(i.Chain.TenantName, i.Key.TenantID)
	if keys["login_url"] == "" {
		keys["login_url"] = loginURL(i.Key.LoginHost)
	}

	if keys["cloud"] == "" {
		keys["cloud"] = string(cloudOf(i.Key.LoginHost))
	}

	if err := set.credential(ctx, keys); err != nil {
		return chosen{}, err
	}

	t, err := c.tenant(keys)

	return chosen{Tenant: t}, err
}

// exists reports whether there is a data directory.
func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}
