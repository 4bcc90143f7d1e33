package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/wiring"
)

const (
	pluginFile  = "in_defender.so"
	programFile = "defenderctl"
	// pluginPath is the package that a plugin of ours was built from.
	pluginPath = "fluent-bit-defender/plugin"
)

type installOptions struct {
	to, plugin string
	asJSON     bool
}

func (c *cli) installCommand() *cobra.Command {
	var o installOptions

	cmd := &cobra.Command{
		Use:   "install --to DIR",
		Short: "Copy the plugin and defenderctl into a directory",
		Long: "Copies in_defender.so and this program into a directory, for images without a shell: an init " +
			"container puts both into a volume, from which Fluent Bit loads the plugin. Each file is written beside " +
			"the old one, compared with its source, and takes the place of the old one at once; so a Fluent Bit that " +
			"has the old one loaded goes on with it until it is restarted. The directory is made if it is missing.",
		Example: "  defenderctl install --to /plugins\n  fluent-bit -e /plugins/in_defender.so -c fluent-bit.conf",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.install(cmd.Context(), o) },
	}

	flags := cmd.Flags()
	flags.StringVar(&o.to, "to", "", "directory to copy into (required)")
	flags.StringVar(&o.plugin, "plugin", "", "the plugin to copy (default the one beside this program, in "+
		"../lib/fluent-bit, or in /usr/lib/fluent-bit)")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")

	return cmd
}

// installed is a file that install has put somewhere.
type installed struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	// Changed is false if the same bytes were there already.
	Changed bool `json:"changed"`
}

func (c *cli) install(ctx context.Context, o installOptions) error {
	if o.to == "" {
		return &usageError{errors.New("install needs --to, the directory to copy into")}
	}

	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("the file of this program: %w", err)
	}

	plugin, err := findPlugin(program, o.plugin)
	if err != nil {
		return err
	}

	to := wiring.AbsolutePath(o.to)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("--to: %w", err)
	}

	var done []installed

	for _, f := range []struct {
		from, name string
		mode       fs.FileMode
	}{
		{plugin, pluginFile, 0o644},
		{program, programFile, 0o755},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}

		one, err := copyFile(f.from, filepath.Join(to, f.name), f.mode)
		if err != nil {
			return fmt.Errorf("installing %s: %w", f.name, err)
		}

		done = append(done, one)
	}

	if o.asJSON {
		return printJSON(c.Out, done)
	}

	for _, f := range done {
		state := "installed"
		if !f.Changed {
			state = "is there already"
		}

		fmt.Fprintf(c.Out, "%s %s\n", f.Path, state)
	}

	return nil
}

// findPlugin returns the plugin to install: the given one, or the first that is where
// packages, archives, images and `make` put it.
func findPlugin(program, given string) (string, error) {
	if given != "" {
		return given, isPlugin(given)
	}

	if target, err := filepath.EvalSymlinks(program); err == nil {
		program = target
	}

	beside := filepath.Dir(program)

	places := []string{
		filepath.Join(beside, pluginFile),
		filepath.Join(beside, "..", "lib", "fluent-bit", pluginFile),
		filepath.Join("/usr/lib/fluent-bit", pluginFile),
	}
	for _, path := range places {
		if exists(path) {
			return path, isPlugin(path)
		}
	}

	return "", fmt.Errorf("there is no %s in %s; name it with --plugin", pluginFile, strings.Join(places, ", "))
}

// isPlugin checks that a file is a plugin of this project.
func isPlugin(path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("the plugin: %w", err)
		}

		return fmt.Errorf("%s is not the plugin: %s; name it with --plugin", path, plain.Line(err.Error(), 200))
	}

	if info.Path != pluginPath {
		return fmt.Errorf("%s is not the plugin but %s; name it with --plugin", path, plain.Line(info.Path, 200))
	}

	return nil
}

// copyFile puts a copy of from in the place of to. Whoever opens or has loaded to gets
// the old file or the new one, never a part. What was written is read again and compared.
func copyFile(from, to string, mode fs.FileMode) (installed, error) {
	want, err := digest(from)
	if err != nil {
		return installed{}, err
	}

	result := installed{Path: to, SHA256: fmt.Sprintf("%x", want)}

	if have, err := digest(to); err == nil && bytes.Equal(have, want) {
		return result, os.Chmod(to, mode)
	}

	next, err := writeBeside(from, to, mode)
	if err != nil {
		return installed{}, err
	}

	if have, err := digest(next); err != nil || !bytes.Equal(have, want) {
		return installed{}, errors.Join(
			fmt.Errorf("%s was written and does not have the bytes of %s: is the disk damaged, or did the file "+
				"change meanwhile", next, from),
			err,
			os.Remove(next),
		)
	}

	if err := os.Rename(next, to); err != nil {
		return installed{}, errors.Join(err, os.Remove(next))
	}

	result.Changed = true

	return result, syncDir(filepath.Dir(to))
}

// writeBeside writes a copy of from to a new file beside to, and returns its name.
func writeBeside(from, to string, mode fs.FileMode) (string, error) {
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()

	next, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".new-*")
	if err != nil {
		return "", err
	}

	_, err = io.Copy(next, src)
	if err = errors.Join(err, next.Chmod(mode), next.Sync(), next.Close()); err != nil {
		return "", errors.Join(err, os.Remove(next.Name()))
	}

	return next.Name(), nil
}

// digest returns the SHA-256 of a file.
func digest(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}

	return h.Sum(nil), nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}

	return errors.Join(d.Sync(), d.Close())
}
