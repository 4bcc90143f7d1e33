package tenantfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/test/golden"
)

const (
	contoso  = "99999999-8888-4777-8666-555555555551"
	fabrikam = "99999999-8888-4777-8666-555555555552"
	remark   = "defenderctl: no longer there"
)

// change adds two tenants and marks a third.
func change() Change {
	return Change{
		Add:    []Tenant{{contoso, "Contoso"}, {fabrikam, "Söhne: \"& Co\" ${X}"}},
		Mark:   []string{"99999999-8888-4777-8666-000000000001"},
		Remark: remark,
	}
}

// files are tenants files as people write them. GONE is the tenant that is marked.
var files = map[string]string{
	"empty":         "",
	"comments only": "# nothing yet\n\n# really\n",
	"no tenants":    "# our file\ndefaults:\n  api: graph   # the default\n\n# the end",
	"tenants first": "tenants:\n  - tenant_id: GONE\n    tenant_name: gone # why?\n\n# what all have\ndefaults:\n" +
		"  api: graph\n",
	"tenants alone": "defaults: {api: graph}\ntenants: # ours\n\ndiscover:\n  every: 1h\n",
	"null":          "tenants: ~ # ours\ndefaults:\n  api: graph\n",
	"empty list":    "tenants: [] # ours\ndefaults:\n  api: graph\n",
	"without indent": "tenants:\n# first\n- tenant_id: GONE\n  api: siem\n" +
		"# second\n- tenant_id: a.example\n  # of a\n  api: graph\n# the end\n",
	"odd indent": "tenants:\n       -    tenant_id: a.example\n            tenant_name: A\n" +
		"       -    tenant_id: GONE\n",
	"dash alone":  "tenants:\n  -\n     tenant_id: GONE\n     tenant_name: x\n",
	"Windows":     "defaults:\r\n  api: graph\r\ntenants:\r\n  - tenant_id: GONE\r\n    tenant_name: x\r\n",
	"byte order":  "\ufefftenants:\n  - tenant_id: GONE\n",
	"no last end": "tenants:\n  - tenant_id: GONE\n    tenant_name: x",
	"flow": "tenants: [{tenant_id: GONE, tenant_name: \"a ] } # \\\" b\"}, " +
		"{tenant_id: a.example}] # ours\ndefaults: {api: graph}\n",
	"flow, two gone": "tenants: [{tenant_id: a.example}, {tenant_id: GONE}]\n",
	"flow in lines": "tenants: [\n  {tenant_id: a.example, tenant_name: 'it''s, # {'}, # one\n" +
		"  {tenant_id: GONE, tenant_name: it's}, # two\n  # the end\n]\n",
	"all flow":       "{defaults: {api: graph}, tenants: [{tenant_id: GONE}]}\n",
	"all flow, none": "{defaults: {api: graph}}\n",
	"flow items": "tenants:\n  - {tenant_id: a.example, tenant_name: A}\n  - {tenant_id: GONE, api: siem}\n\n\n" +
		"# end\n",
	"anchors": "x: &x {api: graph}\ntenants: &all\n  - &one\n    tenant_id: GONE\n  - &two\n" +
		"    tenant_id: a.example\ny: *x\n",
	"documents":     "---\ntenants:\n  - tenant_id: GONE\n...\n",
	"document mark": "# v1\n---\ndefaults: {api: graph}\n...\n# after\n",
	"a long text": "tenants:\n  - tenant_id: GONE\n    filter: |\n      severity eq 'high'\n\n" +
		"      # not a comment\n\n# end\n",
	"a folded text": "tenants:\n  - tenant_id: GONE\n    filter: \"severity\n      eq 'high'\"\n\n\n",
	"deep comments": "tenants:\n  - tenant_id: a.example\n    # - tenant_id: GONE\n" +
		"  # - tenant_id: GONE\n#  - tenant_id: GONE\ndefaults:\n  api: graph\n",
	"already remarked": "tenants:\n  # defenderctl: no longer there, since May\n  # ask Ann\n  - tenant_id: GONE\n",
	"there in capitals": "TENANTS:\n  - Tenant_ID: " + strings.ToUpper(contoso) + "\n    tenant_name: ours\n" +
		"  - tenant_id: GONE\n",
	"listed twice": "tenants:\n  - {tenant_id: GONE, api: graph}\n  - {tenant_id: GONE, api: siem}\n",
}

// text returns the text of one of the files.
func text(name string) []byte {
	return []byte(strings.ReplaceAll(files[name], "GONE", "99999999-8888-4777-8666-000000000001"))
}

