package packages

import (
	"archive/tar"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../../.."

var arches = []string{"amd64", "arm64"}

// missing skips a test that needs what is not there; CI has it.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()

	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}

	t.Skipf(format, args...)
}

// one returns the only file of dist that a pattern matches.
func one(t *testing.T, pattern string) string {
	t.Helper()

	paths, err := filepath.Glob(filepath.Join(root, "dist", pattern))
	if err != nil {
		t.Fatal(err)
	}

	switch len(paths) {
	case 0:
		missing(t, "there is no dist/%s: run make dist", pattern)
	case 1:
	default:
		t.Fatalf("several files are called dist/%s: %q", pattern, paths)
	}
	// go test takes a result from its cache unless a file changed that the test itself
	// looked at.
	if _, err := os.Stat(paths[0]); err != nil {
		t.Fatal(err)
	}

	return paths[0]
}

// run runs a program and returns what it prints, and whether it was content.
func run(t *testing.T, name string, args ...string) (string, bool) {
	t.Helper()

	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%s is not installed", name)
	}

	out, err := exec.Command(path, args...).CombinedOutput()

	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}

	return string(out), err == nil
}

// installed are the files of every package, with the mode that each must have.
var installed = map[string]string{
	"/usr/bin/defenderctl":                                             "-rwxr-xr-x",
	"/usr/lib/fluent-bit/in_defender.so":                               "-rw-r--r--",
	"/usr/lib/sysusers.d/in-defender.conf":                             "-rw-r--r--",
	"/usr/lib/tmpfiles.d/in-defender.conf":                             "-rw-r--r--",
	"/usr/lib/systemd/system/fluent-bit.service.d/50-in-defender.conf": "-rw-r--r--",
	"/usr/share/in-defender/plugins.conf":                              "-rw-r--r--",
	"/usr/share/man/man1/defenderctl.1.gz":                             "-rw-r--r--",
	"/usr/share/man/man1/defenderctl-tokens-acquire.1.gz":              "-rw-r--r--",
	"/usr/share/man/man5/in_defender.5.gz":                             "-rw-r--r--",
	"/usr/share/bash-completion/completions/defenderctl":               "-rw-r--r--",
	"/usr/share/fish/vendor_completions.d/defenderctl.fish":            "-rw-r--r--",
	"/usr/share/doc/in-defender/examples/fluent-bit.conf":              "-rw-r--r--",
	"/usr/share/doc/in-defender/examples/monitoring/alerts.yml":        "-rw-r--r--",
	"/usr/share/doc/in-defender/README":                                "-rw-r--r--",
	"/usr/share/doc/in-defender/CHANGELOG.md":                          "-rw-r--r--",
}

func TestPackagesHaveWhatTheyPromise(t *testing.T) {
	for _, arch := range arches {
		for kind, list := range map[string][]string{
			"deb": {"dpkg-deb", "-c"},
			"rpm": {"rpm", "-qplv"},
		} {
			t.Run(kind+"-"+arch, func(t *testing.T) {
				file := one(t, "in-defender_*_"+arch+"."+kind)

				out, ok := run(t, list[0], append(list[1:], file)...)
				if !ok {
					t.Fatal(out)
				}

				files := listed(t, out)

				for path, mode := range installed {
					if files[path] != mode {
						t.Errorf("%s has mode %q, want %q", path, files[path], mode)
					}
				}

				zsh := map[string]string{"deb": "vendor-completions", "rpm": "site-functions"}[kind]
				if files["/usr/share/zsh/"+zsh+"/_defenderctl"] == "" {
					t.Error("no completion for zsh")
				}
			})
		}
	}
}

// listed returns the modes of the files in a listing, by their paths. All must be root's.
func listed(t *testing.T, out string) map[string]string {
	t.Helper()

	files := map[string]string{}

	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 5 || !strings.HasPrefix(f[0], "-") {
			continue
		}

		files[strings.TrimPrefix(f[len(f)-1], ".")] = f[0]

		if owner := strings.Join(f[1:4], " "); !strings.Contains(owner, "root") {
			t.Errorf("the owner is not root: %s", line)
		}
	}

	return files
}

