package cli_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/tokens"
)

func TestTokensArePrintedAndWrittenOnlyWhenAskedFor(t *testing.T) {
	w := newWorld(t)
	out := filepath.Join(filepath.Dir(w.dir), "rt")
	r := w.expect(w.run(w.acquire("siem", "--print", "--out", out)...), 0)

	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}

	refresh := strings.TrimSpace(string(text))
	contains(t, r.out, "access_token: eyJ", "refresh_token: "+refresh)
	noSecret(t, result{err: r.err})

	info, err := os.Stat(out)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// The file is a seed for an input elsewhere.
	conf := w.conf("siem", "refresh_token_file "+out)
	w.expect(w.run("--data-dir", filepath.Join(t.TempDir(), "elsewhere"), "pull", "contoso", "--config", conf), 0)
}

func TestASecretOnTheCommandLineWorksAndIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	r := w.expect(w.run(w.signIn(client, "graph", "--client-secret", appSecret)...), 0)
	contains(t, r.err, "process list")
	noSecret(t, r)

	w.env["DEFENDER_CLIENT_SECRET"] = appSecret

	r = w.expect(w.run(w.signIn(client, "graph")...), 0)
	if strings.Contains(r.err, "warning") {
		t.Errorf("warned: %s", r.err)
	}

	noSecret(t, r)
}

func TestRootLeavesFilesToTheOwnerOfTheDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can write for others")
	}

	w := newWorld(t)

	const user = 4242

	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}

	if err := os.Chown(w.dir, user, user); err != nil {
		t.Fatal(err)
	}

	out := filepath.Join(w.dir, "rt")
	w.expect(w.run(w.acquire("siem", "--out", out)...), 0)

	entries, err := os.ReadDir(w.dir)
	if err != nil || len(entries) < 3 {
		t.Fatalf("%d files, %v", len(entries), err)
	}

	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}

		if st := info.Sys().(*syscall.Stat_t); st.Uid != user || st.Gid != user || info.Mode().Perm() != 0o600 {
			t.Errorf("%s belongs to %d:%d with mode %v", e.Name(), st.Uid, st.Gid, info.Mode())
		}
	}
}

func TestEveryRefusalOfTheSignInServiceIsExplained(t *testing.T) {
	w := newWorld(t)

	again := tokens.AcquireCommand(
		contoso,
		client,
		"--tenant-name",
		"contoso",
		"--client-secret-file",
		w.secretFile(),
		"--api",
		"siem",
		"--login-url",
		w.LoginURL(),
		"--api-url",
		w.APIURL("siem"),
		"--data-dir",
		w.dir,
	)
	for _, code := range tokens.KnownCodes() {
		w.SetApp(contoso, client, func(a *simulator.App) { a.AADSTS = code })

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		r := w.with(ctx, "", w.acquire("siem")...)

		cancel()

		want := tokens.Explain(code, tokens.App{
			LoginURL: w.LoginURL(),
			TenantID: contoso,
			ClientID: client,
			Resource: "https://graph.windows.net",
			Version:  tokens.V1,
			Acquire:  func() string { return again },
		})
		if r.code != want.Fate.ExitCode() {
			t.Errorf("AADSTS%d: exit code %d, want %d: %s", code, r.code, want.Fate.ExitCode(), r.err)
		}

		contains(t, r.err, want.Problem, want.Remedy, fmt.Sprint(code))

		if strings.Contains(want.Remedy, again) && !strings.Contains(r.err, again) {
			t.Errorf("AADSTS%d: the command is broken into lines: %s", code, r.err)
		}

		noSecret(t, r)
	}
}
