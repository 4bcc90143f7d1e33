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
	f := WatchFile(path)
	for range 2 {
		if v, err := f.Value(); err == nil || !v.IsZero() || !strings.Contains(err.Error(), path) || f.Version() != 0 {
			t.Fatalf("missing at start: %v, %v", v, err)
		}
	}
	expect := func(want string, version uint64, trouble string) {
		t.Helper()
		v, err := f.Value()
		if v.Reveal() != want || f.Version() != version || (err == nil) != (trouble == "") || err != nil && !strings.Contains(err.Error(), trouble) {
			t.Fatalf("got version %d and error %v (right content: %v), want version %d and %q", f.Version(), err, v.Reveal() == want, version, trouble)
		}
	}
	write(t, path, "\xef\xbb\xbf one \r\n")
	expect("one", 1, "")
	write(t, path, "two") // within the same tick of the clock and of the same size
	expect("two", 2, "")
	age(t, path, time.Hour)
	expect("two", 2, "")
	write(t, path, "six")
	age(t, path, 2*time.Hour)
	expect("six", 3, "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("six", 3, "no such file")
	expect("six", 3, "") // told once
	write(t, path, "")
	expect("six", 3, "is empty") // another trouble
	expect("six", 3, "")
	write(t, path, "six") // as it was
	expect("six", 3, "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("six", 3, "no such file") // and again
	other := path + ".new"
	write(t, other, "ten")
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	expect("ten", 4, "")
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
	f := WatchFile(path)
	for i, want := range []string{"one", "two"} {
		if err := os.Rename(filepath.Join(dir, fmt.Sprint(i)), path); err != nil {
			t.Fatal(err)
		}
		if v, err := f.Value(); err != nil || v.Reveal() != want {
			t.Fatalf("content %d: %v", i, err)
		}
	}
}

func TestABrokenTenantsFileLeavesTheOldOneInForce(t *testing.T) {
	dir := workshop(t)
	path := filepath.Join(dir, "tenants.yaml")
	write(t, path, minimal)
	in := must(t, Map{"tenants_file": path, "poll_interval": "5m"}, env())
	w := in.Watch(env())
	quiet := func() {
		t.Helper()
		if next, _, err := w.Poll(); next != nil || err != nil {
			t.Fatalf("nothing changed, yet %v, %v", next, err)
		}
	}
	quiet()
	quiet()

	write(t, path, minimal+"  - tenant_id: b.example\n    client_id: "+app+"\n    client_secret: y\n")
	next, _, err := w.Poll()
	if err != nil || next == nil || len(next.Tenants) != 2 || next.Tenants[1].PollInterval != 5*time.Minute || !next.Tenants[0].Equal(in.Tenants[0]) {
		t.Fatalf("got %+v, %v", next, err)
	}
	quiet()

	write(t, path, minimal+"    client_secret_file: "+dir+"/later\n    api: grapf\n")
	if next, _, err := w.Poll(); next != nil || err == nil || len(Faults(err)) != 3 {
		t.Fatalf("got %+v, %v", next, err)
	}
	quiet() // told once

	write(t, path, strings.Replace(minimal, "client_secret: x", "client_secret_file: "+dir+"/later", 1))
	if next, _, err := w.Poll(); next != nil || err == nil {
		t.Fatalf("got %+v, %v", next, err)
	}
	age(t, path, time.Hour)
	quiet()
	write(t, dir+"/later", "x") // mends it without a change of the file itself
	if next, _, err := w.Poll(); err != nil || next == nil || len(next.Tenants) != 1 {
		t.Fatalf("got %+v, %v", next, err)
	}
	quiet()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Poll(); err == nil {
		t.Fatal("a missing file goes unseen")
	}
	quiet()
}

func TestAnInputWithoutTenantsFileNeverChanges(t *testing.T) {
	if next, _, err := must(t, good(), env()).Watch(env()).Poll(); next != nil || err != nil {
		t.Errorf("got %v, %v", next, err)
	}
}

func TestTheReferencePageIsMadeFromTheTable(t *testing.T) {
	page := Markdown()
	golden(t, "../../docs/options.md", page)
	for _, o := range Options() {
		if strings.Count(page, "\n| `"+o.Name+"` |") != 1 {
			t.Errorf("%s is not on the page once", o.Name)
		}
		if o.Help == "" || o.Kind == "" || o.Scope == "" || o.Secret && o.Default != "" {
			t.Errorf("%s is described badly: %+v", o.Name, o)
		}
		if o.Kind == KindDuration {
			for _, d := range []string{o.Default, o.Min, o.Max} {
				if _, err := ParseDuration(d); err != nil {
					t.Errorf("%s: %v", o.Name, err)
				}
			}
		}
		if _, err := ParseSize(o.Default); o.Kind == KindSize && err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
		if _, err := ParseBool(o.Default); o.Kind == KindBool && err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
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
				if tenant.TenantID == "" || tenant.ClientID == "" || tenant.LoginHost() == "" || tenant.APIURL == "" || tenant.PollInterval < time.Second {
					t.Errorf("incomplete: %+v", tenant)
				}
			}
			return
		}
		for _, line := range strings.Split(err.Error(), "\n") {
			if !strings.HasPrefix(line, path) || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("line %q", line)
			}
		}
	})
}
