package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"fluent-bit-defender/internal/test/setup"
)

func TestInstallReplacesTheLoadedPluginByRename(t *testing.T) {
	w := newWorld(t)
	to := filepath.Join(t.TempDir(), "plugins")
	plugin := setup.Plugin(t)
	install := func(want string) {
		t.Helper()
		contains(t, w.expect(w.run("install", "--to", to, "--plugin", plugin), 0).out, want)
	}

	install("in_defender.so installed")

	target := filepath.Join(to, "in_defender.so")
	for name, mode := range map[string]os.FileMode{"in_defender.so": 0o644, "defenderctl": 0o755} {
		if info, err := os.Stat(filepath.Join(to, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}

	install("in_defender.so is there already")

	if err := os.WriteFile(target, []byte("an older one"), 0o644); err != nil {
		t.Fatal(err)
	}

	loaded, err := os.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()

	install("in_defender.so installed")

	var old bytes.Buffer
	if _, err := old.ReadFrom(loaded); err != nil || old.String() != "an older one" {
		t.Errorf("the loaded file was changed: %d bytes, %v", old.Len(), err)
	}

	if !bytes.Equal(must(os.ReadFile(target)), must(os.ReadFile(plugin))) {
		t.Error("the copy differs from the plugin")
	}

	if left := must(os.ReadDir(to)); len(left) != 2 {
		t.Errorf("files are left over: %v", left)
	}
}

func TestInstallRefusesWhatIsNotThePlugin(t *testing.T) {
	w := newWorld(t)
	to := t.TempDir()

	other := filepath.Join(to, "other.so")
	if err := os.WriteFile(other, []byte("no plugin"), 0o644); err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no place":        {nil, 2, "install needs --to"},
		"no plugin":       {[]string{"--to", to}, 1, "there is no in_defender.so in"},
		"another file":    {[]string{"--to", to, "--plugin", other}, 1, "other.so is not the plugin"},
		"another program": {[]string{"--to", to, "--plugin", must(os.Executable())}, 1, "is not the plugin but"},
		"a missing file":  {[]string{"--to", to, "--plugin", other + "x"}, 1, "no such file"},
		"no directory":    {[]string{"--to", other, "--plugin", setup.Plugin(t)}, 1, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat("/usr/lib/fluent-bit/in_defender.so"); err == nil && name == "no plugin" {
				t.Skip("a package of the plugin is installed here")
			}

			contains(t, w.expect(w.run(append([]string{"install"}, c.args...)...), c.code).err, c.says)
		})
	}

	if left := must(os.ReadDir(to)); len(left) != 1 {
		t.Errorf("files are left over: %v", left)
	}
}
