package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
)

// command prepares a run of the built command with a data directory of its own and no
// environment but the given.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), setup.CLI(t), args...)
	cmd.Env = append(
		[]string{"DEFENDER_DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "HOME=" + t.TempDir()},
		env...)

	return cmd
}

func code(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}

	if err != nil {
		return -1
	}

	return 0
}

func TestGosOwnLogLinesAreNeverPrinted(t *testing.T) {
	if log.Writer() != io.Discard {
		t.Error("net/http prints parts of responses to stderr")
	}
}

func TestVersionNamesCommitAndGo(t *testing.T) {
	out, err := command(t, nil, "--version").Output()
	if err != nil || !regexp.MustCompile(`^defenderctl .*, commit \S+.*, go1\.\d+`).Match(out) {
		t.Errorf("%q, %v", out, err)
	}
}

func TestCompletionIsWrittenForEachShell(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, err := command(t, nil, "completion", shell).Output()
		if err != nil || !bytes.Contains(out, []byte("defenderctl")) {
			t.Errorf("%s: %v", shell, err)
		}
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	for _, name := range []string{
		"",
		"tokens",
		"tokens acquire",
		"tokens list",
		"tokens refresh",
		"tokens remove",
		"tokens rekey",
		"tokens import",
		"check",
		"pull",
		"rewind",
		"status",
		"simulate",
	} {
		args := strings.Fields(name)

		out, err := command(t, nil, append(args, "--help")...).Output()
		if err != nil || !bytes.Contains(out, []byte("Examples:")) || !bytes.Contains(out, []byte("--data-dir")) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestSimulatePrintsAConfigurationAloneThatCheckFindsGood(t *testing.T) {
	dir := t.TempDir()
	conf := simulated(t, "--tenants", "4", "--alerts", "3", "--data-dir", filepath.Join(dir, "data"))

	path := filepath.Join(dir, "simulated.conf")
	if err := os.WriteFile(path, conf, 0o600); err != nil {
		t.Fatal(err)
	}

	if out, err := command(t, nil, "check", "--offline", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, conf)
	}
}

// simulated runs defenderctl simulate until it listens and returns what it printed.
func simulated(t *testing.T, args ...string) []byte {
	t.Helper()
	sim := command(t, nil, append([]string{"simulate", "--trickle", "0"}, args...)...)

	stdout, err := sim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	stderr, err := sim.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}

	ready := make(chan struct{})
	go func() {
		defer close(ready)

		s := bufio.NewScanner(stderr)
		for s.Scan() && !strings.Contains(s.Text(), "Ctrl-C") {
		}

		go io.Copy(io.Discard, stderr) // its requests, until it ends
	}()

	text := make(chan []byte, 1)

	go func() {
		b, _ := io.ReadAll(stdout)
		text <- b
	}()

	<-ready

	if err := sim.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}

	conf := <-text

	if err := sim.Wait(); code(err) != 130 {
		t.Errorf("exit code %d", code(err))
	}

	return conf
}

func TestSimulateAProviderWritesItsTenantsFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tenants.yaml")

	args := []string{"--home", "--customers", "4", "--tenants-file", file, "--data-dir", filepath.Join(dir, "data")}
	for _, want := range []string{"discover:", "tenant_name: \"fabrikam001\""} {
		conf := simulated(t, args...)

		written, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(written, []byte(want)) || !bytes.Contains(conf, []byte("home_tenant_id")) ||
			!bytes.Contains(conf, []byte(file)) {
			t.Errorf("%v\n%s\n%s", err, conf, written)
		}

		path := filepath.Join(dir, "simulated.conf")
		if err := os.WriteFile(path, conf, 0o600); err != nil {
			t.Fatal(err)
		}

		if out, err := command(t, nil, "check", "--offline", path).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, conf)
		}

		args = append(args, "--listed")
	}

	if err := os.WriteFile(file, []byte("tenants: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	out, err := command(t, nil, append([]string{"simulate"}, args...)...).CombinedOutput()
	if code(err) != 2 || !bytes.Contains(out, []byte("name another file")) {
		t.Errorf("a file of somebody else: %v %s", err, out)
	}
}

func TestSimulateRefusesFlagsThatDoNotFit(t *testing.T) {
	for want, args := range map[string][]string{
		"--faults":    {"--faults", "nonsense"},
		"--tenants":   {"--home", "--tenants", "3"},
		"--customers": {"--home", "--customers", "0"},
		"state":       {"--home", "--state", "fabrikam001=asleep"},
	} {
		out, err := command(t, nil, append([]string{"simulate"}, args...)...).CombinedOutput()
		if code(err) != 2 || !bytes.Contains(out, []byte(want)) {
			t.Errorf("%v: exit code %d: %s", args, code(err), out)
		}
	}
}

func TestNoSecretIsInTheProcessListAndAnInterruptEndsWith130(t *testing.T) {
	customers := simulator.Generate(1, 1, 1)
	sim := setup.Simulator(t, simulator.Config{Tenants: customers})
	app := customers[0].Apps[0]
	cmd := command(t, []string{"DEFENDER_CLIENT_SECRET=" + app.Secret}, "tokens", "acquire", "--tenant-id",
		customers[0].ID, "--client-id", app.ClientID, "--api", "graph", "--login-url", sim.LoginURL(),
		"--api-url", sim.APIURL("graph"), "--no-browser")

	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	var said strings.Builder

	s := bufio.NewScanner(stderr)
	for s.Scan() && !strings.Contains(s.Text(), "/authorize?") {
		said.WriteString(s.Text() + "\n")
	}

	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}

	for _, file := range list {
		if line, err := os.ReadFile(file); err == nil &&
			(bytes.Contains(line, []byte(app.Secret)) || bytes.Contains(line, []byte(app.RefreshTokens[0]))) {
			t.Errorf("a secret is in the process list: %s", line)
		}
	}

	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}

	for s.Scan() {
		said.WriteString(s.Text() + "\n")
	}

	if err := cmd.Wait(); code(err) != 130 || !strings.Contains(said.String(), "interrupted") {
		t.Errorf("exit code %d: %s", code(err), said.String())
	}

	if strings.Contains(said.String(), app.Secret) {
		t.Error("the secret was printed")
	}
}
