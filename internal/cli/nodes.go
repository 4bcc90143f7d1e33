package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
)

// reportedNode is a node, as --json prints it.
type reportedNode struct {
	ID       string  `json:"node_id"`
	Version  string  `json:"version"`
	State    string  `json:"state"`
	Draining bool    `json:"draining"`
	Units    int     `json:"units"`
	LeaseAge float64 `json:"lease_age_seconds"`
	Joined   *string `json:"joined"`
	Renewed  *string `json:"renewed"`
	Expires  *string `json:"expires"`
}

// The states of a node.
const (
	nodeLive     = "live"
	nodeDraining = "draining"
	nodeExpired  = "expired"
)

// stateOfNode returns the state of a node.
func stateOfNode(n store.NodeStatus) string {
	switch {
	case !n.Live:
		return nodeExpired
	case n.Draining:
		return nodeDraining
	default:
		return nodeLive
	}
}

// leases returns the leases of the store; ok is false where it is in files of one
// machine.
func (v *view) leases() (l store.Leases, ok bool) {
	l, ok = v.s.(store.Leases)

	return l, ok
}

// nodes returns the nodes that share the store; none where it is in files.
func (v *view) nodes(ctx context.Context) ([]store.NodeStatus, error) {
	l, ok := v.leases()
	if !ok {
		return nil, nil
	}

	return l.Nodes(ctx)
}

// holders returns which node holds which unit; none where the store is in files.
func (v *view) holders(ctx context.Context) (map[alert.UnitKey]store.Holder, error) {
	l, ok := v.leases()
	if !ok {
		return nil, nil
	}

	return l.Holders(ctx)
}

func (c *cli) nodesCommand() *cobra.Command {
	var asJSON bool

	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes that share a PostgreSQL store",
		Args:  cobra.NoArgs,
		Long: "Lists the nodes on the store that --store names: STATE is live, draining (it gives its tenants " +
			"away), or expired: it has not renewed its lease, and others take its tenants over. UNITS is how many " +
			"tenants a node holds, each API of a tenant for itself. A node that ended in good order is not listed; " +
			"one that died is for a day, and for as long as it holds tenants.",
		Example: "  defenderctl nodes --store postgres://defender@db.example/defender",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.nodes(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")

	return cmd
}

// errOneNode says that nothing is shared.
var errOneNode = errors.New("the store is in files of this machine, so it has one node: the process whose inputs run " +
	"with it. Several machines share a PostgreSQL database: name it with --store or $" + storeVariable)

// nodes prints the nodes that share the store.
func (c *cli) nodes(ctx context.Context, asJSON bool) error {
	at, err := c.at(place{})
	if err != nil {
		return err
	}

	if !at.Shared() {
		if asJSON {
			if err := printJSON(c.Out, []struct{}{}); err != nil {
				return err
			}
		}

		c.say("%v", errOneNode)

		return nil
	}

	s, err := c.lookAt(ctx, at)
	if err != nil {
		return err
	}
	defer s.Close()

	list, err := s.nodes(ctx)
	if err != nil {
		return err
	}

	if asJSON {
		all := []reportedNode{}
		for _, n := range list {
			all = append(all, c.reportedNode(n))
		}

		return printJSON(c.Out, all)
	}

	holders, err := s.holders(ctx)
	if err != nil {
		return err
	}

	keys, err := s.keys(ctx)
	if err != nil {
		return err
	}

	c.printNodes(list, keys, holders)

	return nil
}

// reportedNode returns a node for --json.
func (c *cli) reportedNode(n store.NodeStatus) reportedNode {
	return reportedNode{
		ID:       n.ID,
		Version:  n.Version,
		State:    stateOfNode(n),
		Draining: n.Draining,
		Units:    n.Units,
		LeaseAge: c.Now().Sub(n.Renewed).Seconds(),
		Joined:   measure.Moment(n.Joined),
		Renewed:  measure.Moment(n.Renewed),
		Expires:  measure.Moment(n.Expires),
	}
}

// printNodes prints a table of nodes, and a line that sums them up.
func (c *cli) printNodes(list []store.NodeStatus, keys []alert.UnitKey, holders map[alert.UnitKey]store.Holder) {
	if len(list) == 0 {
		c.tell("no node has joined yet: no input has run with this store")
		return
	}

	now := c.Now()

	var rows [][]string

	for _, n := range list {
		ends := "in " + span(n.Expires.Sub(now))
		if !n.Live {
			ends = age(n.Expires, now) + " ago"
		}

		rows = append(rows, []string{
			n.ID,
			stateOfNode(n),
			strconv.Itoa(n.Units),
			age(n.Renewed, now),
			ends,
			age(n.Joined, now),
			n.Version,
		})
	}

	terminal.Table(c.Out, []string{"NODE", "STATE", "UNITS", "LEASE_AGE", "LEASE_ENDS", "JOINED", "VERSION"}, rows, 0)

	unowned := 0

	for _, key := range keys {
		if !holders[key].Live {
			unowned++
		}
	}

	fmt.Fprintln(c.Out, "\n"+c.wrap(fmt.Sprintf("%s; %s, %d held by no live node", countNodes(list),
		counted(len(keys), "unit"), unowned), "  "))
}

// countNodes says how many nodes are in which state.
func countNodes(list []store.NodeStatus) string {
	n := map[string]int{}
	for _, one := range list {
		n[stateOfNode(one)]++
	}

	var parts []string

	for _, state := range []string{nodeLive, nodeDraining, nodeExpired} {
		if n[state] > 0 || state == nodeLive {
			parts = append(parts, fmt.Sprintf("%d %s", n[state], state))
		}
	}

	return "nodes: " + strings.Join(parts, ", ")
}

func (c *cli) drainCommand() *cobra.Command {
	var undo bool

	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Move a node's tenants to the other nodes",
		Args:  oneArgument("NODE"),
		Long: "Asks a node to give all its tenants to the other nodes of the store that --store names, each in a " +
			"quiet moment, so that nothing is lost or repeated, and to take none: before a machine is switched off " +
			"for longer, for instance. It goes on running. A restart of the node, or --undo, lets it take part again.",
		Example: "  defenderctl drain fluent-bit-2 --store postgres://defender@db.example/defender\n" +
			"  defenderctl drain fluent-bit-2 --undo",
		RunE: func(cmd *cobra.Command, args []string) error { return c.drain(cmd.Context(), args[0], !undo) },
	}
	cmd.Flags().BoolVar(&undo, "undo", false, "let it take tenants again")
	cmd.ValidArgsFunction = c.nodeNames

	return cmd
}

