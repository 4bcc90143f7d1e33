package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schemaVersion is the version of the last file in migrations. A file is never changed
// once it is released: a change comes in a new file.
const schemaVersion = 1

// schema are the tables in their versions.
type schema struct {
	version int64 // the newest
	files   fs.FS // as migrations
}

// migrationLock is the number of the lock, held to the end of a transaction, under which
// one process at a time makes or converts the tables.
const migrationLock = 0x6664_6670_6773_716c

// prepare finds the tables, and makes or converts them unless the store is ReadOnly.
func (s *Store) prepare(ctx context.Context) error {
	if s.usable.Load() {
		return nil
	}

	if err := s.preparing.lock(ctx); err != nil {
		return err
	}
	defer s.preparing.unlock()

	if s.usable.Load() {
		return nil
	}

	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return s.explain(err)
	}
	defer c.Release()

	version, err := s.version(ctx, c)
	if err == nil {
		err = s.fit(ctx, c.Conn())
	}

	switch {
	case err != nil:
		return s.explain(err)
	case version > s.o.schema.version:
		return s.newer(version)
	case version < s.o.schema.version && !s.o.ReadOnly:
		err = s.migrate(ctx, c.Conn())
	case 0 < version && version < s.o.schema.version:
		return s.older(version, nil)
	}

	if err == nil {
		s.noteTimeline(ctx, c)
		err = s.warn(ctx, c.Conn())
	}

	if err != nil {
		return s.explain(err)
	}

	s.empty = version == 0 && s.o.ReadOnly
	s.usable.Store(!s.empty)

	return nil
}

// newer refuses tables that a newer version has converted.
func (s *Store) newer(version int64) error {
	return fmt.Errorf("%s: %w of this program (schema %d, this one knows %d): install that version here too",
		s.where, store.ErrNewer, version, s.o.schema.version)
}

// older refuses tables of an earlier version, which nodes of it may be using.
func (s *Store) older(version int64, nodes []string) error {
	who := ""
	if len(nodes) > 0 {
		who = ", and is used by the nodes " + strings.Join(nodes, ", ")
	}

	return fmt.Errorf("%s: %w of this program (schema %d, this one has %d)%s: the first node of this version that "+
		"starts converts it; until then use the defenderctl of that version", s.where, store.ErrOlder, version,
		s.o.schema.version, who)
}

// fit returns errUnfit if the settings of the database change the texts and values that
// are exchanged with it.
func (s *Store) fit(ctx context.Context, c *pgx.Conn) error {
	// Names of tenants may have letters of any language.
	if encoding := c.PgConn().ParameterStatus("server_encoding"); encoding != "" && encoding != "UTF8" {
		return fmt.Errorf("%s: %w: its encoding is %s, which does not hold every name: make it anew with "+
			"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", s.where, errUnfit, plain.Text(encoding, 64))
	}

	var binary, intervals string

	err := c.QueryRow(ctx, `SELECT current_setting('bytea_output'), current_setting('intervalstyle')`).
		Scan(&binary, &intervals)
	if err != nil {
		return err
	}

	for _, setting := range []struct{ name, value, want string }{
		{"bytea_output", binary, "hex"},
		{"intervalstyle", intervals, "postgres"},
	} {
		if setting.value != setting.want {
			return fmt.Errorf("%s: %w: %s is %s: ALTER ROLE %s SET %s = '%s'", s.where, errUnfit, setting.name,
				plain.Text(setting.value, 64), s.pool.Config().ConnConfig.User, setting.name, setting.want)
		}
	}

	return nil
}

// version returns the version of the tables, 0 if there are none.
func (s *Store) version(ctx context.Context, q querier) (version int64, err error) {
	var there bool

	// Not to_regclass, which may not see yet what another process has just made.
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'defender' AND c.relname = 'meta')`).Scan(&there)
	if err != nil || !there {
		return 0, err
	}

	err = q.QueryRow(ctx, `SELECT coalesce(max(number), 0) FROM defender.meta WHERE name = 'version'`).Scan(&version)

	return version, err
}

// migrate brings the tables to the present version, in one transaction. Another process
// may have done it meanwhile. Nodes of an earlier version that use the tables are shut
// out: their writes are refused from now on, and their leases expire (Renew). Only a node
// does that to them.
func (s *Store) migrate(ctx context.Context, c *pgx.Conn) error {
	t, err := begin(ctx, c, beginWrite, s.limits())
	if err != nil {
		return err
	}

	defer func() { _ = t.Rollback(ctx) }() // does nothing after Commit

	if _, err := t.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, int64(migrationLock)); err != nil {
		return err
	}

	from, err := s.version(ctx, t)
	if err != nil {
		return err
	}

	switch {
	case from > s.o.schema.version:
		return s.newer(from)
	case from == s.o.schema.version:
		return nil
	}

	nodes, err := s.shutOut(ctx, t, from)
	if err == nil {
		err = s.convert(ctx, t, from)
	}

	if err == nil {
		err = t.Commit(ctx)
	}

	if err != nil {
		return err
	}

	s.o.Log.Info(fmt.Sprintf("%s: the tables of schema defender are in version %d now, from %d",
		s.where, s.o.schema.version, from))

	if len(nodes) > 0 {
		s.o.Log.Warn(fmt.Sprintf("%s: the nodes %s are of an earlier version, and poll nothing from now on: update "+
			"them; this node takes their tenants over", s.where, strings.Join(nodes, ", ")))
	}

	return nil
}

// convert brings the tables from a version to the present one.
func (s *Store) convert(ctx context.Context, t pgx.Tx, from int64) error {
	for v := from + 1; v <= s.o.schema.version; v++ {
		text, err := fs.ReadFile(s.o.schema.files, fmt.Sprintf("migrations/%d.sql", v))
		if err != nil {
			return err
		}

		if err := execScript(ctx, t, string(text)); err != nil {
			return err
		}
	}

	_, err := t.Exec(ctx, `INSERT INTO defender.meta (name, number) VALUES ('version', $1::bigint)
		ON CONFLICT (name) DO UPDATE SET number = excluded.number`, s.o.schema.version)

	return err
}

// shutOut makes all writes to units that are held fail, and returns the nodes that live.
// If there are any, and this opening is no node, it returns an error. Without tables
// there is nothing to do.
func (s *Store) shutOut(ctx context.Context, t pgx.Tx, from int64) ([]string, error) {
	if from == 0 {
		return nil, nil
	}

	_, err := t.Exec(ctx, `WITH owned AS (
			SELECT id FROM defender.units WHERE owner IS NOT NULL ORDER BY id FOR UPDATE)
		UPDATE defender.units u SET epoch = u.epoch + 1 FROM owned o WHERE u.id = o.id`)
	if err != nil {
		return nil, err
	}

	rows, err := t.Query(ctx, `SELECT id FROM defender.nodes WHERE expires_at >= defender.clock()
		ORDER BY id COLLATE "C"`)
	if err != nil {
		return nil, err
	}

	nodes, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(nodes) > 0 && !s.o.Inputs {
		err = s.older(from, nodes)
	}

	return nodes, err
}

// execScript runs several statements in one message.
func execScript(ctx context.Context, t pgx.Tx, script string) error {
	results := t.Conn().PgConn().Exec(ctx, script)
	_, err := results.ReadAll()

	return err
}
