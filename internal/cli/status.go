package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// watchEvery is how often --watch reads the statuses; inputs write them every five
// seconds.
const watchEvery = 2 * time.Second

// reported is the status of one unit, as --json prints it.
type reported struct {
	measure.Document

	TokenState string `json:"token_state,omitempty"`
	// RelationshipEnd is when the relationship with the customer ends (GDAP).
	RelationshipEnd *string `json:"relationship_end,omitempty"`
	// Input is what is wrong with the input as a whole: a tenants file that was refused.
	Input *inputFault `json:"input,omitempty"`

	status store.Status
	chain  *store.ChainInfo
}

// statusView is one run of `status`: what is shown, and how.
type statusView struct {
	names                        []string
	asJSON, watch, check, hidden bool
	format                       string
}

// The values of --output.
const (
	outputTable = ""
	outputWide  = "wide"
	outputJSON  = "json"
)

// inputFault is what is wrong with an input as a whole, as --json prints it.
type inputFault struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

// text returns it as a line under the table.
func (f *inputFault) text() string { return f.Message + "; " + f.Remedy }

func (c *cli) statusCommand() *cobra.Command {
	var v statusView

	cmd := &cobra.Command{
		Use:   "status [NAME...]",
		Short: "Show how the inputs do, per tenant and API",
		Args:  cobra.ArbitraryArgs,
		Long: "Shows per tenant and API what the inputs last wrote about themselves, at most 10 s old while Fluent " +
			"Bit runs; with NAMEs of these tenants only. STATE is ok, failing, waiting (Fluent Bit takes nothing), " +
			"starting, stopped, or stale: nobody has written it for 30 s, so Fluent Bit does not run, or not with " +
			"this directory, or cannot write to it. A tenant that no input has polled for a day, while others are " +
			"polled, is left out.\n\n" +
			"--check is for monitoring systems with plugins as Nagios has them: one line with performance data, exit " +
			"code 0 for ok, 1 for a warning, 2 for critical (failing, waiting, stale, or nothing runs), 3 for unknown.",
		Example: "  defenderctl status --watch\n  defenderctl status contoso -o wide\n  defenderctl status --check\n" +
			"  defenderctl status --json | jq '.[] | select(.state != \"ok\")'",
		RunE: func(cmd *cobra.Command, args []string) error {
			v.names = args
			return c.status(cmd.Context(), v)
		},
	}
	cmd.ValidArgsFunction = c.names

	flags := cmd.Flags()
	flags.BoolVar(&v.asJSON, "json", false, "print JSON, as -o json")
	flags.StringVarP(&v.format, "output", "o", "", "json, or wide for more columns")
	flags.BoolVarP(&v.watch, "watch", "w", false, "show it again every 2 s until interrupted, the worst first")
	flags.BoolVar(&v.check, "check", false, "one line and an exit code for a monitoring system")
	flags.BoolVar(&v.hidden, "all", false, "show tenants that no input polls any more, too")

	return cmd
}

// status prints the statuses, once or, with watch, again and again until ctx ends.
func (c *cli) status(ctx context.Context, v statusView) error {
	if v.check {
		return c.statusCheck(ctx, v)
	}

	if err := v.complete(); err != nil {
		return err
	}

	s, err := c.look(ctx)
	if err != nil {
		return err
	}
	defer s.Close()

	if s.s == nil {
		return c.noDirectory(v.format == outputJSON)
	}

	for {
		seen, err := c.survey(ctx, s, v)
		if err != nil {
			return err
		}

		if err := c.printStatus(seen, v); err != nil || c.out.Err() != nil || !v.watch {
			return err
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(watchEvery):
		}
	}
}

// complete checks the flags, and makes one of those that mean the same.
func (v *statusView) complete() error {
	switch strings.ToLower(v.format) {
	case outputTable, outputWide, outputJSON:
		v.format = strings.ToLower(v.format)
	default:
		return usagef("--output %s: it is json or wide", plain.Quoted(v.format))
	}

	if v.asJSON && v.format == outputWide {
		return usagef("give one of --json and --output wide")
	}

	if v.asJSON {
		v.format = outputJSON
	}

	return nil
}

// noDirectory is the end of a command that lists what is in a data directory which does
// not exist: that nothing is listed there means nothing. With asJSON it prints an empty
// list.
func (c *cli) noDirectory(asJSON bool) error {
	if asJSON {
		if err := printJSON(c.Out, []struct{}{}); err != nil {
			return err
		}
	}

	at, err := c.at(place{})
	if err != nil {
		return err
	}

	return fmt.Errorf("there is no directory %s: no input has run with it, and no token was stored in it; give the "+
		"input's data_dir with --data-dir or $DEFENDER_DATA_DIR, or its store with --store or $%s",
		plain.Text(at.DataDir, 1024), storeVariable)
}

// statuses reads what the inputs wrote, ordered by tenant.
func (c *cli) statuses(ctx context.Context, s *view) ([]reported, error) {
	statuses, err := s.statuses(ctx)
	if err != nil {
		return nil, err
	}

	var chains []store.ChainInfo
	if s.lost == "" { // else only the ends of tokens are unknown
		if chains, err = s.chains(ctx); err != nil {
			return nil, err
		}
	}

	holders, err := s.holders(ctx)
	if err != nil {
		return nil, err
	}

	_, shared := s.leases()

	all := []reported{}

	for key, st := range statuses {
		r := c.reported(key, st, chains)
		if shared {
			c.noteHolder(&r, holders[key])
		}

		all = append(all, r)
	}

	slices.SortFunc(all, func(a, b reported) int {
		return cmp.Or(
			cmp.Compare(a.Tenant, b.Tenant),
			cmp.Compare(a.TenantID, b.TenantID),
			cmp.Compare(a.API, b.API),
			cmp.Compare(a.StateID, b.StateID),
		)
	})

	return all, nil
}

