package pgtest

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestBouncerPassesOnAndSurvivesARestart(t *testing.T) {
	s := Start(t)
	p := NewProxy(t, "tcp", fmt.Sprintf("127.0.0.1:%d", s.Bouncer(t)))
	ask := func() error {
		config, err := pgx.ParseConfig(fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable",
			p.Port()))
		if err != nil {
			return err
		}

		config.DefaultQueryExecMode = pgx.QueryExecModeExec

		c, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			return err
		}
		defer c.Close(t.Context())

		var one int

		return c.QueryRow(t.Context(), "SELECT 1").Scan(&one)
	}

	if err := ask(); err != nil {
		t.Fatal(err)
	}

	s.Restart(t)

	for ask() != nil { // a connection of the pool that the restart broke
		if t.Context().Err() != nil {
			t.Fatal("no answer after a restart")
		}
	}

	p.Cut()

	if ask() == nil {
		t.Error("an answer by a connection that is cut")
	}
}
