package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/store"
)

// Document implements store.Documents.
func (s *Store) Document(ctx context.Context, name string) (body []byte, ok bool, err error) {
	err = s.view(ctx, "document", func(ctx context.Context, q querier) error {
		body, ok = nil, false

		err := q.QueryRow(ctx, `SELECT body FROM defender.documents WHERE name = $1::text`, name).Scan(&body)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}

		ok = err == nil

		return err
	})

	return body, ok, err
}

// SetDocument implements store.Documents.
func (s *Store) SetDocument(ctx context.Context, name string, body []byte) error {
	if len(body) > store.MaxDocument {
		return fmt.Errorf("the document %q has %d bytes, more than %d", name, len(body), store.MaxDocument)
	}

	return s.update(ctx, "set-document", func(ctx context.Context, t pgx.Tx) error {
		if body == nil {
			_, err := t.Exec(ctx, `DELETE FROM defender.documents WHERE name = $1::text`, name)
			return err
		}

		_, err := t.Exec(ctx, `INSERT INTO defender.documents (name, body) VALUES ($1::text, $2::bytea)
			ON CONFLICT (name) DO UPDATE SET body = excluded.body`, name, body)

		return err
	})
}