// archived returns the texts of an archive: documents and configurations by their names,
// below its top folder. Other files have an empty text.
func archived(t *testing.T, path string) map[string]string {
	t.Helper()

	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}

	top := strings.TrimSuffix(filepath.Base(path), ".tar.gz")
	files := map[string]string{}

	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}

		if h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s belongs to %d:%d", h.Name, h.Uid, h.Gid)
		}

		name := strings.TrimPrefix(h.Name, top)
		files[name] = ""

		if ext := filepath.Ext(name); ext == ".md" || ext == ".conf" || filepath.Base(name) == "README" {
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(text)
		}
	}
}

func TestArchivesHaveBinariesAndDocuments(t *testing.T) {
	for _, arch := range arches {
		t.Run(arch, func(t *testing.T) {
			files := archived(t, one(t, "in-defender_*_linux_"+arch+".tar.gz"))

			for _, want := range []string{
				"/bin/defenderctl",
				"/lib/fluent-bit/in_defender.so",
				"/share/doc/in-defender/LICENSE",
				"/share/doc/in-defender/examples/fluent-bit.service.d/50-in-defender.conf",
				"/share/doc/in-defender/examples/monitoring/alerts.yml",
			} {
				if _, ok := files[want]; !ok {
					t.Errorf("%s is missing", want)
				}
			}
		})
	}
}

func TestExamplesOfArchivesNameFilesInIt(t *testing.T) {
	for _, arch := range arches {
		t.Run(arch, func(t *testing.T) {
			files := archived(t, one(t, "in-defender_*_linux_"+arch+".tar.gz"))
			named := regexp.MustCompile(`/usr/\S+/(?:in-defender|in_defender)\S*`)
			doc := "/share/doc/in-defender/"

			for _, name := range []string{
				"/share/in-defender/plugins.conf",
				doc + "README",
				doc + "examples/plugins.conf",
				doc + "examples/fluent-bit.conf",
			} {
				paths := named.FindAllString(files[name], -1)
				if len(paths) == 0 {
					t.Errorf("%s names no file", name)
				}

				for _, path := range paths {
					if _, ok := files[strings.TrimPrefix(path, "/usr/local")]; !ok {
						t.Errorf("%s names %s, which is not in the archive", name, path)
					}
				}
			}
		})
	}
}

