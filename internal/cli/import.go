package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/cli/connector"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
	"fluent-bit-defender/internal/wiring"
)

// importing is one run of `tokens import`.
type importing struct {
	c   *cli
	set *settings

	file                            string
	refreshFile, secretOut, tenName string
	stanza                          string
	all, json                       bool
	// several reports whether more than one stanza is imported.
	several bool
}

// imported is the result for one stanza, as --json prints it.
type imported struct {
	Stanza   string `json:"stanza,omitempty"`
	TenantID string `json:"tenant_id"`
	Tenant   string `json:"tenant"`
	ClientID string `json:"client_id"`
	API      string `json:"api"`
	Resource string `json:"resource"`
	Stored   bool   `json:"stored"`
	DataDir  string `json:"data_dir"`
	Store    string `json:"store,omitempty"`
	File     string `json:"secret_file,omitempty"`
	Input    string `json:"input"`
	Problem  string `json:"problem,omitempty"`
}

func (c *cli) importCommand() *cobra.Command {
	im := &importing{c: c}
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take over the settings and token of an ArcSight or Splunk connector",
		Long: "Reads client id, secret, token URL, resource and refresh token from a WDATP-connector.properties " +
			"(ArcSight), or from the inputs.conf or authentication properties of Splunk, asks for what the file " +
			"leaves blank, stores the refresh token, and prints an [INPUT] for it. Nothing is asked over the " +
			"network: see tokens refresh. The application secret is not stored; --secret-out writes it to a file " +
			"for client_secret_file.\n\n" +
			"A file with several stanzas has several customers: choose one with --stanza, or take --all, which " +
			"prints one [INPUT] for each, skips disabled stanzas, and writes each secret to a file of its own, " +
			"PATH.NAME of --secret-out. What belongs to one stanza is never used for another one.",
		Example: "  defenderctl tokens import WDATP-connector.properties --tenant-name contoso --region eu \\\n" +
			"      --refresh-token-file rt.txt --secret-out /etc/fluent-bit/mssp-app\n" +
			"  defenderctl tokens import inputs.conf --all --secret-out /etc/fluent-bit/mssp-app",
		Args: oneArgument("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			im.file = args[0]
			return im.run(cmd.Context())
		},
	}

	im.set = newSettings(c, cmd, networkKeys, targetKeys, credentialKeys,
		map[string]string{"tenant_id": "the customer's tenant, where the file has no token_url"})
	f := cmd.Flags()
	f.StringVar(&im.tenName, "tenant-name", "", "label for people (default the tenant id, or the stanza's name)")
	f.StringVar(&im.refreshFile, "refresh-token-file", "", "file with the refresh token, where the connector's has "+
		"none; - reads the standard input")
	f.StringVar(&im.secretOut, "secret-out", "", "write the application secret to this file (0600)")
	f.StringVar(&im.stanza, "stanza", "", "import this stanza of a file with several")
	f.BoolVar(&im.all, "all", false, "import every stanza that is not disabled")
	f.BoolVar(&im.json, "json", false, "print JSON: one object, with --all a list")
	cmd.MarkFlagsMutuallyExclusive("stanza", "all")

	return cmd
}

func (im *importing) run(ctx context.Context) error {
	data, err := im.read(ctx)
	if err != nil {
		return err
	}

	found, err := connector.Read(data)
	if err != nil {
		return fmt.Errorf("%s: %w", im.file, err)
	}

	stanzas, err := im.choose(found)
	if err != nil {
		return err
	}

	im.several = len(stanzas) > 1
	if err := im.fit(stanzas); err != nil {
		return err
	}

	var (
		jobs   []*importJob
		failed []error
	)

	results := []imported{}

	for _, s := range stanzas {
		job, err := im.prepare(ctx, s)
		switch {
		case err == nil:
			jobs = append(jobs, job)
		case !im.all || ctx.Err() != nil:
			return err
		default:
			failed = append(failed, err)
			results = append(results, imported{
				Stanza:   s.Name,
				TenantID: s.TenantID,
				ClientID: s.ClientID,
				Problem:  err.Error(),
			})
			im.c.say("%s: not imported: %v", plain.Text(s.Name, 128), err)
		}
	}

	separate(jobs)
	done, err := im.keep(ctx, jobs)

	results = append(results, done...)
	if err := im.print(results); err != nil {
		return err
	}

	return im.outcome(append(failed, err))
}

// outcome returns how the command ends: with --all by the worst exit code of its
// stanzas, whose errors were printed already.
func (im *importing) outcome(errs []error) error {
	if !im.all {
		return errors.Join(errs...)
	}

	var codes []int
	for _, err := range errs {
		codes = append(codes, exitCode(err))
	}

	return endOf(codes)
}

