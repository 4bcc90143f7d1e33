package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// compareMargin is how far behind the window the APIs are read: an alert is listed by one
// API some time before the other, and each has its own time of creation for it.
const compareMargin = 24 * 60 * tick.Minute

// compareRecent is how young an alert may be before its absence counts.
const compareRecent = 15 * tick.Minute

// comparing is one run of `compare`.
type comparing struct {
	c     *cli
	set   *settings
	file  string
	sides [2]compareSide
	since string
	json  bool
}

// compareSide is one of the two APIs.
type compareSide struct {
	name   string // of the flag: from or to
	api    string
	apiURL string
	region string
}

func (c *cli) compareCommand() *cobra.Command {
	m := &comparing{c: c, sides: [2]compareSide{{name: "from"}, {name: "to"}}}
	cmd := &cobra.Command{
		Use:   "compare NAME",
		Short: "Show which alerts two APIs of a tenant both list",
		Args:  oneArgument("NAME"),
		Long: "Reads a tenant's alerts from two APIs and shows which alerts both list and which only one, matched " +
			"by the alert's id: before a customer is moved from one API to another. What was created since --since " +
			"counts, up to 15 minutes ago; no checkpoint is touched. An API that the configuration does not read for " +
			"this tenant is asked with the tenant's other settings and without a filter. The exit code is 1 when " +
			"--to lacks an alert that --from has.",
		Example: "  defenderctl compare contoso --from siem --to graph --since 7d \\\n" +
			"      --config /etc/fluent-bit/fluent-bit.conf",
		RunE: func(cmd *cobra.Command, args []string) error { return m.run(cmd.Context(), args[0]) },
	}
	target := map[string]string{"cloud": targetKeys["cloud"]}
	m.set = newSettings(c, cmd, networkKeys, target, credentialKeys)
	cmd.ValidArgsFunction = c.names
	f := cmd.Flags()
	f.StringVar(&m.file, "config", "", "configuration with the tenant: conf, YAML or tenants file")
	f.StringVar(&m.since, "since", "7d", "first time of creation: ISO 8601, or a span before now such as 7d")
	f.BoolVar(&m.json, "json", false, "print one JSON object with all alerts that only one API lists")

	for i := range m.sides {
		s := &m.sides[i]
		f.StringVar(&s.api, s.name, "", "an API: "+strings.Join(alert.APINames(), ", "))
		f.StringVar(&s.apiURL, s.name+"-api-url", "", "host of that API (default --api-url, else as configured)")
		f.StringVar(&s.region, s.name+"-region", "", "region of that API, where it has hosts per region")
		_ = cmd.MarkFlagRequired(s.name) // the flag exists
	}

	return cmd
}

// run compares what two APIs list of the tenant that name means.
func (m *comparing) run(ctx context.Context, name string) error {
	now := m.c.Now()

	since, err := when("--since", m.since, now)
	if err != nil {
		return err
	}

	result := comparison{since: since, until: max(since, tick.FromTime(now)-compareRecent)}

	for i := range m.sides {
		side, err := m.read(ctx, name, i, since, now)
		if err != nil {
			return fmt.Errorf("--%s %s: %w", m.sides[i].name, m.sides[i].api, err)
		}

		result.sides[i] = side
	}

	result.compare()

	if m.json {
		err = printJSON(m.c.Out, result)
	} else {
		err = result.print(m.c.Out)
	}

	if n := len(result.OnlyFrom); err == nil && n > 0 {
		return fmt.Errorf("api %s does not list %d of the alerts that api %s lists", result.To, n, result.From)
	}

	return err
}

// read reads the alerts that one of the APIs lists.
func (m *comparing) read(
	ctx context.Context,
	name string,
	i int,
	since tick.Tick,
	now time.Time,
) (*comparedSide, error) {
	api, err := alert.ParseAPI(m.sides[i].api)
	if err != nil {
		return nil, usagef("%w", err)
	}

	found, err := m.find(ctx, name, api, m.sides[i])
	if err != nil {
		return nil, err
	}

	t := found.Tenant
	t.Updates, t.Format = true, record.FormatJSON

	s, err := m.store(ctx, &t, found.place)
	if err != nil {
		return nil, err
	}

	side, err := newComparedSide(&t)
	if err != nil {
		return nil, err
	}

	err = m.c.pull(ctx, t, s, func(id *alert.Identifier, e *record.Encoder) *pullSink {
		return newPullSink(id, e, side, since-compareMargin, 0, 0, now)
	})

	return side, err
}

// store opens the store, if the tenant's sign-in may take refresh tokens from it.
func (m *comparing) store(ctx context.Context, t *config.Tenant, at place) (store.Store, error) {
	need, err := m.c.needsStore(t, at)
	if err != nil || !need {
		return nil, err
	}

	return m.c.open(ctx, at)
}

// find finds the tenant with the settings for one API: those of the configuration, where
// it has them, else those that the configuration has for another API of the tenant.
func (m *comparing) find(ctx context.Context, name string, api alert.API, side compareSide) (chosen, error) {
	if m.file == "" {
		return m.stored(ctx, name, api, side)
	}

	clientID := m.set.get("client_id")

	found, err := m.c.fromConfig(ctx, m.file, name, string(api), clientID)
	if err != nil {
		var other chosen

		for _, s := range m.sides {
			if other, err = m.c.fromConfig(ctx, m.file, name, s.api, clientID); err == nil {
				break
			}
		}

		if err != nil {
			other, err = m.c.fromConfig(ctx, m.file, name, "", clientID)
		}

		if err != nil {
			return chosen{}, err
		}

		found = other
	}

	if err := m.set.override(ctx, &found.Tenant); err != nil {
		return chosen{}, err
	}

	return found, side.apply(&found.Tenant, api, m.set.get("api_url") != "")
}

// stored finds the tenant among the stored tokens, or takes its settings from the flags.
func (m *comparing) stored(ctx context.Context, name string, api alert.API, side compareSide) (chosen, error) {
	values := map[string]string{"api": string(api), "region": side.region}
	if side.apiURL != "" {
		values["api_url"] = side.apiURL
	}

	p := &pulling{c: m.c, set: m.set.with(values)}

	return p.find(ctx, name)
}

// apply makes a tenant read an API, at the side's host and region. own says that the
// tenant's api_url comes from a flag.
func (s compareSide) apply(t *config.Tenant, api alert.API, own bool) error {
	address := s.apiURL
	usual, err := cloud.Lookup(t.Cloud, t.API, t.Region)

	if address == "" && (own || err != nil || usual.APIURL != t.APIURL) {
		address = t.APIURL
	}

	if t.API == api && s.apiURL == "" && s.region == "" {
		return nil
	}

	target, err := cloud.Lookup(t.Cloud, api, s.region)

	var wrong *cloud.KeyError
	if errors.As(err, &wrong) && (wrong.Key != "region" || address == "") {
		return usagef("%s; the flag is --%s-region", wrong.Error(), s.name)
	}

	if t.API != api {
		t.Filter = ""
		t.PageSize = target.DefaultPage
	}

	login := t.LoginURL
	t.API, t.Region, t.Endpoint = api, s.region, target
	t.LoginURL, t.Endpoint.LoginURL = login, login
	t.APIURL = cmp.Or(address, target.APIURL)
	t.Endpoint.APIURL = t.APIURL
	t.Resource = target.Resource

	return nil
}
