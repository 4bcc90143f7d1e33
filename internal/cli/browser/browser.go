// Package browser opens an address in the browser of the person who called the command:
// also from Windows' Linux, and under sudo, where the browser is that of the person and
// not of root.
//
// The programs that it starts get no secret of this process's environment, and no
// terminal.
package browser

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fluent-bit-defender/internal/config/plain"
)

// startTime is how long a program that opens a browser may take before it is no longer
// waited for: some of them end when the browser does.
const startTime = 5 * time.Second

var errNoScreen = errors.New("there is no screen here")

// Pending is the error when a program that should open a browser has neither failed
// nor ended.
type Pending struct{ program string }

// Error implements error.
func (p *Pending) Error() string {
	return fmt.Sprintf("%s has not come back yet", plain.Quoted(p.program))
}

// A launcher opens an address in the person's browser. The programs it starts get an
// environment without secrets, no terminal, and under sudo the identity of the person who
// called it.
type launcher struct {
	// lookup and environ are the environment, euid is who this process is.
	lookup  func(string) (string, bool)
	environ []string
	euid    int
	// account finds a user by number.
	account func(uid string) (*user.User, error)
	// wsl reports whether Linux runs inside Windows, whose browser is then the person's.
	wsl  bool
	wait time.Duration
}

// Open opens an address. It returns nil when a program that opens browsers has ended
// well, a *Pending when one still runs after five seconds, else why none of them could
// be used.
func Open(address string) error { return systemLauncher().open(address) }

// systemLauncher returns the launcher of this process.
func systemLauncher() *launcher {
	version, _ := os.ReadFile("/proc/version") // without it this is no WSL

	return &launcher{
		lookup:  os.LookupEnv,
		environ: os.Environ(),
		euid:    os.Geteuid(),
		account: user.LookupId,
		wsl:     strings.Contains(strings.ToLower(string(version)), "microsoft"),
		wait:    startTime,
	}
}

func (l *launcher) get(name string) string {
	v, _ := l.lookup(name)
	return v
}

// open is Open; it tries one program after the other.
func (l *launcher) open(address string) error {
	commands := l.commands(address)
	if len(commands) == 0 {
		return errNoScreen
	}

	identity, err := l.identity()
	if err != nil {
		return err
	}

	var failed []string

	for _, words := range commands {
		err := l.run(words, identity)

		var pending *Pending
		if err == nil || errors.As(err, &pending) {
			return err
		}

		failed = append(failed, err.Error())
	}

	return errors.New(strings.Join(failed, "; "))
}

// commands returns the programs to try, each with its arguments: those of $BROWSER, of
// Windows around WSL, of the desktop.
func (l *launcher) commands(address string) [][]string {
	var all [][]string

	for _, entry := range strings.Split(l.get("BROWSER"), ":") {
		if words := wordsOf(entry, address); len(words) > 0 {
			all = append(all, words)
		}
	}

	if l.wsl || l.get("WSL_DISTRO_NAME") != "" || l.get("WSL_INTEROP") != "" {
		const shell = "/mnt/c/Windows/System32/WindowsPowerShell/v1.0/powershell.exe"

		start := "Start-Process '" + strings.ReplaceAll(address, "'", "''") + "'"
		all = append(all,
			[]string{"wslview", address},
			[]string{"powershell.exe", "-NoProfile", "-NonInteractive", "-Command", start},
			[]string{shell, "-NoProfile", "-NonInteractive", "-Command", start},
			[]string{"/mnt/c/Windows/System32/rundll32.exe", "url.dll,FileProtocolHandler", address})
	}

	if l.get("DISPLAY") != "" || l.get("WAYLAND_DISPLAY") != "" {
		for _, program := range []string{"xdg-open", "sensible-browser", "x-www-browser"} {
			all = append(all, []string{program, address})
		}
	}

	return all
}

