package cli

import (
	"context"
	"fmt"

	"fluent-bit-defender/internal/cli/lint"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store/postgres"
)

// storeVisit is the live check of a database that inputs use, as --json prints it.
type storeVisit struct {
	Store string `json:"store"`
	// Answer is "ok" or "failed".
	Answer  string `json:"answer"`
	Version string `json:"version,omitempty"`
	// TLS is "verified", "unverified" or "off".
	TLS     string `json:"tls,omitempty"`
	Problem string `json:"problem,omitempty"`
	Warning string `json:"warning,omitempty"`
	Code    int    `json:"exit_code"`
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

	s, err := c.openAt(ctx, at)
	if err != nil {
		return fail(err)
	}
	defer s.Close()

	database, ok := s.(*postgres.Store)
	if !ok {
		return fail(fmt.Errorf("%s is no database", at.Name()))
	}

	server, err := database.Server(ctx)
	if err != nil {
		return fail(err)
	}

	v.Answer, v.Version, v.TLS = "ok", server.Version, "off"

	switch {
	case server.Verified:
		v.TLS = "verified"
	case server.Encrypted:
		v.TLS = "unverified"
	}

	switch {
	case server.Plain:
		v.Warning = "the password may travel to another machine without encryption: add sslmode=verify-full to " +
			"the address of the store, and sslrootcert with the authority that signed its certificate"
	case server.Encrypted && !server.Verified:
		v.Warning = "the connection is encrypted, but anybody could be at its other end: add sslmode=verify-full " +
			"to the address of the store, and sslrootcert with the authority that signed its certificate"
	}

	if v.Warning != "" {
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

		if v.Warning != "" {
			text += "; " + v.Warning
		}

		fmt.Fprintln(c.Out, c.wrap(text, "    "))
	}
}
