package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/cli/redact"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store/sqlite"
	"fluent-bit-defender/internal/version"
	"fluent-bit-defender/internal/wiring"
)

func (c *cli) bundleCommand() *cobra.Command {
	var conf string

	cmd := &cobra.Command{
		Use:   "support-bundle FILE",
		Short: "Collect what support asks for, without secrets",
		Args:  oneArgument("FILE"),
		Long: "Writes FILE (tar.gz, mode 0600, must not exist): versions, the configuration without secrets, the " +
			"status of all tenants with their changes of the last 24 hours, errors with Microsoft's trace ids, and " +
			"what lies in the data directory. Values are shown only where they are known to be no secret, and every " +
			"secret that can be read here is looked for in the result once more. It names your customers: look " +
			"through it before you send it.",
		Example: "  defenderctl support-bundle /tmp/defender.tar.gz --config /etc/fluent-bit/fluent-bit.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.bundle(cmd.Context(), args[0], conf)
		},
	}
	cmd.Flags().StringVar(&conf, "config", "", "Fluent Bit's configuration or a tenants file (default "+defaultConfig+
		", if it is there)")

	return cmd
}

// bundle is what goes into a support bundle.
type bundle struct {
	scrub redact.Scrubber
	files []bundledFile
}

type bundledFile struct {
	name string
	text []byte
}

// add adds a file with the JSON of v.
func (b *bundle) add(name string, v any) error {
	var text bytes.Buffer
	if err := printJSON(&text, v); err != nil {
		return err
	}

	b.files = append(b.files, bundledFile{name, text.Bytes()})

	return nil
}

// bundle writes a support bundle.
func (c *cli) bundle(ctx context.Context, path, conf string) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}

	defer func() {
		err = errors.Join(err, out.Close())
		if err != nil {
			_ = os.Remove(path) // half a bundle is no use to anybody
		}
	}()

	if err := out.Chmod(0o600); err != nil {
		return err
	}

	var b bundle

	if err := c.collectBundle(ctx, &b, conf); err != nil {
		return err
	}

	size, err := b.write(out, c.Now())
	if err != nil {
		return err
	}

	fmt.Fprintf(c.Out, "%s: %d files, %d KB; it holds no secrets and names your customers: look through it before "+
		"you send it\n", plain.Text(path, 1024), len(b.files), (size+1023)>>10)

	return nil
}

// collectBundle fills a bundle.
func (c *cli) collectBundle(ctx context.Context, b *bundle, conf string) error {
	if conf == "" && exists(defaultConfig) {
		conf = defaultConfig
	}

	c.knownSecrets(b)

	if conf != "" {
		shown := redact.LoadConfig(wiring.AbsolutePath(conf), c.LookupEnv, &b.scrub)
		if err := b.add("configuration.json", shown); err != nil {
			return err
		}
	}

	at, err := c.at(place{})
	if err != nil {
		return err
	}

	b.scrub.AddDatabase(at.URL.Reveal())

	// The formats come first: they are read from files that are not open yet.
	place := c.describePlace(at)

	seen, storeErr := c.bundleSurvey(ctx, b)
	if storeErr != nil {
		place.StoreError = storeErr.Error()
	}

	place.Notices = seen.notices

	if seen.all == nil {
		seen.all = []reported{}
	}

	return errors.Join(
		b.add("versions.json", place),
		b.add("status.json", seen.all),
		b.add("history.json", historyOf(seen.all)),
	)
}

// knownSecrets tells the scrubber the secrets of environment and flags.
func (c *cli) knownSecrets(b *bundle) {
	for _, name := range []string{
		"DEFENDER_CLIENT_SECRET", "CLIENT_SECRET", "REFRESH_TOKEN", "PGPASSWORD", "SPLUNK_TOKEN", "HEC_TOKEN",
	} {
		if value, ok := c.LookupEnv(name); ok {
			b.scrub.Add(value)
		}
	}

	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if value, ok := c.LookupEnv(name); ok {
			b.scrub.AddAddress(value)
		}
	}

	if value, ok := c.LookupEnv(storeVariable); ok {
		b.scrub.AddDatabase(value)
	}

	if path, ok := c.LookupEnv("PGPASSFILE"); ok {
		b.scrub.AddPasswords(path)
	}

	if c.keyFile != "" {
		b.scrub.AddFile(c.keyFile)
	}
}

// bundlePlace is the file versions.json.
type bundlePlace struct {
	Made        string           `json:"made"`
	Defenderctl version.Build    `json:"defenderctl"`
	Kernel      string           `json:"kernel"`
	DataDir     string           `json:"data_dir"`
	Store       string           `json:"store,omitempty"`
	Inputs      string           `json:"inputs"`
	Formats     map[string]int64 `json:"formats"`
	Files       []bundledEntry   `json:"files"`
	FreeMB      int64            `json:"free_mb"`
	StoreError  string           `json:"store_error,omitempty"`
	Notices     []string         `json:"notices,omitempty"`
}

