package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// when reads a point in time: an ISO 8601 time or date (UTC where it does not say), or a
// span before now such as 24h or 7d.
func when(flag, text string, now time.Time) (tick.Tick, error) {
	if t, err := tick.Parse(text); err == nil {
		return t, nil
	}

	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return tick.FromTime(t), nil
	}

	if d, err := config.ParseDuration(text); err == nil && strings.ContainsAny(text, "dhms") {
		return tick.FromTime(now.Add(-d)), nil
	}

	return 0, usagef("%s: %q is not a time; write 2026-03-01T12:00:00Z, 2026-03-01, or a span before now such as 24h "+
		"or 7d", flag, text)
}

// rewinding is one run of `rewind`.
type rewinding struct {
	since, api, stateID string
	withState           bool // stateID counts, also if it is empty
}

func (c *cli) rewindCommand() *cobra.Command {
	var r rewinding

	cmd := &cobra.Command{
		Use:   "rewind NAME --since TIME",
		Short: "Have the input emit a tenant's alerts again",
		Args:  oneArgument("NAME"),
		Long: "Asks the input to emit everything of a tenant again that was updated at or after a time, with the " +
			"same record_ids: for a SIEM that lost its index. A running input takes it up within seconds, one that " +
			"is stopped when it starts.",
		Example: "  defenderctl rewind contoso --since 2026-03-01T00:00:00Z",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.withState = cmd.Flags().Changed("state-id")
			return c.rewind(cmd.Context(), args[0], r)
		},
	}
	cmd.ValidArgsFunction = c.names

	flags := cmd.Flags()
	flags.StringVar(&r.since, "since", "", "time to go back to, inclusive: ISO 8601, or a span before now such as 24h")
	flags.StringVar(&r.api, "api", "", "only this API of the tenant")
	flags.StringVar(&r.stateID, "state-id", "", "only this state_id")

	return cmd
}

// rewind leaves a note for the inputs to emit a tenant's alerts again.
func (c *cli) rewind(ctx context.Context, name string, r rewinding) error {
	if r.since == "" {
		return usagef("--since is required")
	}

	from, err := when("--since", r.since, c.Now())
	if err != nil {
		return err
	}

	if from > tick.FromTime(c.Now()) {
		return usagef("--since %s is in the future", from)
	}

	readOnly, err := c.lookFirst(ctx)
	if err != nil {
		return err
	}

	units, err := findUnits(ctx, readOnly, name, r)
	readOnly.Close()

	if err != nil {
		return err
	}

	s, err := c.open(ctx, place{})
	if err != nil {
		return err
	}
	defer s.Close()

	for _, key := range units {
		if err := s.Rewind(ctx, key, from); err != nil {
			return err
		}

		state := ""
		if key.StateID != "" {
			state = " state_id " + key.StateID
		}

		fmt.Fprintf(c.Out, "%s api %s%s: everything updated since %s will be emitted again\n",
			name, key.API, state, from.Time().Format(time.RFC3339Nano))
	}

	return nil
}

// knownUnit is a unit that the store knows, with the name of its tenant.
type knownUnit struct {
	key    alert.UnitKey
	tenant string // empty if the store knows no name
}

// label names the unit's tenant for a person.
func (u knownUnit) label() string { return label(u.tenant, string(u.key.TenantID)) }

// knownUnits returns all units that inputs have polled, with or without success.
func knownUnits(ctx context.Context, s *view, chains []store.ChainInfo) ([]knownUnit, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}

	statuses, err := s.statuses(ctx)
	if err != nil {
		return nil, err
	}

	for key := range statuses {
		if !slices.Contains(keys, key) {
			keys = append(keys, key) // polled, but never with success
		}
	}

	names := map[string]string{} // of tenants that only the token store has a name for
	for _, i := range chains {
		names[i.Key.TenantID] = i.Chain.TenantName
	}

	var units []knownUnit
	for _, key := range keys {
		units = append(units, knownUnit{key, cmp.Or(statuses[key].TenantName, names[string(key.TenantID)])})
	}

	return units, nil
}

// findUnits returns the units that r asks for, of the one tenant that name means.
func findUnits(ctx context.Context, s *view, name string, r rewinding) ([]alert.UnitKey, error) {
	chains, err := s.chains(ctx)
	if err != nil {
		return nil, err
	}

	units, err := knownUnits(ctx, s, chains)
	if err != nil {
		return nil, err
	}

	var (
		found                  []alert.UnitKey
		known, several, others []string
	)

	tenants := map[string]bool{}

	for _, u := range units {
		known = append(known, u.label())

		switch {
		case !called(name, u.tenant, string(u.key.TenantID)):
		case !r.wants(u.key):
			others = append(others, unitName(string(u.key.API), u.key.StateID))
		default:
			found = append(found, u.key)
			tenants[u.key.LoginHost+" "+string(u.key.TenantID)] = true
			several = append(several, u.label()+" at "+u.key.LoginHost)
		}
	}

	switch {
	case len(tenants) > 1:
		return nil, ambiguous(name, several, "its tenant id")
	case len(found) > 0:
		return found, nil
	case len(others) > 0:
		return nil, otherUnits(name, others)
	case len(known) == 0 && slices.ContainsFunc(chains, func(i store.ChainInfo) bool {
		return called(name, i.Chain.TenantName, i.Key.TenantID)
	}):
		return nil, usagef("a token of %q is stored, but no input with this data directory has polled it yet: "+
			"there is nothing to emit again", name)
	}

	return nil, unknownName(name, known)
}

// wants reports whether the flags mean a unit.
func (r rewinding) wants(key alert.UnitKey) bool {
	return (r.api == "" || strings.EqualFold(r.api, string(key.API))) && (!r.withState || key.StateID == r.stateID)
}

// unitName returns the API of a unit, with its state_id where it has one.
func unitName(api, stateID string) string {
	if stateID == "" {
		return api
	}

	return api + " with state_id " + plain.Text(stateID, 128)
}

// otherUnits says that a tenant is known, but not with the API or state_id that was asked
// for.
func otherUnits(name string, units []string) error {
	slices.Sort(units)

	return usagef("%s is known, but not with the --api or --state-id that was given; it has: %s", plain.Quoted(name),
		strings.Join(slices.Compact(units), ", "))
}
