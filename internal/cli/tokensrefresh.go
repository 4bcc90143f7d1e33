package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// refreshed is the answer to `tokens refresh`, as --json prints it.
type refreshed struct {
	TenantID string      `json:"tenant_id"`
	Tenant   string      `json:"tenant"`
	ClientID string      `json:"client_id"`
	Resource string      `json:"resource"`
	Grant    grant.Grant `json:"grant"`
	Rotated  bool        `json:"rotated"`
	Tid      string      `json:"tid"`
	Aud      string      `json:"aud"`
	Roles    []string    `json:"roles"`
	Scp      []string    `json:"scp"`
	Exp      *string     `json:"exp"`
	Expires  *string     `json:"expires"`
}

func (c *cli) refreshCommand() *cobra.Command {
	var (
		file   string
		asJSON bool
	)

	cmd := &cobra.Command{
		Use:   "refresh NAME",
		Short: "Refresh a stored token now and say what the service answers",
		Args:  oneArgument("NAME"),
		Long: "Redeems the stored refresh token of a tenant and stores what it is rotated to. The application's " +
			"credential comes from a configuration (--config) or from the flags. The inputs may run meanwhile.",
		Example: "  defenderctl tokens refresh contoso --config /etc/fluent-bit/fluent-bit.conf\n" +
			"  defenderctl tokens refresh contoso --api siem --region eu \\\n" +
			"      --client-secret-file /run/secrets/mssp-app",
	}
	set := newSettings(c, cmd, networkKeys, targetKeys, credentialKeys)
	cmd.ValidArgsFunction = c.names
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, s, err := c.choose(cmd.Context(), args[0], file, set)
		if err != nil {
			return err
		}
		defer s.Close()

		r, err := c.refresh(cmd.Context(), t.Tenant, s)
		if err != nil {
			return err
		}

		if asJSON {
			return printJSON(c.Out, r)
		}

		c.printRefreshed(r)

		return nil
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration with the tenant's credential: conf, YAML or tenants file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")

	return cmd
}

// refresh gets an access token for a tenant and returns what the service said.
func (c *cli) refresh(ctx context.Context, t config.Tenant, s store.Store) (refreshed, error) {
	parts, err := c.parts(t, c.log)
	if err != nil {
		return refreshed{}, err
	}

	keeper := c.keeper(s)

	source, err := parts.Source(keeper)
	if err != nil {
		return refreshed{}, err
	}

	done := c.progress(func() string { return "asking " + t.LoginURL })
	access, err := source.Refresh(ctx)

	done()

	if err := errors.Join(err, unsaved(ctx, keeper)); err != nil {
		return refreshed{}, err
	}

	r := refreshed{
		TenantID: string(t.TenantID),
		Tenant:   t.TenantName,
		ClientID: string(t.ClientID),
		Resource: t.Resource,
		Grant:    source.Grant(),
		Rotated:  access.Rotated,
		Roles:    []string{},
		Scp:      []string{},
		Exp:      measure.Moment(access.Expiry),
	}
	if claims, err := tokens.Inspect(access.Token); err == nil {
		r.Tid = claims.Tid
		r.Aud = claims.Aud
		r.Roles = append(r.Roles, claims.Roles...)
		r.Scp = append(r.Scp, claims.Scp...)
	}

	chain, ok, err := s.Tokens().Load(ctx, wiring.Application(&t, c.log).ChainKey())
	if ok {
		r.Expires = measure.Moment(chain.Forecast(c.Now(), tokens.App{}).Ends)
	}

	return r, err
}

// printRefreshed prints the answer to `tokens refresh` for a person.
func (c *cli) printRefreshed(r refreshed) {
	fmt.Fprintln(c.Out, c.wrap(fmt.Sprintf("%s: the service gave an access token for %s in tenant %s, until %s",
		label(r.Tenant, r.TenantID), orUnknown(r.Aud), orUnknown(r.Tid), *r.Exp), "  "))
	fmt.Fprintf(c.Out, "  permissions: %s\n", granted(r.Aud, r.Scp, r.Roles))

	switch {
	case r.Grant == grant.ClientCredentials:
		fmt.Fprintln(c.Out, "  the application signed in by itself: there is no refresh token")
	case r.Rotated:
		fmt.Fprintf(c.Out, "  a new refresh token is stored; unused, it lives until %s\n", *r.Expires)
	default:
		fmt.Fprintln(c.Out, "  the service gave no new refresh token: the stored one stays")
	}
}

// choose finds the tenant that a command is about, in a configuration or in the store,
// and opens the store for writing.
func (c *cli) choose(ctx context.Context, name, file string, set *settings) (chosen, store.Store, error) {
	if file != "" {
		t, err := c.fromConfig(ctx, file, name, set.get("api"), set.get("client_id"))
		if err == nil {
			err = set.override(ctx, &t.Tenant)
		}

		if err != nil {
			return chosen{}, nil, err
		}

		s, err := c.open(ctx, t.place)

		return t, s, err
	}
	// Looked up for reading first: a name that is not known makes no directory.
	ro, err := c.lookFirst(ctx)
	if err != nil {
		return chosen{}, nil, err
	}

	i, err := findChain(ctx, ro, name, set.get("client_id"), set.get("login_url"))
	api := ro.apiOf(ctx, i.Key)
	ro.Close()

	if err != nil {
		return chosen{}, nil, err
	}

	t, err := c.fromStore(ctx, i, api, set)
	if err != nil {
		return chosen{}, nil, err
	}

	s, err := c.open(ctx, place{})

	return t, s, err
}
