package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"

	"fluent-bit-defender/internal/store"
)

const documentsSchema = `
	CREATE TABLE documents (
		name TEXT PRIMARY KEY, body BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;`

// Document implements store.Documents. A damaged document counts as not there: it is no
// reason to give up the progress in the same file.
func (s *Store) Document(ctx context.Context, name string) (body []byte, ok bool, err error) {
	err = s.view(ctx, s.sh.units, func(t tx) error {
		body, ok = nil, false

		var sum int64

		err := t.row(`SELECT body, crc FROM documents WHERE name = ?`, name).Scan(&body, &sum)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}

		if err != nil {
			return err
		}

		ok = sum == documentSum(name, body)

		return nil
	})
	if err != nil || !ok {
		return nil, false, err
	}

	return body, true, nil
}

// SetDocument implements store.Documents.
func (s *Store) SetDocument(ctx context.Context, name string, body []byte) error {
	if len(body) > store.MaxDocument {
		return fmt.Errorf("the document %q has %d bytes, more than %d", name, len(body), store.MaxDocument)
	}

	return s.update(ctx, s.sh.units, func(t tx) error {
		if body == nil {
			return t.exec(`DELETE FROM documents WHERE name = ?`, name)
		}

		return t.exec(`INSERT OR REPLACE INTO documents VALUES (?,?,?)`, name, body, documentSum(name, body))
	})
}

func documentSum(name string, body []byte) int64 {
	sum := crc32.Checksum([]byte(name), castagnoli)

	return int64(crc32.Update(sum, castagnoli, body))
}
