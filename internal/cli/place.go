package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/identity"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
)

// place is where a configuration keeps tokens. The zero place is that of a command
// without one.
type place = wiring.Location

// storeVariable is the environment variable that stands for --store.
const storeVariable = "DEFENDER_STORE"

// placeOf is where an input keeps its tokens.
func placeOf(in *config.Input) place {
	return place{
		URL:     in.Store.URL,
		DataDir: in.DataDir,
		KeyFile: in.KeyFile,
	}
}

// at returns where the store of this run is: where the flags say, a configuration, the
// environment, or the default directory. (The configuration goes before the environment,
// since it is where the input looks.)
func (c *cli) at(configured place) (place, error) {
	url, err := c.storeURL(configured)
	if err != nil {
		return place{}, err
	}

	p := place{URL: url, KeyFile: c.keyPath(configured.KeyFile)}
	if p.Shared() {
		return p, nil
	}

	dir, _ := c.LookupEnv("DEFENDER_DATA_DIR")
	p.DataDir, err = filepath.Abs(cmp.Or(c.dataDir, configured.DataDir, dir, wiring.DefaultDataDir))

	return p, err
}

// storeURL returns the address of the database, or the zero Text for files in a
// directory.
func (c *cli) storeURL(configured place) (secret.Text, error) {
	if c.store != "" {
		url, err := c.parseStore("--store", c.store)
		if err == nil && !url.IsZero() && c.dataDir != "" {
			err = usagef("give one of --store and --data-dir")
		}

		return url, err
	}

	switch {
	case c.dataDir != "":
		return secret.Text{}, nil
	case configured.Shared() || configured.DataDir != "":
		return configured.URL, nil
	}

	value, _ := c.LookupEnv(storeVariable)

	return c.parseStore("$"+storeVariable, value)
}

// parseStore reads the address of a store, which has a name for people.
func (c *cli) parseStore(name, value string) (secret.Text, error) {
	value = strings.TrimSpace(value)

	url, problem, remedy := config.ParseStore(value)
	if problem != "" {
		return url, usagef("%s: %s; %s", name, problem, remedy)
	}

	if strings.HasPrefix(name, "--") && config.StoreHasSecret(url) && !c.toldOfPassword {
		c.toldOfPassword = true

		c.say("warning: everybody on this machine can see the password in %s in the process list, and the shell keeps "+
			"it in its history; use $%s, a password file (PGPASSFILE) or $PGPASSWORD", name, storeVariable)
	}

	return url, nil
}

// keyPath returns the file of the store's key as an absolute path, empty if there is
// none.
func (c *cli) keyPath(configured string) string {
	return wiring.AbsolutePath(cmp.Or(c.keyFile, configured))
}

// open opens the store for writing. configured is the configuration's word on where it
// is and what encrypts it; either may be empty.
func (c *cli) open(ctx context.Context, configured place) (store.Store, error) {
	at, err := c.at(configured)
	if err != nil {
		return nil, err
	}

	return c.openAt(ctx, at)
}

// openAt opens the store at a place for writing. A warning that names one of corrected,
// what the command is about to correct, is left out.
func (c *cli) openAt(ctx context.Context, at place, corrected ...string) (store.Store, error) {
	missing := false

	if !at.Shared() {
		if err := c.becomeOwner(at.DataDir); err != nil {
			return nil, err
		}

		missing = !exists(at.DataDir)
	}

	o, err := c.storeOptions(at)
	if err != nil {
		return nil, err
	}

	s, err := wiring.OpenStore(ctx, o)
	if err != nil {
		return nil, err
	}

	for _, w := range s.Warnings() {
		if !slices.ContainsFunc(corrected, func(m string) bool { return strings.Contains(w, m) }) &&
			!slices.Contains(c.warned, w) {
			c.warned = append(c.warned, w)
			c.say("warning: %s", w)
		}
	}

	if missing && os.Geteuid() == 0 {
		c.say("made %s, which belongs to root; if Fluent Bit runs as another user: chown -R that-user "+
			"%s", at.DataDir, plain.Shell(at.DataDir))
	}

	return s, nil
}

// storeOptions are those of the store at a place, for writing.
func (c *cli) storeOptions(at place) (wiring.StoreOptions, error) {
	key, err := at.Key()
	if err != nil {
		return wiring.StoreOptions{}, err
	}

	return wiring.StoreOptions{
		Location: at,
		Key:      key,
		Now:      c.Now,
		Log:      c.log,
	}, nil
}

