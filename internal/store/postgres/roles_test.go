package postgres

import (
	"os"
	"strings"
	"testing"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store/postgres/pgtest"
)

// statements returns the SQL of docs/high-availability.md, one statement each.
func statements(t *testing.T) (list []string) {
	t.Helper()

	text, err := os.ReadFile("../../../docs/high-availability.md")
	if err != nil {
		t.Fatal(err)
	}

	for _, block := range strings.Split(string(text), "```sql\n")[1:] {
		sql, _, _ := strings.Cut(block, "```")
		for statement := range strings.SplitSeq(sql, ";\n") {
			if statement = strings.TrimSpace(statement); statement != "" {
				list = append(list, statement)
			}
		}
	}

	return list
}

func TestTheRolesOfTheDocumentSuffice(t *testing.T) {
	server := pgtest.Start(t)
	admin := server.New(t)
	admin.Exec(t, "CREATE DATABASE shared")

	open := func(database string) {
		t.Helper()

		url := strings.Replace(server.URL(database), "postgres://postgres@", "postgres://defender@", 1)

		s, err := Open(Options{URL: secret.New(url), Key: testKey})
		if err != nil {
			t.Fatalf("%s: %v", database, err)
		}

		_ = s.Close()
	}

	ran := 0

	for _, statement := range statements(t) {
		if strings.HasPrefix(statement, "-- after the first start\n") {
			open("shared")
		}

		admin.Exec(t, statement)

		ran++
	}

	open("shared")
	open("defender")

	if ran != 5 {
		t.Errorf("the document has %d statements", ran)
	}
}
