package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// age sets a file's time far enough back for its signature to be trusted.
func age(t *testing.T, path string, back time.Duration) {
	t.Helper()

	at := time.Now().Add(-back)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestAWatchedSecretFollowsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")

	var told error

	f := WatchFile(path, ReadSecret, func(err error) { told = err })
	for range 2 {
		if v, err := f.Value(); err == nil || !v.IsZero() || !strings.Contains(err.Error(), path) || told != nil {
			t.Fatalf("missing at start: %v, %v, told %v", v, err, told)
		}
	}

	expect := func(want, trouble string) {
		t.Helper()

		told = nil

		v, err := f.Value()
		if err != nil || v.Reveal() != want || (told == nil) != (trouble == "") ||
			told != nil && !strings.Contains(told.Error(), trouble) {
			t.Fatalf("got %v, told %v (right content: %v), want %q", err, told, v.Reveal() == want, trouble)
		}
	}

	write(t, path, "\xef\xbb\xbf one \r\n")
	expect("one", "")
	write(t, path, "two") // within the same tick of the clock and of the same size
	expect("two", "")
	age(t, path, time.Hour)
	expect("two", "")
	write(t, path, "six")
	age(t, path, 2*time.Hour)
	expect("six", "")

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}

	expect("six", "no such file")
	expect("six", "") // told once
	write(t, path, "")
	expect("six", "is empty") // another trouble
	expect("six", "")
	write(t, path, "six") // as it was
	expect("six", "")

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}

	expect("six", "no such file") // and again

	other := path + ".new"
	write(t, other, "ten")

	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}

	expect("ten", "")
}

func TestAReplacedFileOfTheSameTimeAndSizeIsSeen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	at := time.Now().Add(-time.Hour)

	for i, content := range []string{"one", "two"} {
		next := filepath.Join(dir, fmt.Sprint(i))
		write(t, next, content)

		if err := os.Chtimes(next, at, at); err != nil {
			t.Fatal(err)
		}
	}

	f := WatchFile(path, ReadSecret, func(err error) { t.Error(err) })
	for i, want := range []string{"one", "two"} {
		if err := os.Rename(filepath.Join(dir, fmt.Sprint(i)), path); err != nil {
			t.Fatal(err)
		}

		if v, err := f.Value(); err != nil || v.Reveal() != want {
			t.Fatalf("content %d: %v", i, err)
		}
	}
}

// watched is a tenants file that is followed.
type watched struct {
	*Watch

	t    *testing.T
	dir  string
	path string
	in   *Input
	back time.Duration
}

func watch(t *testing.T) *watched {
	t.Helper()

	dir := workshop(t)
	path := filepath.Join(dir, "tenants.yaml")
	write(t, path, minimal)
	in := must(t, Map{"tenants_file": path, "poll_interval": "5m"}, env())

	return &watched{
		Watch: in.Watch(env()),
		t:     t,
		dir:   dir,
		path:  path,
		in:    in,
		back:  2 * time.Hour,
	}
}

// put writes the file. Each version has stood for a while, and has a time of its own.
func (w *watched) put(content string) {
	w.t.Helper()
	write(w.t, w.path, content)

	w.back -= time.Minute
	age(w.t, w.path, w.back)
}

func (w *watched) quiet() {
	w.t.Helper()

	if next, _, err := w.Poll(); next != nil || err != nil {
		w.t.Fatalf("nothing changed, yet %v, %v", next, err)
	}
}

// changed expects a number of tenants.
func (w *watched) changed(tenants int) *Input {
	w.t.Helper()

	next, _, err := w.Poll()
	if err != nil || next == nil || len(next.Tenants) != tenants {
		w.t.Fatalf("got %+v, %v", next, err)
	}

	return next
}

// refused expects an error with some faults.
func (w *watched) refused(faults int) {
	w.t.Helper()

	if next, _, err := w.Poll(); next != nil || err == nil || len(Faults(err)) != faults {
		w.t.Fatalf("got %+v, %v", next, err)
	}
}