// becomeOwner makes root work in another user's data directory as that user, who could
// otherwise have root read and write what a link in it names. It does so too when only
// a directory above belongs to that user.
func (c *cli) becomeOwner(dir string) error {
	if c.Become == nil || os.Geteuid() != 0 && !identity.Changed() {
		return nil
	}

	owners, err := filemode.Owners(dir)
	if err != nil {
		return err
	}

	remedy := "run it as the user Fluent Bit runs as: sudo -u USER defenderctl …"

	switch len(owners) {
	case 0:
		if identity.Changed() {
			return fmt.Errorf("data_dir %s belongs to root, another one of this configuration to another user; "+
				"check them one by one", dir)
		}

		return nil
	case 1:
		if err := c.Become(owners[0]); err != nil {
			return fmt.Errorf("data_dir %s belongs to user %d, and root does not work in it as root: %w; "+
				"%s", dir, owners[0], err, remedy)
		}

		return nil
	default:
		return fmt.Errorf("data_dir %s or directories above it belong to the users %s: any of them could replace "+
			"it; %s",
			dir, strings.Trim(fmt.Sprint(owners), "[]"), remedy)
	}
}

// view is the store, opened for reading only. A directory that does not exist counts as
// empty, and is not created.
type view struct {
	s store.Store
	// lost is the directory, if its tokens.db is gone while the copy of it is there.
	lost string
}

// Names of the store's files.
const (
	tokensFile = "tokens.db"
	tokensCopy = "tokens.db.bak"
)

// lostTokens reports whether tokens.db is gone from a directory, while its copy is there.
func lostTokens(dir string) bool {
	return !exists(filepath.Join(dir, tokensFile)) && exists(filepath.Join(dir, tokensCopy))
}

// lookFirst opens the store for reading, for a command that writes to it afterwards: it
// may put the copy of tokens.db in its place.
func (c *cli) lookFirst(ctx context.Context) (*view, error) {
	at, err := c.at(place{})
	if err != nil {
		return nil, err
	}

	if !at.Shared() && lostTokens(at.DataDir) {
		s, err := c.openAt(ctx, at)
		if err != nil {
			return nil, err
		}

		if err := s.Close(); err != nil {
			return nil, err
		}
	}

	return c.look(ctx)
}

// look opens the store for reading.
func (c *cli) look(ctx context.Context) (*view, error) {
	at, err := c.at(place{})
	if err != nil {
		return nil, err
	}

	return c.lookAt(ctx, at)
}

// lookAt opens the store at a place for reading.
func (c *cli) lookAt(ctx context.Context, at place) (*view, error) {
	if !at.Shared() {
		if !exists(at.DataDir) {
			return &view{}, nil
		}

		if err := c.becomeOwner(at.DataDir); err != nil {
			return nil, err
		}
	}

	o, err := c.storeOptions(at)
	if err != nil {
		return nil, err
	}

	o.ReadOnly = true

	s, err := wiring.OpenStore(ctx, o)
	if errors.Is(err, store.ErrDamaged) {
		err = fmt.Errorf("%w; this command only reads: starting the input, or the next command that stores "+
			"something, moves the damaged file away", err)
	}

	if err != nil {
		return nil, err
	}

	v := &view{s: s}
	if !at.Shared() && lostTokens(at.DataDir) {
		v.lost = at.DataDir
	}

	return v, nil
}

// Close closes the store, if there is one.
func (v *view) Close() {
	if v.s != nil {
		v.s.Close() // nothing was written
	}
}

func (v *view) chains(ctx context.Context) ([]store.ChainInfo, error) {
	if v.s == nil {
		return nil, nil
	}

	if v.lost != "" {
		return nil, fmt.Errorf("%s is gone from %s, but its copy %s is there; this command only reads: start the "+
			"input, or run "+
			"defenderctl tokens refresh NAME, and the copy takes its place", tokensFile, v.lost, tokensCopy)
	}

	return v.s.Tokens().List(ctx)
}

func (v *view) statuses(ctx context.Context) (map[alert.UnitKey]store.Status, error) {
	if v.s == nil {
		return nil, nil
	}

	list, err := v.s.Statuses(ctx)
	store.Freshen(list)

	return list, err
}

// discoveryNotice returns why the last list of customers failed, as the input kept it;
// nil after a good one. One that cannot be read says nothing.
func (v *view) discoveryNotice(ctx context.Context) *inputFault {
	if v.s == nil {
		return nil
	}

	var trouble health.Trouble

	body, ok, err := v.s.Document(ctx, store.DiscoveryNotice)
	if err != nil || !ok || json.Unmarshal(body, &trouble) != nil {
		return nil
	}

	return &inputFault{string(trouble.Reason), trouble.Message, trouble.Remedy}
}

// noteStore records in a tenant where its tokens are in this run. Messages name
// commands with it.
func (c *cli) noteStore(t *config.Tenant, configured place) {
	at, err := c.at(configured)
	if err != nil {
		at = configured // the command itself says what is wrong
	}

	t.DataDir = at.DataDir
	t.KeyFile = at.KeyFile
	t.Store = ""

	if at.Shared() {
		t.Store = at.Name()
	}
}
