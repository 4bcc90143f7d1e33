package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keysWithFiles returns a section for every key that names a file, and the file.
func keysWithFiles(dir string) map[string]Map {
	return map[string]Map{
		"client_secret_file":      good("client_secret", "", "client_secret_file", dir+"/secret"),
		"client_certificate_file": good("client_secret", "", "client_certificate_file", dir+"/both.pem"),
		"refresh_token_file":      good("refresh_token_file", dir+"/token"),
		"key_file":                good("key_file", dir+"/key32"),
		"ca_file":                 good("ca_file", dir+"/cert.pem"),
		"metrics_token_file":      good("metrics_listen", "127.0.0.1:9180", "metrics_token_file", dir+"/token"),
		"tenants_file":            {"tenants_file": dir + "/tenants.yaml"},
	}
}

func TestFilesThatOthersMayChangeAreRefused(t *testing.T) {
	dir := workshop(t)
	write(t, filepath.Join(dir, "tenants.yaml"), minimal)

	sections := keysWithFiles(dir)
	for _, o := range Options() {
		if o.Kind == KindFile && o.Name != "data_dir" && sections[o.Name] == nil {
			t.Errorf("no case for %s", o.Name)
		}
	}

	for key, section := range sections {
		t.Run(key, func(t *testing.T) {
			must(t, section, env())

			path := section[key]
			for _, mode := range []os.FileMode{0o620, 0o602} {
				if err := os.Chmod(path, mode); err != nil {
					t.Fatal(err)
				}

				_, _, err := FromPlugin(section, env())

				faults := Faults(err)
				if len(faults) != 1 || faults[0].Key != key || faults[0].Remedy != "chmod go-w "+path {
					t.Errorf("mode %o: %v", mode, err)
				}
			}

			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}

			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}

			_, _, err := FromPlugin(section, env())
			if err == nil || !strings.Contains(err.Error(), "not safe from other users: "+dir) {
				t.Errorf("in a directory of mode 777: %v", err)
			}

			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestASecretOthersMayChangeIsNotReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write(t, path, "one")

	var told error

	f := WatchFile(path, ReadSecret, func(err error) { told = err })
	if v, err := f.Value(); err != nil || v.Reveal() != "one" {
		t.Fatal(err)
	}

	write(t, path, "theirs")

	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}

	v, err := f.Value()
	if err != nil || v.Reveal() != "one" || told == nil || !strings.Contains(told.Error(), "chmod go-w "+path) {
		t.Errorf("kept: %v, error %v, told %v", v.Reveal() == "one", err, told)
	}

	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}

	if v, err := f.Value(); err != nil || v.Reveal() != "theirs" {
		t.Errorf("after chmod: %v", err)
	}
}

func TestATenantsFileOthersMayChangeIsNotTaken(t *testing.T) {
	path := filepath.Join(workshop(t), "tenants.yaml")
	write(t, path, minimal)
	w := must(t, Map{"tenants_file": path}, env()).Watch(env())

	write(t, path, minimal+"    login_url: https://evil.example\n")
	age(t, path, time.Hour)

	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}

	next, _, err := w.Poll()
	if next != nil || len(Faults(err)) != 1 || Faults(err)[0].Remedy != "chmod go-w "+path {
		t.Fatalf("got %v, %v", next, err)
	}

	if next, _, err := w.Poll(); next != nil || err != nil {
		t.Errorf("said again: %v, %v", next, err)
	}
}

func TestAFileOfAnotherUserIsAWarning(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}

	dir := workshop(t)

	path := filepath.Join(dir, "secret")
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}

	_, warnings, err := FromPlugin(good("client_secret", "", "client_secret_file", path), env())
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), "belongs to user 65534") {
		t.Errorf("got %v, %v", warnings, err)
	}

	// Fluent Bit runs as the user who owns data_dir: there root is only defenderctl.
	data := filepath.Join(dir, "data")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Chown(data, 65534, 65534)); err != nil {
		t.Fatal(err)
	}

	_, warnings, err = FromPlugin(good("client_secret", "", "client_secret_file", path, "data_dir", data), env())
	if err != nil || len(warnings) != 0 {
		t.Errorf("the file of the owner of data_dir: %v, %v", warnings, err)
	}
}
