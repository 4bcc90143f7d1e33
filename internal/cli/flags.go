package cli

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
)

// settings are the keys of a tenant that a command takes as flags: --client-id is
// client_id.
type settings struct {
	c      *cli
	values map[string]*string
	// clientSecret is apart from the others: nothing prints it by accident.
	clientSecret string
}

// networkKeys are taken by every command that uses the network, targetKeys name the
// API, credentialKeys the application.
var (
	networkKeys = map[string]string{
		"login_url": "sign-in service, scheme://host:port (default from --cloud)", "api_url": "host of the API, " +
			"scheme://host:port (default from --cloud, --api, --region)",
		"ca_file": "PEM bundle of certificate authorities to trust besides the system's", "proxy": "HTTP proxy, " +
			"http://host:port (default from the environment)",
	}
	targetKeys = map[string]string{
		"api":      choices(alert.APINames()),
		"cloud":    choices(cloud.Names()),
		"region":   "the data's region, for APIs that have hosts per region: see docs/options.md",
		"resource": "what tokens are asked for (default from --cloud and --api)",
	}
	credentialKeys = map[string]string{
		"client_id": "application (client) id", "client_secret_file": "file with the application secret; - reads " +
			"the standard input",
		"client_certificate_file": "PEM file with certificate and private key",
	}
)

// choices describes a flag with one of some values, the default first.
func choices(values []string) string {
	last := len(values) - 1

	return strings.Join(values[:last], ", ") + " or " + values[last] + " (default " + values[0] + ")"
}

// newSettings adds the flags of some groups of keys to a command.
func newSettings(c *cli, cmd *cobra.Command, groups ...map[string]string) *settings {
	s := &settings{c: c, values: map[string]*string{}}

	for _, g := range groups {
		for key, help := range g {
			v := new(string)
			s.values[key] = v
			cmd.Flags().StringVar(v, flagOf(key), "", help)
		}

		if _, ok := g["client_secret_file"]; ok {
			cmd.Flags().StringVar(&s.clientSecret, "client-secret", "", "the application secret itself; everybody "+
				"on this machine can see it in the process list: prefer --client-secret-file or "+
				"$DEFENDER_CLIENT_SECRET")
		}
	}

	return s
}

func flagOf(key string) string { return strings.ReplaceAll(key, "_", "-") }

func (s *settings) get(key string) string {
	if v := s.values[key]; v != nil {
		return strings.TrimSpace(*v)
	}

	return ""
}

// with returns the same flags with other values for some keys.
func (s *settings) with(values map[string]string) *settings {
	other := *s
	other.values = maps.Clone(s.values)

	for key, v := range values {
		other.values[key] = &v
	}

	return &other
}

// given lists the flags that were set, as keys.
func (s *settings) given() map[string]string {
	m := map[string]string{}

	for key := range s.values {
		if v := s.get(key); v != "" {
			m[key] = v
		}
	}

	return m
}

// credential adds the application's credential to the keys: from a flag, the
// environment, or a prompt, in this order.
func (s *settings) credential(ctx context.Context, keys config.Map) error {
	given := 0

	for _, value := range []string{s.clientSecret, s.get("client_secret_file"), s.get("client_certificate_file")} {
		if value != "" {
			given++
		}
	}

	if given > 1 {
		return usagef("give one of --client-secret-file, --client-certificate-file and --client-secret")
	}

	if s.clientSecret != "" {
		s.c.say("warning: everybody on this machine can see --client-secret in the process list, and the shell " +
			"keeps it in its history; use --client-secret-file or $DEFENDER_CLIENT_SECRET")
		keys["client_secret"] = s.clientSecret
	}

	if path := s.get("client_secret_file"); isStream(path) {
		v, err := s.c.readSecretFile(ctx, "--client-secret-file", path)
		if err != nil {
			return err
		}

		delete(keys, "client_secret_file")
		keys["client_secret"] = v.Reveal()
	}

	if given > 0 {
		return nil
	}

	if v, ok := s.c.LookupEnv("DEFENDER_CLIENT_SECRET"); ok && strings.TrimSpace(v) != "" {
		keys["client_secret"] = v
		return nil
	}

	if !s.c.InTerminal {
		return nil
	}

	v, err := s.c.askSecret(ctx, "Application secret (Enter if the application is a public client): ")
	if err != nil {
		return err
	}

	if !v.IsZero() {
		keys["client_secret"] = v.Reveal()
	}

	return nil
}

// tenant reads keys as a section of the input would be read, and returns its one
// tenant. Faults name flags. Warnings about the keys in known are left out: the caller
// has said them already.
func (c *cli) tenant(keys config.Map, known ...string) (config.Tenant, error) {
	if err := wrongRegion(keys); err != nil {
		return config.Tenant{}, err
	}

	in, warnings, err := config.FromPlugin(keys, config.Sources{Env: c.LookupEnv})
	for _, w := range warnings {
		if slices.Contains(known, w.Key) {
			continue
		}

		w.Key = flagName(w.Key)
		c.say("warning: %s", w.String())
	}

	if err != nil {
		return config.Tenant{}, flagFaults(err)
	}

	c.noteStore(&in.Tenants[0], place{})

	return in.Tenants[0], nil
}

// wrongRegion names the regions that the API has in the cloud, where another one is
// given: those of all APIs are no help.
func wrongRegion(keys config.Map) error {
	api, apiErr := alert.ParseAPI(keys["api"])

	name, cloudErr := cloud.ParseCloud(keys["cloud"])
	if keys["region"] == "" || apiErr != nil || cloudErr != nil {
		return nil
	}

	_, err := cloud.Lookup(name, api, keys["region"])

	var wrong *cloud.KeyError
	if errors.As(err, &wrong) && wrong.Key == "region" {
		return usagef("--region: %s; %s", wrong.Problem, wrong.Remedy)
	}

	return nil
}

func flagName(key string) string {
	if key == "" {
		return ""
	}

	return "--" + flagOf(key)
}

// flagFaults words the faults of a configuration as those of a command line.
func flagFaults(err error) error {
	var all []error

	for _, f := range config.Faults(err) {
		g := *f
		g.Key, g.Tenant = flagName(f.Key), ""
		all = append(all, &g)
	}

	if len(all) == 0 {
		all = append(all, err)
	}

	return &usageError{errors.Join(all...)}
}