// bundledEntry is a file in the data directory.
type bundledEntry struct {
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	Mode     string `json:"mode"`
	Modified string `json:"modified"`
}

// describePlace describes the program, the machine and the place of the store.
func (c *cli) describePlace(at place) bundlePlace {
	dir := at.DataDir

	if at.Shared() {
		return bundlePlace{
			Made:        c.Now().UTC().Format(time.RFC3339),
			Defenderctl: version.This(),
			Kernel:      kernel(),
			Store:       at.Name(),
			Formats:     map[string]int64{},
			Files:       []bundledEntry{},
		}
	}

	p := bundlePlace{
		Made:        c.Now().UTC().Format(time.RFC3339),
		Defenderctl: version.This(),
		Kernel:      kernel(),
		DataDir:     dir,
		Inputs:      "no process runs inputs on it",
		Formats:     sqlite.Formats(dir),
		Files:       []bundledEntry{},
	}
	if who, running := sqlite.InputsRun(dir); running {
		p.Inputs = who + " runs inputs on it"
	}

	entries, _ := os.ReadDir(dir) // a directory that is not there has no files
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}

		p.Files = append(p.Files, bundledEntry{
			Name:     plain.Text(e.Name(), 128),
			Size:     info.Size(),
			Mode:     info.Mode().String(),
			Modified: info.ModTime().UTC().Format(time.RFC3339),
		})
	}

	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) == nil {
		p.FreeMB = int64(fs.Bavail) * fs.Bsize >> 20
	}

	return p
}

// kernel names the operating system.
func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}

	text := func(field []byte) string { return string(bytes.TrimRight(field, "\x00")) }

	return strings.Join([]string{text(u.Sysname[:]), text(u.Release[:]), text(u.Machine[:])}, " ")
}

// bundleSurvey reads the statuses, and tells the scrubber the tokens that are stored.
func (c *cli) bundleSurvey(ctx context.Context, b *bundle) (survey, error) {
	v, err := c.look(ctx)
	if err != nil {
		return survey{}, err
	}
	defer v.Close()

	if v.s == nil {
		return survey{}, c.noDirectory(false)
	}

	chains, err := v.chains(ctx)
	if err == nil {
		for _, i := range chains {
			b.scrub.Add(i.Chain.Refresh.Reveal())
			b.scrub.Add(i.Chain.Previous.Reveal())
		}
	}

	seen, surveyErr := c.survey(ctx, v, statusView{hidden: true})

	return seen, errors.Join(err, surveyErr)
}

// bundledHistory is what changed with a unit in the last day.
type bundledHistory struct {
	TenantID string          `json:"tenant_id"`
	Tenant   string          `json:"tenant"`
	API      string          `json:"api"`
	StateID  string          `json:"state_id"`
	Changes  []bundledChange `json:"changes"`
}

type bundledChange struct {
	At      string        `json:"at"`
	State   health.State  `json:"state"`
	Reason  advice.Reason `json:"reason,omitempty"`
	Message string        `json:"message,omitempty"`
	Trace   string        `json:"trace,omitempty"`
}

// historyOf returns the changes of all units.
func historyOf(all []reported) []bundledHistory {
	list := []bundledHistory{}

	for _, r := range all {
		h := bundledHistory{
			TenantID: r.TenantID,
			Tenant:   r.Tenant,
			API:      r.API,
			StateID:  r.StateID,
			Changes:  []bundledChange{},
		}

		for _, change := range r.status.History {
			h.Changes = append(h.Changes, bundledChange{
				At:      change.At.UTC().Format(time.RFC3339),
				State:   change.State,
				Reason:  change.Reason,
				Message: change.Message,
				Trace:   change.Trace,
			})
		}

		list = append(list, h)
	}

	return list
}

// bundleReadme is the first file of a bundle.
const bundleReadme = `Support bundle of defenderctl. Secrets are left out: a value is shown only where it is
known to be none.

configuration.json  the configuration; "(set)" and "(not shown)" stand for values
versions.json       program, machine, data directory, formats of the databases
status.json         what the inputs wrote last, as "defenderctl status --json" shows it
history.json        changes of state in the last 24 hours, with Microsoft's trace ids
`

// write writes the archive, and returns how many bytes of text are in it.
func (b *bundle) write(out *os.File, now time.Time) (size int64, err error) {
	zipped := gzip.NewWriter(out)
	archive := tar.NewWriter(zipped)

	b.files = append([]bundledFile{{"README.txt", []byte(bundleReadme)}}, b.files...)

	for _, f := range b.files {
		text := b.scrub.Clean(f.text)
		size += int64(len(text))

		header := &tar.Header{
			Name:    filepath.Join("support-bundle", f.name),
			Mode:    0o600,
			Size:    int64(len(text)),
			ModTime: now,
		}
		if err := archive.WriteHeader(header); err != nil {
			return 0, err
		}

		if _, err := archive.Write(text); err != nil {
			return 0, err
		}
	}

	return size, errors.Join(archive.Close(), zipped.Close(), out.Sync())
}