// nodeNames completes NODE from the store.
func (c *cli) nodeNames(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var names []string

	if s, err := c.look(cmd.Context()); err == nil && len(args) == 0 {
		defer s.Close()

		list, _ := s.nodes(cmd.Context())
		for _, n := range list {
			if strings.HasPrefix(n.ID, prefix) {
				names = append(names, n.ID)
			}
		}
	}

	return names, cobra.ShellCompDirectiveNoFileComp
}

// drain asks a node to give its units away, or with on false to take some again.
func (c *cli) drain(ctx context.Context, id string, on bool) error {
	at, err := c.at(place{})
	if err != nil {
		return err
	}

	if !at.Shared() {
		return usagef("%v", errOneNode)
	}

	o, err := c.storeOptions(at)
	if err != nil {
		return err
	}

	o.NoTokens = true

	s, err := wiring.OpenStore(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()

	leases, ok := s.(store.Leases)
	if !ok {
		return usagef("%v", errOneNode)
	}

	list, err := leases.Nodes(ctx)
	if err != nil {
		return err
	}

	known, err := leases.Drain(ctx, id, on)
	if err != nil {
		return err
	}

	i := slices.IndexFunc(list, func(n store.NodeStatus) bool { return n.ID == id })
	if !known || i < 0 {
		return unknownNode(id, list)
	}

	c.tellDraining(list, list[i], on)

	return nil
}

// unknownNode says which nodes there are.
func unknownNode(id string, list []store.NodeStatus) error {
	if len(list) == 0 {
		return usagef("there is no node %s: no node has joined this store", plain.Quoted(id))
	}

	names := make([]string, len(list))
	for i, n := range list {
		names[i] = plain.Text(n.ID, 256)
	}

	return usagef("there is no node %s; there are:\n  %s", plain.Quoted(id), strings.Join(names, "\n  "))
}

// tellDraining says what happens now.
func (c *cli) tellDraining(list []store.NodeStatus, n store.NodeStatus, on bool) {
	others := slices.ContainsFunc(list, func(other store.NodeStatus) bool {
		return other.ID != n.ID && stateOfNode(other) == nodeLive
	})

	switch {
	case !on:
		fmt.Fprintf(c.Out, "%s takes its share of the tenants again\n", n.ID)
	case !n.Live:
		fmt.Fprintf(c.Out, "%s has not renewed its lease for %s; when it returns without a restart, it gives its "+
			"tenants away\n", n.ID, age(n.Renewed, c.Now()))
	default:
		fmt.Fprintf(c.Out, "%s gives all its tenants to the other nodes (units: %d); see: defenderctl nodes\n", n.ID,
			n.Units)
	}

	if on && !others {
		c.say("warning: there is no other live node: nobody polls what %s gives away", plain.Text(n.ID, 256))
	}
}