// read reads the file; "-" means the standard input.
func (im *importing) read(ctx context.Context) ([]byte, error) {
	c := im.c
	if isStream(im.file) {
		return c.stream(ctx, im.file, connector.MaxBytes+1)
	}

	f, err := filemode.Open(im.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	info, err := f.Stat()
	if err != nil {
		return nil, err
	}

	if info.Size() > connector.MaxBytes {
		return nil, fmt.Errorf("%s is too large to be a connector's configuration", im.file)
	}

	if info.Mode().Perm()&0o077 != 0 {
		c.say("warning: %s has mode %#o: other users may read the secrets in it; chmod 600 %s, and remove it when "+
			"the input works",
			im.file, info.Mode().Perm(), plain.Shell(im.file))
	}

	return io.ReadAll(io.LimitReader(f, connector.MaxBytes))
}

// choose returns the stanzas to import.
func (im *importing) choose(found []connector.Stanza) ([]connector.Stanza, error) {
	if im.stanza != "" {
		s, err := im.named(found)
		return []connector.Stanza{s}, err
	}

	if !im.all && len(found) > 1 {
		return nil, usagef("%s has %d stanzas, which may belong to different customers: choose one with --stanza "+
			"NAME, or take --all\n%s",
			im.file, len(found), list(found))
	}

	if !im.all {
		return found, nil
	}

	var chosen []connector.Stanza

	for _, s := range found {
		if s.Disabled {
			im.c.say(
				"note: %s is disabled in the file, and not imported; --stanza imports it",
				plain.Text(s.Name, 128),
			)

			continue
		}

		chosen = append(chosen, s)
	}

	if len(chosen) == 0 {
		return nil, usagef("%s: every stanza is disabled; choose one with --stanza\n%s", im.file, list(found))
	}

	return chosen, nil
}

// named returns the stanza that --stanza means: by its name, or by what follows the ://
// in it.
func (im *importing) named(found []connector.Stanza) (connector.Stanza, error) {
	for _, fits := range []func(s connector.Stanza) bool{
		func(s connector.Stanza) bool { return s.Name == im.stanza },
		func(s connector.Stanza) bool { return strings.EqualFold(s.Name, im.stanza) },
		func(s connector.Stanza) bool { return strings.EqualFold(shortName(s), im.stanza) },
	} {
		var fitting []connector.Stanza

		for _, s := range found {
			if fits(s) {
				fitting = append(fitting, s)
			}
		}

		switch len(fitting) {
		case 0:
		case 1:
			return fitting[0], nil
		default:
			return connector.Stanza{}, usagef("--stanza %s is ambiguous; it may "+
				"mean:\n%s", plain.Quoted(im.stanza), list(fitting))
		}
	}

	return connector.Stanza{}, usagef(
		"%s has no stanza %s; it has:\n%s",
		im.file,
		plain.Quoted(im.stanza),
		list(found),
	)
}

// shortName returns what follows the :// in a stanza's name.
func shortName(s connector.Stanza) string {
	if _, after, ok := strings.Cut(s.Name, "://"); ok && after != "" {
		return after
	}

	return s.Name
}

// list writes stanzas for a message, one a line.
func list(stanzas []connector.Stanza) string {
	var lines []string

	for _, s := range stanzas {
		line := "  " + plain.Text(s.Name, 128)
		switch {
		case s.Name == "":
			line = "  (without a name)"
		case s.TenantID != "":
			line += "  tenant " + plain.Text(s.TenantID, 128)
		}

		if s.Err != nil {
			line += "  faulty: " + plain.Text(s.Err.Error(), 300)
		}

		if s.Disabled {
			line += "  (disabled)"
		}

		lines = append(lines, line)
	}

	return strings.Join(lines, "\n")
}

// fit refuses flags that are about one tenant if several stanzas are imported.
func (im *importing) fit(stanzas []connector.Stanza) error {
	if !im.several {
		return nil
	}

	for flag, value := range map[string]string{
		"--tenant-id": im.set.get("tenant_id"), "--tenant-name": im.tenName, "--refresh-token-file": im.refreshFile,
	} {
		if value != "" {
			return usagef("%s is for one tenant: use it with --stanza NAME instead of --all", flag)
		}
	}

	given := im.set.clientSecret != "" || im.set.get("client_secret_file") != "" ||
		im.set.get("client_certificate_file") != ""
	if !given || im.set.get("client_id") != "" {
		return nil
	}

	for _, s := range stanzas {
		if !strings.EqualFold(s.ClientID, stanzas[0].ClientID) {
			return usagef("the stanzas are of several applications, and a credential is for one: use it with " +
				"--stanza NAME instead of --all")
		}
	}

	return nil
}

// print prints the [INPUT] of every stanza that was imported.
func (im *importing) print(results []imported) error {
	if im.json && im.all {
		return printJSON(im.c.Out, results)
	}

	first := true

	for _, r := range results {
		if !r.Stored {
			continue
		}

		if im.json {
			return printJSON(im.c.Out, r)
		}

		if !first {
			fmt.Fprintln(im.c.Out)
		}

		first = false

		if im.several {
			fmt.Fprintf(im.c.Out, "# stanza %s\n", plain.Text(r.Stanza, 128))
		}

		fmt.Fprint(im.c.Out, r.Input)
	}

	return nil
}

// unknownLogin warns of a sign-in service that is none of Microsoft's: it gets the secret
// and the token.
func (im *importing) unknownLogin(address string) {
	if !cloud.KnownLogin(address) {
		im.c.say("warning: %s names the sign-in service %s, which is none of Microsoft's, and which will be sent "+
			"the refresh token and the application secret; use it only if you know whose it is",
			im.file, plain.Text(address, 256))
	}
}

// absolutePaths makes the paths of an [INPUT] absolute: Fluent Bit starts elsewhere.
func absolutePaths(keys config.Map) {
	for _, key := range []string{"ca_file", "client_secret_file", "client_certificate_file"} {
		if keys[key] != "" && !isStream(keys[key]) {
			keys[key] = wiring.AbsolutePath(keys[key])
		}
	}
}

// secretPath returns the file for the secret of a stanza: the one of --secret-out, or one
// beside it if there are several stanzas.
func (im *importing) secretPath(name string) string {
	if im.secretOut == "" || !im.several {
		return im.secretOut
	}

	return filepath.Clean(im.secretOut) + "." + name
}