func TestLinksOfInstalledDocumentsLeadSomewhere(t *testing.T) {
	files := archived(t, one(t, "in-defender_*_linux_amd64.tar.gz"))
	link := regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`)
	seen := 0

	for name, text := range files {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			seen++
			if _, ok := files[filepath.Join(filepath.Dir(name), m[1])]; !ok {
				t.Errorf("%s links to %s, which is not installed", name, m[1])
			}
		}
	}

	if seen < 50 {
		t.Errorf("%d links were found", seen)
	}
}

func TestChecksumsCoverAllFiles(t *testing.T) {
	sums, err := os.ReadFile(one(t, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}

	files, err := os.ReadDir(filepath.Join(root, "dist"))
	if err != nil {
		t.Fatal(err)
	}

	for _, f := range files {
		if f.Name() != "SHA256SUMS" && !strings.Contains(string(sums), "  "+f.Name()+"\n") {
			t.Errorf("%s has no checksum", f.Name())
		}
	}
}

func TestSBOMListsWhatTheBinariesContain(t *testing.T) {
	text, err := os.ReadFile(one(t, "in-defender_*.sbom.json"))
	if err != nil {
		t.Fatal(err)
	}

	var bom struct {
		Format     string `json:"bomFormat"`
		Components []struct{ Type, Name, Version string }
	}
	if err := json.Unmarshal(text, &bom); err != nil || bom.Format != "CycloneDX" {
		t.Fatal(err, bom.Format)
	}

	var listed []string

	for _, c := range bom.Components {
		if c.Type == "library" {
			listed = append(listed, c.Name+" "+c.Version)
		}
	}

	var linked []string

	for _, arch := range arches {
		for _, name := range []string{"in_defender.so", "defenderctl"} {
			info, err := buildinfo.ReadFile(filepath.Join(root, "build", arch, name))
			if err != nil {
				missing(t, "%s for %s: %v", name, arch, err)
			}

			for _, m := range info.Deps {
				linked = append(linked, m.Path+" "+m.Version)
			}
		}
	}

	slices.Sort(listed)
	slices.Sort(linked)

	if linked = slices.Compact(linked); !slices.Equal(listed, linked) {
		t.Errorf("listed:\n%s\n\nlinked:\n%s", strings.Join(listed, "\n"), strings.Join(linked, "\n"))
	}
}

func TestLintianFindsNoErrors(t *testing.T) {
	for _, arch := range arches {
		if out, ok := run(t, "lintian", "--fail-on", "error", one(t, "in-defender_*_"+arch+".deb")); !ok {
			t.Errorf("%s: %s", arch, out)
		}
	}
}

func TestManualPagesAreClean(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "build/manual/man/man*/*.gz"))
	if err != nil || len(pages) == 0 {
		missing(t, "there are no manual pages: run make dist (%v)", err)
	}

	for _, packed := range pages {
		plain := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(packed), ".gz"))
		if err := os.WriteFile(plain, unpacked(t, packed), 0o644); err != nil {
			t.Fatal(err)
		}

		if out, ok := run(t, "mandoc", "-T", "lint", "-W", "warning", plain); !ok {
			t.Error(out)
		}
	}
}

func unpacked(t *testing.T, path string) []byte {
	t.Helper()

	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}

	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}

	return text
}

func TestShellScriptsAreClean(t *testing.T) {
	var scripts []string

	for _, pattern := range []string{"deploy/package/*.sh", "deploy/package/scripts/*.sh", ".ci/*"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}

		scripts = append(scripts, paths...)
	}

	if out, ok := run(t, "shellcheck", scripts...); !ok {
		t.Error(out)
	}
}

// officialUnit is fluent-bit.service as Fluent Bit's own packages have it, but for the
// program, which need not be installed here.
const officialUnit = `[Unit]
Description=Fluent Bit
Documentation=https://docs.fluentbit.io/manual/
Requires=network.target
After=network.target

[Service]
Type=simple
EnvironmentFile=-/etc/sysconfig/fluent-bit
EnvironmentFile=-/etc/default/fluent-bit
ExecStart=/bin/true -c //etc/fluent-bit/fluent-bit.conf
Restart=always

[Install]
WantedBy=multi-user.target
`

var exposure = regexp.MustCompile(`exposure level for fluent-bit.service: ([0-9.]+)`)

func TestSystemdAcceptsTheDropIn(t *testing.T) {
	dir := t.TempDir()
	unit := filepath.Join(dir, "fluent-bit.service")

	dropIn, err := os.ReadFile(filepath.Join(root, "deploy/package/fluent-bit.service.d.conf"))
	if err != nil {
		t.Fatal(err)
	}

	for path, text := range map[string]string{
		unit: officialUnit,
		filepath.Join(unit+".d", "50-in-defender.conf"): string(dropIn),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}

		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	if out, ok := run(t, "systemd-analyze", "verify", "--man=no", unit); !ok || strings.Contains(out, "in-defender") {
		t.Error(out)
	}

	out, _ := run(t, "systemd-analyze", "security", "--offline=true", "--no-pager", unit)

	found := exposure.FindStringSubmatch(out)
	if found == nil {
		t.Fatal(out)
	}

	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > 2 {
		t.Errorf("exposure level %s, want at most 2", found[1])
	}
}

func TestVersionsOfCommitsSortBeforeTheRelease(t *testing.T) {
	out, ok := run(t, "sh", filepath.Join(root, "deploy/package/version.sh"))

	lines := strings.Split(out, "\n")
	if !ok || len(lines) < 4 {
		t.Fatal(out)
	}

	next, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		t.Fatal(err)
	}

	release := strings.TrimSpace(string(next))
	if lines[0] == release {
		return // the commit is the release
	}

	if order, ok := run(t, "dpkg", "--compare-versions", lines[0], "lt", release); !ok {
		t.Errorf("%s does not sort before %s: %s", lines[0], release, order)
	}
}