func TestABrokenTenantsFileLeavesTheOldOneInForce(t *testing.T) {
	w := watch(t)
	w.quiet()
	w.quiet()

	w.put(minimal + "  - tenant_id: b.example\n    client_id: " + app + "\n    client_secret: y\n")

	next := w.changed(2)
	if next.Tenants[1].PollInterval != 5*time.Minute || !next.Tenants[0].Equal(w.in.Tenants[0]) {
		t.Fatalf("got %+v", next)
	}

	w.quiet()

	w.put(minimal + "    client_secret_file: " + w.dir + "/later\n    api: grapf\n")
	w.refused(3)
	w.quiet() // told once

	w.put(strings.Replace(minimal, "client_secret: x", "client_secret_file: "+w.dir+"/later", 1))
	w.refused(1)
	w.quiet()

	write(t, w.dir+"/later", "x") // fixes it without a change of the file itself
	w.changed(1)
	w.quiet()

	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}

	w.quiet() // it may be on its way to be replaced

	w.now = func() time.Time { return time.Now().Add(time.Minute) }
	if _, _, err := w.Poll(); err == nil {
		t.Fatal("a missing file goes unseen")
	}

	w.quiet()
}

func TestATenantsFileThatIsBeingWrittenIsLeftAlone(t *testing.T) {
	path := filepath.Join(workshop(t), "tenants.yaml")
	whole := minimal + "  - tenant_id: b.example\n    client_id: " + app + "\n    client_secret: y\n"
	write(t, path, whole)
	w := must(t, Map{"tenants_file": path}, env()).Watch(env())
	now := time.Now()
	w.now = func() time.Time { return now }
	poll := func(after time.Duration) int {
		t.Helper()

		now = now.Add(after)

		next, _, err := w.Poll()
		if err != nil {
			t.Fatal(err)
		}

		if next == nil {
			return 0
		}

		return len(next.Tenants)
	}
	poll(0)
	poll(time.Minute)

	later := time.Now().Add(time.Hour) // of a server whose clock is ahead, so that the file's own time says nothing

	grow := func(content string) {
		write(t, path, content)

		later = later.Add(time.Second)
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
	}
	for cut := len(minimal); cut < len(whole); cut += 20 {
		grow(whole[:cut])

		if n := poll(settled - time.Second); n != 0 {
			t.Fatalf("a version cut at %d was taken: %d tenants", cut, n)
		}
	}

	grow(whole + "  - tenant_id: c.example\n    client_id: " + app + "\n    client_secret: y\n")

	first, then, again := poll(settled), poll(settled+time.Second), poll(time.Minute)
	if first != 0 || then != 3 || again != 0 {
		t.Errorf("whole again, the polls gave %d, %d, %d tenants", first, then, again)
	}

	age(t, path, settled+time.Minute) // a file's own time shows it at once
	write(t, path, whole)
	age(t, path, settled+time.Minute)

	if n := poll(0); n != 2 {
		t.Errorf("a version that was put there long ago: %d tenants", n)
	}
}

func TestAnInputWithoutTenantsFileNeverChanges(t *testing.T) {
	if next, _, err := must(t, good(), env()).Watch(env()).Poll(); next != nil || err != nil {
		t.Errorf("got %v, %v", next, err)
	}
}

func FuzzTenantsFile(f *testing.F) {
	dir := f.TempDir()

	for _, s := range brokenTenants() {
		if len(s) < 10000 {
			f.Add([]byte(s))
		}
	}

	f.Add([]byte(minimal))

	path := filepath.Join(dir, "tenants.yaml")

	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}

		in, _, err := FromPlugin(Map{"tenants_file": path}, env())
		if (in == nil) == (err == nil) || err == nil && len(in.Tenants) == 0 {
			t.Fatalf("input %v, error %v", in, err)
		}

		if err == nil {
			for _, tenant := range in.Tenants {
				if tenant.TenantID == "" || tenant.ClientID == "" || tenant.LoginHost() == "" ||
					tenant.APIURL == "" ||
					tenant.PollInterval < time.Second {
					t.Errorf("incomplete: %+v", tenant)
				}
			}

			return
		}

		for _, line := range strings.Split(err.Error(), "\n") {
			if !strings.HasPrefix(line, path) ||
				strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("line %q", line)
			}
		}
	})
}
