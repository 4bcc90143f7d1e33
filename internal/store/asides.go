package store

import (
	"context"
	"database/sql"
	"errors"
)

// ListedAside is an Aside without its row, which may be large.
type ListedAside struct {
	Aside       // Row is nil
	HasRow bool // it is a row, not a window
}

// ListAsides implements Feeds.
func (s *Store) ListAsides(ctx context.Context, key FeedKey) (list []ListedAside, err error) {
	err = s.view(ctx, s.sh.feeds, func(t tx) error {
		list = nil

		rows, err := t.rows(
			`SELECT a.id, since, until, reason, tries, next_try, row IS NOT NULL FROM asides a JOIN feeds ON feeds.id = feed
			WHERE login_host = ? AND tenant_id = ? AND api = ? AND state_id = ? AND gone_boot IS NULL
			ORDER BY a.id`,
			key.LoginHost,
			key.TenantID,
			key.API,
			key.StateID,
		)
		if err != nil {
			return err
		}
		defer rows.Close()

		for rows.Next() {
			var (
				a    ListedAside
				next int64
			)
			if err := rows.Scan(&a.ID, &a.From, &a.To, &a.Reason, &a.Tries, &next, &a.HasRow); err != nil {
				return err
			}

			a.NextTry = fromNanos(next)
			list = append(list, a)
		}

		return rows.Err()
	})

	return list, err
}

// AsideRow implements Feeds.
func (s *Store) AsideRow(ctx context.Context, key FeedKey, id int64) (row []byte, ok bool, err error) {
	err = s.view(ctx, s.sh.feeds, func(t tx) error {
		row = nil

		err := t.row(`SELECT row FROM asides a JOIN feeds ON feeds.id = feed
			WHERE a.id = ? AND login_host = ? AND tenant_id = ? AND api = ? AND state_id = ? AND gone_boot IS NULL`,
			id, key.LoginHost, key.TenantID, key.API, key.StateID).Scan(&row)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}

		return err
	})

	return row, row != nil, err
}
