package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestDamagedFilesAreNamedWhenTokensChange(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)

	var damaged []string
	for _, name := range []string{
		"tokens.db.bak.damaged-20260102T030405.000Z", "tokens.db.damaged-20260102T030405.000Z",
		"tokens.db.found-20260102T030405.000Z",
	} {
		damaged = append(damaged, filepath.Join(w.dir, name))
	}

	for _, path := range append(damaged, filepath.Join(w.dir, "defender.db.damaged-20260102T030405.000Z")) {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	key := w.file("key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")

	for _, args := range [][]string{
		{"tokens", "rekey", "--key-file", key},
		{"tokens", "remove", "contoso", "--yes", "--key-file", key},
	} {
		r := w.expect(w.run(args...), 0)

		said := strings.Join(strings.Fields(r.err), " ") // lines are wrapped
		if !strings.Contains(said, "rm "+strings.Join(damaged, " ")) || strings.Contains(said, "defender.db") {
			t.Errorf("%v: %s", args, r.err)
		}
	}

	for _, path := range damaged {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}

	r := w.expect(w.run("tokens", "rekey", "--key-file", key, "--decrypt"), 0)
	if strings.Contains(r.err, "were found damaged") {
		t.Errorf("nothing is there: %s", r.err)
	}
}

func TestANamedPipeNeverHangsACommand(t *testing.T) {
	w := newWorld(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	mkfifo(t, pipe)

	conf := w.file(
		"inputs.conf",
		"[INPUT]\n    Name defender\n    Tag x\n    tenant_id "+contoso+"\n    client_id "+client+
			"\n    client_secret_file "+pipe+"\n[SERVICE]\n    Plugins_File "+pipe+
			"\n    Parsers_File "+pipe+"\n[OUTPUT]\n    Name null\n    Match *\n",
	)
	for _, args := range [][]string{
		{"check", "--offline", pipe},
		{"check", "--offline", conf},
		{"tokens", "import", pipe},
		{"tokens", "refresh", contoso, "--config", pipe},
		{"tokens", "rekey", "--key-file", pipe},
		{"tokens", "acquire", "--tenant-id", contoso, "--client-id", client, "--client-secret-file", pipe,
			"--no-browser"},
		{"tokens", "acquire", "--tenant-id", contoso, "--client-id", client, "--client-secret-file", w.secretFile(),
			"--no-browser", "--ca-file", pipe},
		{"tokens", "acquire", "--tenant-id", contoso, "--client-id", client, "--client-secret-file", w.secretFile(),
			"--no-browser", "--out", pipe},
		{"pull", contoso, "--config", pipe},
	} {
		r := w.run(args...)
		if r.code == 0 {
			t.Errorf("%v: exit code 0", args)
		}

		contains(t, r.out+r.err, "regular file")
	}
}

func mkfifo(t *testing.T, path string) {
	t.Helper()

	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}
