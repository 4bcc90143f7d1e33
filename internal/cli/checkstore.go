package cli

import (
	"context"
	"fmt"

	"fluent-bit-defender/internal/cli/lint"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store/postgres"
	"fluent-bit-defender/internal/wiring"
)

// storeVisit is the live check of a database that inputs use, as --json prints it.
type storeVisit struct {
	Store string `json:"store"`
	// Answer is "ok" or "failed".
	Answer  string `json:"answer"`
	Version string `json:"version,omitempty"`
	// TLS is "verified", "authority", "unverified" or "off": see postgres.Server.
	TLS      string   `json:"tls,omitempty"`
	Problem  string   `json:"problem,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Notes    []string `json:"notes,omitempty"`
	Code     int      `json:"exit_code"`
}

// visitStores asks each database that the inputs use what it is.
func (c *cli) visitStores(ctx context.Context, inputs []lint.Input) (all []*storeVisit) {
	seen := map[string]bool{}

	for _, in := range inputs {
		at, err := c.at(placeOf(in.Input))
		if err != nil || !at.Shared() || seen[at.Name()] {
			continue // what is wrong with the flags is told when a tenant is visited
		}

		seen[at.Name()] = true
		all = append(all, c.visitStore(ctx, at))
	}

	return all
}

// visitStore asks a database what it is.
func (c *cli) visitStore(ctx context.Context, at place) *storeVisit {
	v := &storeVisit{Store: at.Name(), Answer: "failed"}

	fail := func(err error) *storeVisit {
		v.Problem = err.Error()
		v.Code = worst(exitCode(err), exitFailed)

		return v
	}

	o, err := c.storeOptions(at)
	if err != nil {
		return fail(err)
	}

	s, err := wiring.OpenStore(ctx, o)
	if err != nil {
		return fail(err)
	}
	defer s.Close()

	database, ok := s.(*postgres.Store)
	if !ok {
		return fail(fmt.Errorf("%s is not a database", at.Name()))
	}

	server, err := database.Server(ctx)
	if err != nil {
		return fail(err)
	}

	v.Answer, v.Version, v.TLS = "ok", server.Version, server.TLS
	v.Warnings, v.Notes = s.Warnings(), server.Notes
	c.warned = append(c.warned, v.Warnings...)

	switch {
	case server.Standby:
		v.Warnings = append(v.Warnings, "this server is a standby, and takes no changes: name the primary in the "+
			"address of the store, or all of them with target_session_attrs=read-write")
	case server.ReadOnly:
		v.Warnings = append(v.Warnings, "it takes no changes (default_transaction_read_only is on, here or for the "+
			"role): name the primary in the address of the store, or switch it off")
	}

	if len(v.Warnings) > 0 {
		v.Code = exitFailed
	}

	return v
}

// printStores prints what the databases are.
func (c *cli) printStores(all []*storeVisit) {
	for _, v := range all {
		text := plain.Text(v.Store, 1024) + ": "

		if v.Problem != "" {
			text += v.Problem
		} else {
			text += fmt.Sprintf("PostgreSQL %s answers, TLS %s", plain.Text(v.Version, 64), v.TLS)
		}

		fmt.Fprintln(c.Out, c.wrap(text, "    "))

		for _, w := range v.Warnings {
			fmt.Fprintln(c.Out, c.wrap("  warning: "+w, "    "))
		}

		for _, n := range v.Notes {
			fmt.Fprintln(c.Out, c.wrap("  note: "+n, "    "))
		}
	}
}