func TestGoldenMergedFiles(t *testing.T) {
	var out strings.Builder

	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}

	slices.Sort(names)

	for _, name := range names {
		r, err := Merge(text(name), change())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}

		fmt.Fprintf(&out, "## %s: %d added, %d marked\n%s\n\n", name, r.Added, r.Marked,
			strings.ReplaceAll(string(r.Text), "\r", "<CR>"))
	}

	golden.File(t, "../../../testdata/cli/tenantfile.golden", out.String())
}

func TestASecondMergeChangesNoByte(t *testing.T) {
	for name := range files {
		first, err := Merge(text(name), change())
		if err != nil {
			t.Fatal(err)
		}

		second, err := Merge(first.Text, change())
		if err != nil || !bytes.Equal(first.Text, second.Text) || second.Added+second.Marked != 0 {
			t.Errorf("%s: %v\n%s\nbecame\n%s", name, err, first.Text, second.Text)
		}
	}
}

func TestNothingThatWasThereIsLost(t *testing.T) {
	for name := range files {
		r, err := Merge(text(name), change())
		if err != nil {
			t.Fatal(err)
		}

		rest := string(r.Text)

		for _, c := range string(text(name)) {
			if c == '~' {
				continue // a null makes room for a list
			}

			i := strings.IndexRune(rest, c)
			if i < 0 {
				t.Errorf("%s: %q is missing or out of order in\n%s", name, c, r.Text)
				break
			}

			rest = rest[i+len(string(c)):]
		}
	}
}

func TestAMergedFileIsReadByTheInput(t *testing.T) {
	for name := range files {
		if name == "anchors" {
			continue // which the input refuses, as before
		}

		r, err := Merge(text(name), change())
		if err != nil {
			t.Fatal(err)
		}

		path := filepath.Join(t.TempDir(), "tenants.yaml")
		if err := os.WriteFile(path, r.Text, 0o600); err != nil {
			t.Fatal(err)
		}

		_, _, err = config.FromPlugin(config.Map{
			"tenants_file":  path,
			"client_id":     contoso,
			"client_secret": "x",
		}, config.Sources{})
		for _, f := range config.Faults(err) {
			if f.Key != "region" && f.Key != "home_tenant_id" && f.Key != "discover" && f.Key != "filter" {
				t.Errorf("%s: %v\n%s", name, f, r.Text)
			}
		}
	}
}

func TestAFileThatCannotBeChangedIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML":     "tenants: [\n",
		"a list":      "- tenant_id: a.example\n",
		"an alias":    "x: &x []\ntenants: *x\n",
		"a mapping":   "tenants: {a: b}\n",
		"words":       "tenants: [a, b]\n",
		"not UTF-8":   "tenants: # \xff\n",
		"two of them": "tenants:\n---\ntenants:\n",
	} {
		if r, err := Merge([]byte(text), change()); err == nil {
			t.Errorf("%s became\n%s", name, r.Text)
		}
	}

	if _, err := Merge([]byte("tenants: {a: b}\n"), change()); !errors.Is(err, ErrShape) {
		t.Errorf("got %v", err)
	}
}

func TestAFileIsReplacedInOneStep(t *testing.T) {
	dir := t.TempDir()

	path, link := filepath.Join(dir, "tenants.yaml"), filepath.Join(dir, "link.yaml")
	if err := Replace(path, nil, []byte("a: b\n")); err != nil {
		t.Fatal(err)
	}

	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a new file: %v, %v", info.Mode(), err)
	}

	if err := errors.Join(os.Chmod(path, 0o640), os.Symlink("tenants.yaml", link)); err != nil {
		t.Fatal(err)
	}

	if err := Replace(link, []byte("a: b\n"), []byte("a: c\n")); err != nil {
		t.Fatal(err)
	}

	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is gone")
	}

	if info, err = os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("rights: %v, %v", info.Mode(), err)
	}

	if err := Replace(path, []byte("a: b\n"), []byte("a: d\n")); err == nil {
		t.Error("a change of somebody else's is written over")
	}

	if got, err := os.ReadFile(path); err != nil || string(got) != "a: c\n" {
		t.Errorf("%q, %v", got, err)
	}

	before := info.ModTime()

	if err := Replace(path, []byte("a: c\n"), []byte("a: c\n")); err != nil {
		t.Fatal(err)
	}

	if info, err = os.Stat(path); err != nil || !info.ModTime().Equal(before) {
		t.Error("a file that stays the same is written")
	}

	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}

// FuzzMerge: a merge fails, or keeps what there was and comes to rest.
func FuzzMerge(f *testing.F) {
	for name := range files {
		f.Add(text(name))
	}

	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := Merge(text, change())
		if err != nil {
			return
		}

		second, err := Merge(first.Text, change())
		if err != nil || !bytes.Equal(first.Text, second.Text) {
			t.Errorf("%v\n%q\nbecame\n%q", err, first.Text, second.Text)
		}
	})
}
