package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// pulling is one run of `pull`.
type pulling struct {
	c                  *cli
	set                *settings
	file, since, until string
	format, filter     string
	limit              int
}

func (c *cli) pullCommand() *cobra.Command {
	p := &pulling{c: c}
	cmd := &cobra.Command{
		Use:   "pull NAME",
		Short: "Print one tenant's alerts once",
		Args:  oneArgument("NAME"),
		Long: "Prints the records that the input emits for one tenant, one a line, oldest first, and touches no " +
			"checkpoint. NAME is a tenant of --config, " +
			"one with a stored token, or with --client-id and a credential any tenant id. What fails in passing is " +
			"tried again, as by the input; where something is missing in the end, the message says what, and the " +
			"exit code is 1. A bare CEF line is in the key cef: pull NAME --format cef | jq -r .cef",
		Example: "  defenderctl pull contoso --config /etc/fluent-bit/fluent-bit.conf --since 24h --limit 10",
		RunE:    func(cmd *cobra.Command, args []string) error { return p.run(cmd.Context(), args[0]) },
	}
	p.set = newSettings(c, cmd, networkKeys, targetKeys, credentialKeys)
	cmd.ValidArgsFunction = c.names
	f := cmd.Flags()
	f.StringVar(&p.file, "config", "", "configuration with the tenant: conf, YAML or tenants file")
	f.StringVar(&p.since, "since", "24h", "first time, inclusive: ISO 8601, or a span before now such as 7d")
	f.StringVar(&p.until, "until", "", "time before which to stop, written like --since (default now)")
	f.StringVar(&p.format, "format", "", "one of "+strings.Join(record.FormatNames(), ", ")+
		" (default as configured, else json)")
	f.StringVar(&p.filter, "filter", "", "the API's own filter, as the input's key (default as configured)")
	f.IntVar(&p.limit, "limit", 0, "stop after so many records; 0 for all")

	return cmd
}

// run prints the alerts of the tenant that name means.
func (p *pulling) run(ctx context.Context, name string) (err error) {
	c := p.c
	now := c.Now()

	from, to, err := p.span(now)
	if err != nil {
		return err
	}

	t, s, err := p.tenant(ctx, name)
	if err != nil {
		return err
	}

	out := bufio.NewWriterSize(c.Out, 64<<10)
	err = c.pull(ctx, t, s, func(i *alert.Identifier, e *record.Encoder) *pullSink {
		return newPullSink(i, e, out, from, to, p.limit, now)
	})

	return errors.Join(err, out.Flush())
}

// pull reads a tenant's alerts into a sink, which newSink returns, and closes the store;
// s is nil if the tenant's sign-in needs none.
func (c *cli) pull(
	ctx context.Context,
	t config.Tenant,
	s store.Store,
	newSink func(*alert.Identifier, *record.Encoder) *pullSink,
) (err error) {
	var chains tokens.ChainStore

	if s != nil {
		keeper := c.keeper(s)

		chains = keeper
		defer func() {
			err = errors.Join(err, unsaved(ctx, keeper), s.Close())
		}()
	}

	reader, err := c.reader(t, chains)
	if err != nil {
		return err
	}

	encoder, err := wiring.NewEncoder(t)
	if err != nil {
		return err
	}

	identifier, err := wiring.NewIdentifier(t)
	if err != nil {
		return err
	}

	sink := newSink(identifier, encoder)
	done := c.progress(func() string {
		return fmt.Sprintf("%s: %d read, %d printed", t.TenantName, sink.read.Load(), sink.printed.Load())
	})
	read := &pullRead{
		c:      c,
		tenant: t,
		reader: reader,
		sink:   sink,
	}
	err = read.run(ctx)

	done()

	return err
}

// reader returns the reader of a tenant's API.
func (c *cli) reader(t config.Tenant, chains tokens.ChainStore) (defender.Reader, error) {
	parts, err := c.parts(t, c.log)
	if err != nil {
		return nil, err
	}

	source, err := parts.Source(chains)
	if err != nil {
		return nil, err
	}

	return parts.Reader(source, nil)
}

// span reads the flags that bound a pull; to is 0 for no end.
func (p *pulling) span(now time.Time) (from, to tick.Tick, err error) {
	if p.limit < 0 {
		return 0, 0, usagef("--limit must not be negative")
	}

	if from, err = when("--since", p.since, now); err != nil || p.until == "" {
		return from, 0, err
	}

	if to, err = when("--until", p.until, now); err != nil {
		return 0, 0, err
	}

	if to <= from {
		return 0, 0, usagef("--until must be later than --since")
	}

	return from, to, nil
}

// tenant finds the tenant and opens the store, if refresh tokens may be needed.
func (p *pulling) tenant(ctx context.Context, name string) (config.Tenant, store.Store, error) {
	c := p.c

	var (
		t  config.Tenant
		at place
	)

	switch found, err := p.find(ctx, name); {
	case err != nil:
		return t, nil, err
	default:
		t, at = found.Tenant, found.place
	}

	if p.format != "" {
		format, err := record.ParseFormat(p.format)
		if err != nil {
			return t, nil, usagef("--format: %w", err)
		}

		t.Format = format
	}

	if p.filter != "" {
		t.Filter = p.filter
	}

	need, err := c.needsStore(&t, at)
	if err != nil || !need {
		return t, nil, err
	}

	s, err := c.open(ctx, at)

	return t, s, err
}

// needsStore reports whether a tenant's sign-in may take refresh tokens from the store.
// Where there is no store, and nothing to put into one, the application signs in by
// itself, and no directory is made.
func (c *cli) needsStore(t *config.Tenant, at place) (bool, error) {
	if t.Grant == grant.ClientCredentials {
		return false, nil
	}

	at, err := c.at(at)
	if err != nil {
		return false, err
	}

	if at.Shared() || exists(at.DataDir) || !t.RefreshToken.IsZero() || t.RefreshTokenFile != "" ||
		t.Grant == grant.RefreshToken {
		return true, nil
	}

	t.Grant = grant.ClientCredentials

	return false, nil
}

func (p *pulling) find(ctx context.Context, name string) (chosen, error) {
	c := p.c
	if p.file != "" {
		found, err := c.fromConfig(ctx, p.file, name, p.set.get("api"), p.set.get("client_id"))
		if err == nil {
			err = p.set.override(ctx, &found.Tenant)
		}

		return found, err
	}

	s, err := c.lookFirst(ctx)
	if err != nil {
		return chosen{}, err
	}

	i, err := findChain(ctx, s, name, p.set.get("client_id"), p.set.get("login_url"))
	api := s.apiOf(ctx, i.Key)
	s.Close()

	if err == nil {
		return c.fromStore(ctx, i, api, p.set)
	}

	if p.set.get("client_id") == "" {
		return chosen{}, err
	}

	keys := config.Map(p.set.given())

	keys["tenant_id"] = name
	if err := p.set.credential(ctx, keys); err != nil {
		return chosen{}, err
	}

	t, err := c.tenant(keys)

	return chosen{Tenant: t}, err
}