// reported returns a status for the output. chains are all that are stored.
func (c *cli) reported(key alert.UnitKey, st store.Status, chains []store.ChainInfo) reported {
	r := reported{
		Document:        measure.DocumentOf(key, &st),
		RelationshipEnd: measure.Moment(st.RelationshipEnd),
		status:          st,
	}
	if n := st.Notice; n != nil {
		r.Input = &inputFault{string(n.Reason), n.Message, n.Remedy}
	}

	if st.State != health.Stopped && c.Now().Sub(st.UpdatedAt) > measure.StaleAfter {
		r.State = health.Stale
	}

	chain := chainOf(key, st)

	for _, i := range chains {
		if i.Key == chain {
			r.chain = &i
			r.TokenExpires = measure.Moment(i.Chain.Forecast(c.Now(), tokens.App{}).Ends)
			r.TokenState, _ = c.stateOf(i, chainUse{api: r.API})
		}
	}

	return r
}

// noteHolder records which node polls a unit; the zero Holder says that none does. That
// is normal for a moment while a unit moves to another node, so a message is added only
// when nobody has written the unit's status for a while.
func (c *cli) noteHolder(r *reported, h store.Holder) {
	r.SetHolder(h.Node, c.Now().Sub(h.Renewed))
	r.Unowned = !h.Live && r.State != health.Stopped

	switch {
	case !r.Unowned || r.State != health.Stale:
		return
	case h.Node == "":
		r.Message = "no node holds it, so it is not polled"
	default:
		r.Message = "its node " + h.Node + " has not renewed its lease for " + age(h.Renewed, c.Now()) +
			", so it is not polled"
	}

	r.Reason, r.Trace = "", ""
	r.Remedy = "see defenderctl nodes: start nodes that have expired, and end the draining of others"
}

// holderCells returns the cells of a row about the node that polls a unit.
func holderCells(r reported) (node, lease string) {
	if r.Node == nil {
		return "-", "-"
	}

	return *r.Node, span(time.Duration(*r.LeaseAge * float64(time.Second)))
}

// statusRow returns the row of a status in the table.
func (c *cli) statusRow(r reported) []string {
	now := c.Now()
	token := "-"

	if f, ok := c.tokenForecast(r); ok {
		switch {
		case f.Ended:
			token = "ended"
		case !f.Ends.IsZero():
			token = "in " + span(f.Ends.Sub(now))
		}
	}

	api := r.API
	if r.StateID != "" {
		api += "/" + r.StateID
	}

	node, lease := holderCells(r)

	return []string{
		r.Tenant,
		api,
		string(r.State),
		age(r.status.LastSuccess, now),
		age(r.status.LastAlert, now),
		span(time.Duration(r.LagSeconds * float64(time.Second))),
		strconv.FormatUint(r.Emitted, 10),
		strconv.FormatUint(r.Repeats, 10),
		strconv.Itoa(r.Deferred),
		strconv.FormatUint(r.Errors, 10),
		token,
		r.Reason,
		age(r.status.Since, now),
		strconv.FormatUint(r.Polls, 10),
		span(r.status.EffectiveInterval),
		r.TenantID,
		r.ClientID,
		r.LoginHost,
		date(r.status.RelationshipEnd),
		node,
		lease,
	}
}

// statusHeader names the columns of statusRow; those from wideFrom on are for wide.
var statusHeader = []string{
	"TENANT",
	"API",
	"STATE",
	"SUCCESS",
	"ALERT",
	"LAG",
	"EMITTED",
	"REPEATS",
	"DEFERRED",
	"ERRORS",
	"TOKEN_ENDS",
	"REASON",
	"SINCE",
	"POLLS",
	"INTERVAL",
	"TENANT_ID",
	"CLIENT_ID",
	"LOGIN_HOST",
	"GDAP_ENDS",
	"NODE",
	"LEASE_AGE",
}

const wideFrom = 11

// statusLine is a line under the table. Units with the same text share one, even though
// trace differs from poll to poll.
type statusLine struct{ text, trace string }

// statusLines returns the lines about a status that are printed under the table.
func (c *cli) statusLines(r reported) []statusLine {
	var lines []statusLine

	failing := r.Message != "" && r.State != health.OK
	if failing {
		text := r.Message
		if !strings.Contains(text, r.Remedy) {
			text += "; " + r.Remedy
		}

		lines = append(lines, statusLine{text, r.Trace})
	}

	f, ok := c.tokenForecast(r)
	if !ok || !f.Soon || f.Ended && failing { // the input itself reports a token that has ended
		return lines
	}

	return append(lines, statusLine{text: f.Text + "; " + f.Remedy})
}

// tokenForecast returns what is known about the end of the tenant's refresh token. ok is
// false if none is stored.
func (c *cli) tokenForecast(r reported) (f tokens.Forecast, ok bool) {
	if r.chain == nil {
		return tokens.Forecast{}, false
	}

	return r.chain.Chain.Forecast(c.Now(), c.application(*r.chain, r.API)), true
}
