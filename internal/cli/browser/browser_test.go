package browser

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const page = "https://login.example/authorize?a=b&c=%20d"

// desktop returns a launcher with programs of a directory, and the directory. Each
// program is a shell script.
func desktop(t *testing.T, env map[string]string, programs map[string]string) (*launcher, string) {
	t.Helper()

	dir := t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}

	env["PATH"] = dir + ":/usr/bin:/bin"
	t.Setenv("PATH", dir) // where this process looks for programs

	l := &launcher{
		lookup:  func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		account: func(string) (*user.User, error) { return nil, errors.New("nobody") },
		euid:    1000,
		wait:    10 * time.Second,
	}
	for name, value := range env {
		l.environ = append(l.environ, name+"="+value)
	}

	return l, dir
}

func TestABrowserGetsNoSecretOfTheEnvironment(t *testing.T) {
	env := map[string]string{
		"DISPLAY":                ":0",
		"DEFENDER_CLIENT_SECRET": "s3cret",
		"AWS_SECRET_ACCESS_KEY":  "s3cret",
		"PGPASSWORD":             "s3cret",
		"DEFENDER_STORE":         "postgres://u:s3cret@db/d",
		"XDG_CURRENT_DESKTOP":    "GNOME",
		"LC_ALL":                 "C",
		"HOME":                   "/home/x",
	}

	l, dir := desktop(
		t,
		env,
		map[string]string{"xdg-open": `env > "$(dirname "$0")/env"; echo "$1" > "$(dirname "$0")/address"`},
	)
	if err := l.open(page); err != nil {
		t.Fatal(err)
	}

	got := read(t, dir, "env")
	for _, name := range []string{"DISPLAY=:0", "XDG_CURRENT_DESKTOP=GNOME", "LC_ALL=C", "HOME=/home/x"} {
		if !strings.Contains(got, name+"\n") {
			t.Errorf("%s is missing in %s", name, got)
		}
	}

	if strings.Contains(got, "s3cret") {
		t.Errorf("a secret is in its environment: %s", got)
	}

	if address := strings.TrimSpace(read(t, dir, "address")); address != page {
		t.Errorf("it opened %s", address)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()

	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}

	return string(data)
}

func TestUnderSudoTheBrowserIsThePersons(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}

	env := map[string]string{"DISPLAY": ":0", "HOME": "/root", "USER": "root", "SUDO_UID": "65533", "SUDO_USER": "x"}
	l, dir := desktop(t, env, map[string]string{
		"xdg-open": `exec > "$(dirname "$0")/out/who"; id -u; id -g; echo "$HOME $USER"; cat /proc/$$/stat | ` +
			`cut -d' ' -f7`,
	})
	l.euid = 0

	if err := os.Mkdir(filepath.Join(dir, "out"), 0o777); err != nil {
		t.Fatal(err)
	}

	if err := os.Chmod(filepath.Join(dir, "out"), 0o777); err != nil {
		t.Fatal(err)
	}

	for d := dir; d != "/tmp" && len(d) > 1; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}

	if err := l.open(page); err == nil || !strings.Contains(err.Error(), "no browser is started as root") {
		t.Errorf("an unknown person: %v", err)
	}

	l.account = func(uid string) (*user.User, error) {
		return &user.User{
			Uid:      uid,
			Gid:      "65532",
			Username: "person",
			HomeDir:  "/home/person",
		}, nil
	}
	if err := l.open(page); err != nil {
		t.Fatal(err)
	}

	if got := read(t, dir, "out/who"); got != "65533\n65532\n/home/person person\n0\n" {
		t.Errorf("it runs as %q", got)
	}
}

func TestAProgramThatOpensNoBrowserIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		env, programs map[string]string
		want          string // of the error; empty: opened
	}{
		"no screen":     {map[string]string{}, map[string]string{"xdg-open": ""}, "there is no screen here"},
		"not installed": {map[string]string{"DISPLAY": ":0"}, nil, `"xdg-open" is not installed`},
		"fails": {map[string]string{"DISPLAY": ":0"}, map[string]string{"xdg-open": "exit 3"},
			`"xdg-open" failed (exit status 3)`},
		"hangs": {map[string]string{"WAYLAND_DISPLAY": "0"}, map[string]string{"xdg-open": "exec /bin/sleep 5"},
			`"xdg-open" has not come back yet`},
		"the next one works": {map[string]string{"DISPLAY": ":0"}, map[string]string{
			"xdg-open":      "exit 3",
			"x-www-browser": "",
		}, ""},
		"BROWSER without screen": {map[string]string{"BROWSER": "mine"}, map[string]string{"mine": ""}, ""},
		"the second of BROWSER": {map[string]string{"BROWSER": "none:mine --new %s"},
			map[string]string{"mine": `[ "$2" = "` + page + `" ]`}, ""},
		"all of BROWSER fail": {map[string]string{"BROWSER": "none:mine"}, map[string]string{"mine": "exit 1"},
			`"none" is not installed; "mine" failed (exit status 1)`},
		"Windows around it": {map[string]string{"WSL_DISTRO_NAME": "Debian"}, map[string]string{"wslview": ""}, ""},
		"PowerShell of Windows": {map[string]string{"WSL_INTEROP": "/x"},
			map[string]string{"powershell.exe": `[ "$4" = "Start-Process '` + page + `'" ]`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := desktop(t, c.env, c.programs)
			if c.want != "" && strings.Contains(c.want, "come back") {
				l.wait = 50 * time.Millisecond
			}

			err := l.open(page)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnEntryOfBROWSERIsWordsWithPlaces(t *testing.T) {
	for entry, want := range map[string][]string{
		"firefox":            {"firefox", "A"},
		" firefox -new %s ":  {"firefox", "-new", "A"},
		"run --url=%s -p 1%": {"run", "--url=A", "-p", "1%"},
		"run %%s":            {"run", "%s", "A"},
		"x%cy":               {"x:y", "A"},
		" ":                  nil,
	} {
		if got := wordsOf(entry, "A"); !slices.Equal(got, want) {
			t.Errorf("%q became %q", entry, got)
		}
	}
}
