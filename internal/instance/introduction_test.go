package instance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/version"
)

func TestTheLogSaysWhatStartsAndWhoSignedIn(t *testing.T) {
	sim, customers := simulated(t, 1, 5)
	data := filepath.Join(t.TempDir(), "state")
	h := &fakeHost{keys: section(sim, customers[0], data)}
	p := NewProcess()

	handle, ok := p.Open(h, pipeline, false)
	if !ok {
		t.Fatal(h.log())
	}

	until(t, p, func() bool { return strings.Contains(h.log(), "first poll: ") }, handle)
	p.Exit(pipeline.ID)

	for _, want := range []string{
		"version " + version.This().Version,
		"polls tenant " + customers[0].Name + " (siem) every 1s",
		"data_dir " + data + " is in use",
		"tokens in tokens.db, not encrypted, 0 stored",
		"[input:defender:" + customers[0].Name + "] signed in as ",
	} {
		if n := strings.Count(h.log(), want); n != 1 {
			t.Errorf("%q is there %d times:\n%s", want, n, h.log())
		}
	}
}

func TestADirectoryInUseIsSaidOnce(t *testing.T) {
	sim, customers := simulated(t, 1, 1)

	data := t.TempDir()
	if err := os.Chmod(data, 0o700); err != nil {
		t.Fatal(err)
	}

	held, err := os.Create(filepath.Join(data, "inputs.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()

	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}

	h := &fakeHost{keys: section(sim, customers[0], data)}
	if _, ok := NewProcess().Open(h, pipeline, false); ok {
		t.Fatal("two processes use one directory")
	}

	if log := h.log(); strings.Count(log, "data_dir: ") != 1 || strings.Count(log, data) != 1 ||
		!strings.Contains(log, "in use by another process") {
		t.Errorf("logged:\n%s", log)
	}
}

func TestARefusedTenantsFileIsShownUntilItIsGood(t *testing.T) {
	sim, customers := simulated(t, 1, 1)
	dir := t.TempDir()
	path := filepath.Join(dir, "tenants.yaml")
	keys := section(sim, customers[0], filepath.Join(dir, "state"))
	good := "tenants:\n  - tenant_id: " + keys["tenant_id"] + "\n    tenant_name: contoso\n"

	write := func(text string) {
		t.Helper()

		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}

		old := time.Now().Add(-time.Minute) // so that it is taken as written at once
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}

	delete(keys, "tenant_id")
	delete(keys, "tenant_name")

	keys["tenants_file"] = path

	write(good)

	h := &fakeHost{keys: keys}
	p := NewProcess()

	handle, ok := p.Open(h, pipeline, false)
	if !ok {
		t.Fatal(h.log())
	}
	defer p.Exit(pipeline.ID)

	shown := func() string {
		for _, s := range p.get(handle).input.Statuses() {
			if s.Notice != nil {
				return s.Notice.Message
			}
		}

		return ""
	}

	until(t, p, func() bool { return strings.Contains(h.log(), "first poll: ") }, handle)
	write("tenants: [nonsense")
	until(t, p, func() bool { return strings.Contains(shown(), "refused as a whole") }, handle)

	if !p.get(handle).set.Input().FileRejected {
		t.Error("the metrics do not say that the file is refused")
	}

	write(good)
	until(t, p, func() bool { return shown() == "" }, handle)

	if p.get(handle).set.Input().FileRejected {
		t.Error("the metrics say that the file is refused")
	}
}
