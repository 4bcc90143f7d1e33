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

	return 0, usagef("%s: %q is no time; write 2026-03-01T12:00:00Z, 2026-03-01, or a span before now such as 24h "+
		"or 7d", flag, text)
}

func (c *cli) rewindCommand() *cobra.Command {
	var since, api, stateID string

	cmd := &cobra.Command{
		Use: "rewind NAME --since TIME",
		Short: "Have the input emit a tenant's alerts " +
			"again",
		Args: oneArgument("NAME"),
		Long: "Asks the input to emit everything of a tenant again that was updated at or after a time, with the " +
			"same record_ids: for a SIEM that lost its " +
			"index. A running input takes it up within seconds, one that is stopped when it starts.",
		Example: "  defenderctl rewind contoso --since 2026-03-01T00:00:00Z",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()

			if since == "" {
				return usagef("--since is required")
			}

			from, err := when("--since", since, c.Now())
			if err != nil {
				return err
			}

			if from > tick.FromTime(c.Now()) {
				return usagef("--since %s is in the future", from)
			}

			ro, err := c.lookFirst()
			if err != nil {
				return err
			}

			feeds, err := findFeeds(ctx, ro, args[0], api, stateID, cmd.Flags().Changed("state-id"))
			ro.Close()

			if err != nil {
				return err
			}

			s, err := c.open(place{})
			if err != nil {
				return err
			}
			defer s.Close()

			for _, key := range feeds {
				if err := s.Rewind(ctx, key, from); err != nil {
					return err
				}

				state := ""
				if key.StateID != "" {
					state = " state_id " + key.StateID
				}

				fmt.Fprintf(c.Out, "%s api %s%s: everything updated since %s will be emitted "+
					"again\n", args[0], key.API, state, from)
			}

			return nil
		},
	}
	cmd.ValidArgsFunction = c.names
	cmd.Flags().StringVar(&since, "since", "", "time to go back to, inclusive: ISO 8601, or a span before now such "+
		"as 24h")
	cmd.Flags().StringVar(&api, "api", "", "only this API of the tenant")
	cmd.Flags().StringVar(&stateID, "state-id", "", "only this state_id")

	return cmd
}

// findFeeds finds what is polled of the one tenant that name means.
func findFeeds(ctx context.Context, s *view, name, api, stateID string, withState bool) ([]alert.UnitKey, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}

	statuses, err := s.statuses(ctx)
	if err != nil {
		return nil, err
	}

	chains, err := s.chains(ctx)
	if err != nil {
		return nil, err
	}

	labels := map[string]string{} // of tenants that only the token store has a name for
	for _, i := range chains {
		labels[i.Key.TenantID] = i.Chain.TenantName
	}

	for key := range statuses {
		if !slices.Contains(keys, key) {
			keys = append(keys, key) // polled, but never with success
		}
	}

	var (
		found                  []alert.UnitKey
		known, several, others []string
	)

	tenants := map[string]bool{}

	for _, key := range keys {
		title := cmp.Or(statuses[key].TenantName, labels[string(key.TenantID)])

		known = append(known, label(title, string(key.TenantID)))
		if !called(name, title, string(key.TenantID)) {
			continue
		}

		if api != "" && !strings.EqualFold(api, string(key.API)) || withState && key.StateID != stateID {
			others = append(others, unitName(string(key.API), key.StateID))
			continue
		}

		found = append(found, key)
		tenants[key.LoginHost+" "+string(key.TenantID)] = true
		several = append(several, label(title, string(key.TenantID))+" at "+key.LoginHost)
	}

	isStored := func(i store.ChainInfo) bool { return called(name, i.Chain.TenantName, i.Key.TenantID) }
	switch {
	case len(found) == 0 && len(known) == 0 && slices.ContainsFunc(chains, isStored):
		return nil, usagef("a token of %q is stored, but no input with this data directory has polled it yet: "+
			"there is nothing to emit again", name)
	case len(found) == 0 && len(others) > 0:
		return nil, otherUnits(name, others)
	case len(found) == 0:
		return nil, unknownName(name, known)
	case len(tenants) > 1:
		return nil, ambiguous(name, several, "its tenant id")
	}

	return found, nil
}

// unitName is the API of a unit, with its state_id where it has one.
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