// wordsOf reads an entry of $BROWSER: words, in which %s stands for the address, %c
// for a colon and %% for a per cent sign. Without %s the address is the last word.
func wordsOf(entry, address string) []string {
	words := strings.Fields(entry)
	if len(words) == 0 {
		return nil
	}

	placed := false
	for i, w := range words {
		placed = placed || strings.Contains(strings.ReplaceAll(w, "%%", ""), "%s")
		words[i] = strings.NewReplacer("%%", "%", "%c", ":", "%s", address).Replace(w)
	}

	if !placed {
		words = append(words, address)
	}

	return words
}

// identity returns the person who called sudo, nil if this process was not started
// with sudo.
func (l *launcher) identity() (*user.User, error) {
	uid := l.get("SUDO_UID")
	if l.euid != 0 || uid == "" || uid == "0" {
		return nil, nil
	}

	person, err := l.account(uid)
	if err != nil {
		return nil, fmt.Errorf("no browser is started as root, and the user who called sudo is not known: %w", err)
	}

	return person, nil
}

// run starts a program and waits a short while for its end.
func (l *launcher) run(words []string, identity *user.User) error {
	program := filepath.Base(words[0])
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = l.environment(identity)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal, and Ctrl-C is not for the browser

	if identity != nil {
		credential, err := credentialOf(identity)
		if err != nil {
			return fmt.Errorf("%s: %w", plain.Quoted(program), err)
		}

		cmd.SysProcAttr.Credential = credential
	}

	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is not installed", plain.Quoted(program))
		}

		return fmt.Errorf("%s cannot be started: %w", plain.Quoted(program), errors.Unwrap(err))
	}

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	timer := time.NewTimer(l.wait)
	defer timer.Stop()

	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("%s failed (%w)", plain.Quoted(program), err)
		}

		return nil
	case <-timer.C:
		return &Pending{program}
	}
}

func credentialOf(person *user.User) (*syscall.Credential, error) {
	uid, err := strconv.ParseUint(person.Uid, 10, 32)
	if err != nil {
		return nil, err
	}

	gid, err := strconv.ParseUint(person.Gid, 10, 32)
	if err != nil {
		return nil, err
	}

	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}

	groups, _ := person.GroupIds() // without them the browser has the person's own group alone
	for _, g := range groups {
		if n, err := strconv.ParseUint(g, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(n))
		}
	}

	return c, nil
}

// forBrowser are the variables that a browser needs. Every other one stays here:
// $DEFENDER_CLIENT_SECRET, and whatever secrets a shell or a service manager has
// exported.
var forBrowser = map[string]bool{
	"PATH": true, "HOME": true, "USER": true, "LOGNAME": true, "SHELL": true, "TMPDIR": true,
	"LANG": true, "LANGUAGE": true, "TZ": true,
	"DISPLAY": true, "WAYLAND_DISPLAY": true, "XAUTHORITY": true, "DBUS_SESSION_BUS_ADDRESS": true,
	"DESKTOP_SESSION": true, "GNOME_DESKTOP_SESSION_ID": true, "KDE_FULL_SESSION": true, "KDE_SESSION_VERSION": true,
	"WSL_DISTRO_NAME": true, "WSL_INTEROP": true, "MOZ_ENABLE_WAYLAND": true,
}

// environment returns what a browser gets of this process's environment, with the home
// and session of identity, if there is one.
func (l *launcher) environment(identity *user.User) []string {
	own := map[string]bool{}

	var env []string

	if identity != nil {
		session := "/run/user/" + identity.Uid
		for name, value := range map[string]string{
			"HOME": identity.HomeDir, "USER": identity.Username, "LOGNAME": identity.Username,
			"XDG_RUNTIME_DIR": session, "DBUS_SESSION_BUS_ADDRESS": "unix:path=" + session + "/bus",
		} {
			own[name] = true
			env = append(env, name+"="+value)
		}
	}

	for _, pair := range l.environ {
		name, _, _ := strings.Cut(pair, "=")

		wanted := forBrowser[name] || strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "LC_")
		if wanted && !own[name] {
			env = append(env, pair)
		}
	}

	return env
}
